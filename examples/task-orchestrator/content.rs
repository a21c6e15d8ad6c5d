//! The three forms in which content may come: a document, search results, or a tool result that
//! holds one of them.

use serde_json::{Map, Value};

use crate::{
    markdown::{plain, requirements},
    plan::Requirement,
    priority::Priority,
};

/// Longest document, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// Most search results.
const RESULTS_MAX: usize = 1000;
/// A tool result holds an answer, which holds results: nothing sensible is wrapped deeper.
const DEPTH_MAX: usize = 4;
const FORMS: &str = "give a document as text, an array of search results (each with a title), \
                     or an object with `results`, `structuredContent`, `content` or `text`";

/// The requirements in `content`.
///
/// # Errors
///
/// One sentence that says what is wrong, and what is allowed.
pub(crate) fn read(content: &Value) -> Result<Vec<Requirement>, String> {
    within(content, DEPTH_MAX)
}

fn within(content: &Value, depth: usize) -> Result<Vec<Requirement>, String> {
    if depth == 0 {
        return Err(format!("is wrapped more than {DEPTH_MAX} times; {FORMS}"));
    }
    match content {
        Value::String(text) => document(text, depth),
        Value::Array(items) => results(items, depth),
        Value::Object(fields) => ["results", "structuredContent", "content", "text"]
            .iter()
            .find_map(|name| fields.get(*name))
            .map_or_else(|| Err(FORMS.to_owned()), |inner| within(inner, depth - 1)),
        _ => Err(FORMS.to_owned()),
    }
}

fn document(text: &str, depth: usize) -> Result<Vec<Requirement>, String> {
    if text.trim().is_empty() {
        return Err(format!("is empty; {FORMS}"));
    }
    if text.len() > BYTES_MAX {
        return Err(format!(
            "has {} bytes, and at most {BYTES_MAX} are allowed",
            text.len()
        ));
    }
    // Search results often arrive as the text of a JSON document. What only looks like JSON is prose.
    if text.trim_start().starts_with(['[', '{'])
        && let Ok(json @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(text)
    {
        return within(&json, depth.saturating_sub(1));
    }
    Ok(requirements(text))
}

fn results(items: &[Value], depth: usize) -> Result<Vec<Requirement>, String> {
    if items.len() > RESULTS_MAX {
        return Err(format!(
            "has {} entries, and at most {RESULTS_MAX} are allowed",
            items.len()
        ));
    }
    // The content blocks of a tool result: their texts are one document.
    let texts: Option<Vec<&str>> = items.iter().map(block_text).collect();
    if let Some(texts) = texts.filter(|texts| !texts.is_empty()) {
        return document(&texts.join("\n"), depth - 1);
    }
    (0..).zip(items).map(result).collect()
}

fn block_text(item: &Value) -> Option<&str> {
    if item.get("type")? != "text" {
        return None;
    }
    item.get("text")?.as_str()
}

/// A search result asks for one thing: to be looked into.
fn result((number, item): (usize, &Value)) -> Result<Requirement, String> {
    let nothing = Map::new();
    let fields = item.as_object().unwrap_or(&nothing);
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let title = item.as_str().or_else(|| text("title")).map(plain);
    let Some(title) = title.filter(|title| !title.is_empty()) else {
        return Err(format!("entry {number} has no title; {FORMS}"));
    };
    let stated = Priority::of(&title);
    let scored = fields.get("score").and_then(Value::as_f64);
    Ok(Requirement {
        priority: stated
            .or(scored.map(Priority::of_score))
            .unwrap_or(Priority::Medium),
        title: format!("Assess: {title}"),
        section: text("topic").unwrap_or_default().to_owned(),
        ..Requirement::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn search_results_are_read_in_every_wrapping() {
        let results = json!([
            {"title": "Market trends", "score": 0.97, "topic": "ai", "snippet": "s"},
            {"title": "Chips", "score": 0.2},
            "Anything",
        ]);
        let expected = read(&results).unwrap();
        let told: Vec<_> = expected
            .iter()
            .map(|r| (&*r.title, r.priority, &*r.section))
            .collect();
        assert_eq!(
            told,
            [
                ("Assess: Market trends", Priority::High, "ai"),
                ("Assess: Chips", Priority::Low, ""),
                ("Assess: Anything", Priority::Medium, ""),
            ]
        );
        let text = json!([{"type": "text", "text": results.to_string()}]);
        for wrapped in [
            json!({"results": results}),
            json!({"content": [], "structuredContent": {"results": results}}),
            json!(results.to_string()),
            json!({"content": text}),
        ] {
            assert_eq!(read(&wrapped).unwrap(), expected, "{wrapped}");
        }
    }

    #[test]
    fn text_blocks_are_one_document() {
        let content =
            json!([{"type": "text", "text": "# A\n- One"}, {"type": "text", "text": "- Two"}]);
        assert_eq!(read(&content).unwrap().len(), 2);
    }

    #[test]
    fn brackets_alone_do_not_make_json() {
        assert_eq!(
            read(&json!("[draft] The app must start.")).unwrap().len(),
            1
        );
    }

    #[test]
    fn no_results_are_no_tasks() {
        assert_eq!(read(&json!([])).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        let deep = json!({"results": {"results": {"results": {"results": []}}}});
        let text = json!([{"type": "text", "text": "[]"}]);
        let deep_text = json!({"content": {"content": {"content": text}}});
        for (content, reason) in [
            (json!("  "), "is empty; "),
            (json!({"a": 1}), "give a document"),
            (json!([{"url": "x"}]), "entry 0 has no title"),
            (json!([7]), "entry 0 has no title"),
            (json!({"results": 7}), "give a document"),
            (deep, "is wrapped more than 4 times"),
            (deep_text, "is wrapped more than 4 times"),
            (json!("x".repeat(BYTES_MAX + 1)), "has 1048577 bytes"),
            (json!(vec!["x"; RESULTS_MAX + 1]), "has 1001 entries"),
        ] {
            let refused = read(&content).expect_err(reason);
            assert!(refused.starts_with(reason), "{refused}");
        }
    }
}
