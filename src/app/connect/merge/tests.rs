//! Fragments cut into files as people write them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn entry() -> Value {
    json!({"mcpServers": {"weft": {"command": "/bin/weft", "args": ["mcp"]}}})
}

/// Merged once, and a second time, which must change nothing.
#[track_caller]
fn merged(text: &str, fragment: &Value) -> String {
    let once = merge(text, fragment).expect("it can be merged");
    let read = jsonc::read(&once).unwrap_or_else(|error| panic!("{error}\n{once}"));
    for (key, part) in members(fragment) {
        let Value::Object(entries) = part else {
            continue;
        };
        for (name, entry) in entries {
            assert_eq!(read.value[key][name], *entry, "{once}");
        }
    }
    assert_eq!(merge(&once, fragment).as_ref(), Ok(&once));
    once
}

#[test]
fn an_empty_file_is_the_fragment() {
    for empty in ["", "\n", "\u{feff}", "{}", "{ }", "{\n}\n"] {
        let text = merged(empty, &entry());
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value, entry(), "{text}");
    }
}

#[test]
fn what_is_there_stays_byte_for_byte() {
    let text = "{\n    \"theme\": \"dark\", // mine\n    \"mcpServers\": {\n        \"git\": { \"command\": \"uvx\", \"args\": [ \"mcp-server-git\" ] } // do not touch\n        /* the end */\n    },\n    \"n\": 1e0\n}\n";
    insta::assert_snapshot!(merged(text, &entry()), @r#"
    {
        "theme": "dark", // mine
        "mcpServers": {
            "git": { "command": "uvx", "args": [ "mcp-server-git" ] }, // do not touch
            /* the end */
            "weft": {
                "command": "/bin/weft",
                "args": [
                    "mcp"
                ]
            }
        },
        "n": 1e0
    }
    "#);
}

#[test]
fn trailing_commas_tabs_and_line_ends_are_kept() {
    let text = "{\r\n\t\"mcpServers\": {\r\n\t\t\"a\": {},\r\n\t},\r\n}";
    let made = merged(text, &entry());
    assert_eq!(
        made,
        "{\r\n\t\"mcpServers\": {\r\n\t\t\"a\": {},\r\n\t\t\"weft\": {\r\n\t\t\t\"command\": \"/bin/weft\",\r\n\t\t\t\"args\": [\r\n\t\t\t\t\"mcp\"\r\n\t\t\t]\r\n\t\t}\r\n\t},\r\n}"
    );
}

#[test]
fn one_line_stays_one() {
    let made = merged(r#"{"mcpServers": {"a": {"command": "x"}}}"#, &entry());
    assert_eq!(
        made,
        r#"{"mcpServers": {"a": {"command": "x"}, "weft": {"command":"/bin/weft","args":["mcp"]}}}"#
    );
}

#[test]
fn an_old_entry_is_replaced_and_nothing_else() {
    let text =
        "{\n  \"mcpServers\": {\n    \"weft\": {\"url\": \"http://old\"},\n    \"b\": {}\n  }\n}";
    let made = merged(text, &entry());
    assert!(!made.contains("old"), "{made}");
    assert!(made.ends_with("    \"b\": {}\n  }\n}"), "{made}");
}

#[test]
fn inputs_are_added_once() {
    let fragment = json!({"servers": {"weft": {"url": "x"}}, "inputs": [{"id": "weft-token"}]});
    let text =
        "{\n  // servers\n  \"servers\": {},\n  \"inputs\": [\n    {\"id\": \"other\"}\n  ]\n}\n";
    let made = merged(text, &fragment);
    let read = jsonc::read(&made).expect("JSON").value;
    assert_eq!(
        read["inputs"],
        json!([{"id": "other"}, {"id": "weft-token"}])
    );
    assert!(made.contains("// servers"));
}

#[test]
fn what_is_not_understood_is_left_alone() {
    for (text, why) in [
        ("{\"mcpServers\": []}", "`mcpServers` is not"),
        ("[]", "the whole"),
        ("{\"mcpServers\": {}, \"mcpServers\": {}}", "twice"),
        (
            "{\"mcpServers\": {\"weft\": 1, \"weft\": 2}}",
            "`mcpServers.weft` stands twice",
        ),
        ("servers: {}", "no JSON"),
    ] {
        let error = merge(text, &entry()).expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

proptest! {
    /// Whatever JSON is there is there afterwards, whether it is written in one line or many.
    #[test]
    fn nothing_else_changes(
        others in proptest::collection::btree_map("[a-z]{1,6}", any::<i32>(), 0..5),
        top in proptest::collection::btree_map("[a-z]{1,6}", "\\PC{0,12}", 0..4),
        pretty in any::<bool>(),
    ) {
        let mut document = json!(top);
        document["mcpServers"] = json!(others);
        let text = if pretty { format!("{document:#}") } else { document.to_string() };
        let made = merged(&text, &entry());
        let read: Value = serde_json::from_str(&made).expect("JSON");
        document["mcpServers"]["weft"] = entry()["mcpServers"]["weft"].clone();
        prop_assert_eq!(read, document);
    }
}
