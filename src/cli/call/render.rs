//! The result of a tool as text: text blocks as they are, any other block as one line that says
//! what it is.

use serde_json::Value;

/// The blocks, a line end between them. Where a result has no block, its structured content.
pub(super) fn text(result: &Value) -> String {
    let blocks = result.get("content").and_then(Value::as_array);
    let blocks = blocks.map_or(&[][..], Vec::as_slice);
    if blocks.is_empty()
        && let Some(structured) = result.get("structuredContent")
    {
        return format!("{structured:#}");
    }
    let lines: Vec<String> = blocks.iter().map(block).collect();
    lines.join("\n")
}

fn block(block: &Value) -> String {
    let field = |name: &str| block.get(name).and_then(Value::as_str);
    let mut parts: Vec<String> = Vec::new();
    let what = match field("type") {
        Some("text") => return field("text").unwrap_or_default().to_owned(),
        Some(kind @ ("image" | "audio")) => {
            parts.extend(field("mimeType").map(str::to_owned));
            parts.push(size(decoded(field("data").unwrap_or_default())));
            kind.to_owned()
        }
        Some("resource_link") => {
            parts.extend(field("mimeType").map(str::to_owned));
            parts.extend(block.get("size").and_then(Value::as_u64).map(size));
            let name = field("title").or_else(|| field("name"));
            let uri = field("uri").unwrap_or("without a URI");
            match name {
                Some(name) if name != uri => format!("resource link {name}: {uri}"),
                _ => format!("resource link {uri}"),
            }
        }
        Some("resource") => {
            let resource = block.get("resource").unwrap_or(&Value::Null);
            let field = |name: &str| resource.get(name).and_then(Value::as_str);
            parts.extend(field("mimeType").map(str::to_owned));
            let bytes = field("text")
                .map(|text| text.len() as u64)
                .or_else(|| field("blob").map(decoded));
            parts.extend(bytes.map(size));
            format!("resource {}", field("uri").unwrap_or("without a URI"))
        }
        Some(other) => {
            parts.push(size(block.to_string().len() as u64));
            format!("{other} block")
        }
        None => {
            parts.push(size(block.to_string().len() as u64));
            "block without a type".to_owned()
        }
    };
    match parts.is_empty() {
        true => format!("[{what}]"),
        false => format!("[{what}{}{}]", glue(&what), parts.join(", ")),
    }
}

/// `[image image/png, 4.1 kB]`, but `[resource file:///a, text/plain, 4.1 kB]`.
fn glue(what: &str) -> &'static str {
    if what.contains(' ') { ", " } else { " " }
}

/// Bytes that base64 stands for.
fn decoded(base64: &str) -> u64 {
    let padding = base64.bytes().rev().take_while(|b| *b == b'=').count();
    (base64.len() * 3 / 4).saturating_sub(padding) as u64
}

/// A size in the unit that fits.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = bytes / (unit / 10);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_block_is_told() {
        let result = json!({"content": [
            {"type": "text", "text": "two\nlines"},
            {"type": "image", "mimeType": "image/svg+xml", "data": "A".repeat(5467) + "="},
            {"type": "audio", "mimeType": "audio/wav", "data": "AAA="},
            {"type": "resource_link", "name": "readme", "uri": "file:///r.md", "mimeType": "text/markdown", "size": 2_500_000},
            {"type": "resource_link", "uri": "file:///bare"},
            {"type": "resource", "resource": {"uri": "file:///a.txt", "mimeType": "text/plain", "text": "äb"}},
            {"type": "resource", "resource": {"uri": "file:///a.bin", "blob": "AAAA"}},
            {"type": "hologram", "depth": 3},
            {"depth": 3},
        ], "structuredContent": {"n": 1}});
        insta::assert_snapshot!(text(&result), @r#"
        two
        lines
        [image image/svg+xml, 4.1 kB]
        [audio audio/wav, 2 B]
        [resource link readme: file:///r.md, text/markdown, 2.5 MB]
        [resource link file:///bare]
        [resource file:///a.txt, text/plain, 3 B]
        [resource file:///a.bin, 3 B]
        [hologram block, 29 B]
        [block without a type, 11 B]
        "#);
    }

    #[test]
    fn without_a_block_the_structure_is_shown() {
        let result = json!({"content": [], "structuredContent": {"n": 1}});
        assert_eq!(text(&result), "{\n  \"n\": 1\n}");
        assert_eq!(text(&json!({"content": []})), "");
    }

    #[test]
    fn sizes_are_rounded_down() {
        let sizes = [0, 999, 1000, 1999, 4_100_000, 5_000_000_000].map(size);
        assert_eq!(
            sizes,
            ["0 B", "999 B", "1.0 kB", "1.9 kB", "4.1 MB", "5.0 GB"]
        );
    }
}
