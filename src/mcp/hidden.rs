//! Characters that a model reads and a person does not see: what a tool says of itself may hold
//! orders in them.

use serde_json::Value;

/// So many of one value are told.
const TOLD_MAX: usize = 8;
/// Deeper than this nobody looks: such a value is refused elsewhere.
const DEPTH_MAX: usize = 100;

/// Whether nobody sees it where it stands in a text: a control character but for line ends and
/// tabs, one that turns the direction of writing, a tag, or one without any width. What joins the
/// letters of a script or the parts of an emoji is none.
#[must_use]
pub const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Those in the texts of a JSON value, each once, in their order; 8 at most.
#[must_use]
pub fn hidden(value: &Value) -> Vec<char> {
    let mut found = Vec::new();
    look(value, &mut found, 0);
    found
}

fn look(value: &Value, found: &mut Vec<char>, depth: usize) {
    if depth == DEPTH_MAX {
        return;
    }
    match value {
        Value::String(text) => look_at(text, found),
        Value::Array(list) => list.iter().for_each(|one| look(one, found, depth + 1)),
        Value::Object(members) => {
            for (name, value) in members {
                look_at(name, found);
                look(value, found, depth + 1);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn look_at(text: &str, found: &mut Vec<char>) {
    for c in text.chars().filter(|c| is_hidden(*c)) {
        if found.len() < TOLD_MAX && !found.contains(&c) {
            found.push(c);
        }
    }
}

/// As people write them: `U+202E, U+E0041`.
#[must_use]
pub fn written(hidden: &[char]) -> String {
    let each = hidden.iter().map(|c| format!("U+{:04X}", u32::from(*c)));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_sees_is_found_wherever_it_stands() {
        for text in [
            "\u{1b}[8m",
            "\u{202e}gnp",
            "\u{2066}x",
            "a\u{200b}b",
            "\u{e0041}",
            "\u{feff}x",
            "\0",
        ] {
            for value in [
                json!({"description": text}),
                json!({"inputSchema": {"properties": {"a": {"enum": ["b", text]}}}}),
                json!({text: 1}),
            ] {
                assert_eq!(hidden(&value).len(), 1, "{value}");
            }
        }
    }

    #[test]
    fn what_people_write_is_none() {
        let written = "Grüße, 世界!\n\tשלום مرحبا می‌خواهم 👩‍💻 ❤️ naïve";
        assert!(hidden(&json!({"description": written})).is_empty());
    }

    #[test]
    fn it_is_bounded_and_told_in_words() {
        let all: String = ('\u{e0001}'..='\u{e007f}').collect();
        assert_eq!(hidden(&json!([all, all])).len(), TOLD_MAX);
        let mut deep = json!("\u{202e}");
        for _ in 0..2 * DEPTH_MAX {
            deep = json!([deep]);
        }
        assert!(hidden(&deep).is_empty());
        assert_eq!(super::written(&['\u{1b}', '\u{e0041}']), "U+001B, U+E0041");
    }
}
