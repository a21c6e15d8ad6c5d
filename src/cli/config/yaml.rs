//! JSON values as YAML, block by block: what a person reads and goes on writing.

use serde_json::Value;

/// The YAML of a value, with a line end after it.
pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                text.push_str(&indent);
                text.push_str(&scalar(key));
                text.push(':');
                below(value, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() && !is_short(items) => {
            for item in items {
                text.push_str(&indent);
                text.push('-');
                below(item, depth, text);
            }
        }
        flat => {
            text.push_str(&indent);
            text.push_str(&inline(flat));
            text.push('\n');
        }
    }
}

/// What stands behind a key or a dash.
fn below(value: &Value, depth: usize, text: &mut String) {
    let deep = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty() && !is_short(items),
        _ => false,
    };
    if deep {
        text.push('\n');
        block(value, depth + 1, text);
    } else {
        text.push(' ');
        text.push_str(&inline(value));
        text.push('\n');
    }
}

/// Items that fit into a line: arguments of a command.
fn is_short(items: &[Value]) -> bool {
    let flat = |item: &Value| !item.is_object() && !item.is_array();
    let length: usize = items.iter().map(|item| inline(item).len() + 2).sum();
    items.iter().all(flat) && length <= 80
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        // An empty object, a number, true, null: JSON is YAML.
        other => other.to_string(),
    }
}

/// A text: bare where no reader of YAML takes it for anything else, quoted as JSON where one may.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-@+".contains(c);
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(plain)
        && !words.contains(&text.to_ascii_lowercase().as_str());
    if bare {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_reads_well() {
        let value = json!({
            "servers": {
                "docs": {"command": "uvx", "args": ["mcp-server-fetch", "-v", "12", "a b"], "enabled": true},
                "no": {"env": {"KEY": {"env": "KEY"}}, "args": []},
                "long": {"args": ["x".repeat(50), "y".repeat(50)]},
            },
            "empty": {},
            "list": [{"a": 1, "b": 2}, null],
        });
        insta::assert_snapshot!(write(&value), @r#"
        servers:
          docs:
            command: uvx
            args: [mcp-server-fetch, "-v", "12", "a b"]
            enabled: true
          "no":
            env:
              KEY:
                env: KEY
            args: []
          long:
            args:
              - xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
              - yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy
        empty: {}
        list:
          -
            a: 1
            b: 2
          - null
        "#);
    }

    #[test]
    fn what_could_be_misread_is_quoted() {
        for text in [
            "", "1", "1.5", "Yes", "~", "a: b", "#c", "-x", "é", "a\nb", "*", "{x}",
        ] {
            assert!(scalar(text).starts_with('"'), "{text}");
        }
        for text in [
            "uvx",
            "/usr/bin/env",
            "mcp-server-git",
            "@a".trim_start_matches('@'),
        ] {
            assert_eq!(scalar(text), text);
        }
    }
}
