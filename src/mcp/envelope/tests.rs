//! Envelopes read, refused and spliced.

use super::*;

fn request(text: &str) -> Result<Request, EnvelopeError> {
    Request::parse(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn a_request_is_read_and_carried() {
    let text = r#"{"x":[1e400],"jsonrpc":"2.0","id":"a\n","method":"tools/call","params":{"_meta":{"progressToken":1},"name":"t","arguments":{"n":18446744073709551617}}}"#;
    let read = request(text).expect("a request");
    assert_eq!(read.method(), &Method::TOOLS_CALL);
    assert_eq!(read.name(), Some("t"));
    assert_eq!(read.id(), Some(r#""a\n""#));
    assert_eq!(read.meta(), Some(r#"{"progressToken":1}"#));
    assert_eq!(read.body(), text.as_bytes());
    let id = read.id_span().expect("an id");
    let changed = splice(read.body(), &[(id, "7")]);
    assert_eq!(changed, text.replace(r#""a\n""#, "7").into_bytes());
}

#[test]
fn a_request_gets_another_name() {
    let read = request(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name" : "a\u005f_b","x":1e400}}"#,
    );
    let renamed = read.expect("a request").renamed("b\"").expect("a request");
    assert_eq!(renamed.name(), Some("b\""));
    assert_eq!(
        renamed.body(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name" : "b\"","x":1e400}}"#
    );
    let list = request(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert!(list.expect("a request").renamed("b").is_err());
}

#[test]
fn what_is_no_request_is_refused() {
    for (text, why) in [
        (r#"["tools/call",1]"#, "invalid type"),
        (r#"{"jsonrpc":"2.0"}"#, "`method` is missing"),
        (r#"{"method":"ping"}"#, "`jsonrpc` is missing"),
        (r#"{"jsonrpc":"1.0","method":"ping"}"#, "not \"2.0\""),
        (
            r#"{"jsonrpc":"2.0","Method":"ping"}"#,
            "`method` is missing",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"a","\u006dethod":"b"}"#,
            "stands twice",
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#,
            "neither a string",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#,
            "neither a string",
        ),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#,
            "neither a string",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"a","params":[1]}"#,
            "as an object",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{}}"#,
            "`params.name` is missing",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"tools/call"}"#,
            "`params.name` is missing",
        ),
        (r#"{"jsonrpc":"2.0","method":"a.b"}"#, "no method"),
    ] {
        let error = request(text).expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    for text in ["", "{", "\u{feff}{}", r#"{"jsonrpc":"2.0","method":"a"} x"#] {
        assert!(
            matches!(request(text), Err(EnvelopeError::Json(_))),
            "{text}"
        );
    }
}

#[test]
fn responses_are_told_apart() {
    let read = |text: &str| Response::parse(Bytes::copy_from_slice(text.as_bytes()));
    let ok = read(r#"{"result":{"a":1},"jsonrpc":"2.0","id":3}"#).expect("a result");
    assert_eq!((ok.id(), ok.result()), (Some("3"), Some(r#"{"a":1}"#)));
    let bad =
        read(r#"{"jsonrpc":"2.0","id":3,"error":{"code":1,"message":"m"}}"#).expect("an error");
    assert_eq!(bad.error(), Some(r#"{"code":1,"message":"m"}"#));
    assert!(read(r#"{"jsonrpc":"2.0","id":3}"#).is_err());
    assert!(read(r#"{"jsonrpc":"2.0","id":3,"result":1,"error":2}"#).is_err());
}
