//! What each tool of `weft` takes, and what is said of what none takes.

use super::*;

#[test]
fn a_bad_argument_is_named() {
    let tools = Tools::new();
    let tool = tools.find(TOKEN_ISSUE).expect("a tool");
    for (arguments, field) in [
        (json!({"name": 5, "permissions": []}), "`name`"),
        (json!({"name": "a"}), "permissions"),
        (json!({"name": "a", "permissions": [1]}), "`permissions.0`"),
        (
            json!({"name": "a", "permissions": [], "role": "root"}),
            "`role`",
        ),
        (
            json!({"name": "a", "permissions": [], "ttlSeconds": -1}),
            "`ttlSeconds`",
        ),
        (json!({"name": "a", "permissions": [], "tll": 1}), "tll"),
        (json!([]), "token_issue"),
    ] {
        let params = json!({"arguments": arguments}).to_string();
        let error = tool.arguments(Some(&params)).expect_err("bad");
        assert_eq!(error.kind(), Kind::InvalidParams);
        assert!(error.message().contains(field), "{arguments}: {error}");
    }
    let good = json!({"name": "a", "permissions": ["*"], "role": "caller", "ttlSeconds": 60});
    let params = json!({"arguments": good}).to_string();
    assert_eq!(tool.arguments(Some(&params)).expect("good"), good);
    let none = tools
        .find(SERVER_LIST)
        .expect("a tool")
        .arguments(Some("{}"));
    assert_eq!(none.expect("no arguments"), json!({}));
}

#[test]
fn an_unknown_tool_suggests_the_nearest() {
    let tools = Tools::new();
    let error = tools.find("token_isue").expect_err("unknown");
    assert_eq!(error.kind(), Kind::ToolNotFound);
    assert!(error.message().contains("`token_issue`"), "{error}");
    let error = tools.find("zzz").expect_err("unknown");
    assert!(!error.message().contains("did you mean"), "{error}");
}

#[test]
fn every_tool_is_described_and_guarded() {
    for tool in definitions() {
        assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
        assert_eq!(tool.output_schema["type"], "object", "{}", tool.name);
        assert_eq!(
            tool.input_schema["additionalProperties"], false,
            "{}",
            tool.name
        );
        jsonschema::validator_for(&tool.output_schema).expect("a schema");
        let open = crate::control::is_open(tool.name);
        let required = crate::control::required(tool.name);
        let required = required.map(|(action, target)| format!("{action}:{target}"));
        assert!(!(open && required.is_some()), "{}", tool.name);
        for permission in ["admin:mesh/tokens", "admin:mesh/grants", "read:mesh/audit"] {
            assert_eq!(
                required.as_deref() == Some(permission),
                tool.description.contains(permission),
                "{}",
                tool.name
            );
        }
        assert_eq!(
            open,
            tool.description.contains("no call token"),
            "{}",
            tool.name
        );
    }
}
