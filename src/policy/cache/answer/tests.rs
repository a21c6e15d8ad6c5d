//! What an answer says of itself, and what becomes of that.

use super::*;
use crate::policy::cache::tests::{LIST, call_of, listed, rules};

fn asked(method: &str, declared: Option<u64>) -> Asked {
    let mut asked = Asked::of(
        &call_of("alice", "1", method, r#"{"name":"look"}"#),
        &rules(),
    )
    .expect("a key");
    if let Some(secs) = declared {
        asked.declared = Some(Duration::from_secs(secs));
    }
    asked
}

fn reply(result: &str) -> Reply {
    Reply {
        body: format!(r#"{{"jsonrpc":"2.0","id":7,"result":{result}}}"#).into(),
        failed: false,
    }
}

/// How long it is kept, in seconds, and for whom.
fn kept(result: &str, asked: &Asked) -> Option<(u64, Scope)> {
    match read(&reply(result), asked, &rules()) {
        Verdict::Keep(_, ttl, scope) => Some((ttl.as_secs(), scope)),
        Verdict::Failed(_) | Verdict::Alone => None,
    }
}

#[test]
fn a_list_is_kept_as_long_as_it_says_and_the_operator_allows() {
    use Scope::{Private, Public};
    let list = asked(LIST, None);
    let said = |ttl: &str, scope: &str| format!(r#"{{"ttlMs":{ttl},"cacheScope":"{scope}"}}"#);
    for (result, expected) in [
        (said("60000", "public"), Some((60, Public))),
        (said("6e4", "private"), Some((60, Private))),
        (said("9000000", "public"), Some((300, Public))),
        (said("0", "public"), None),
        (said("-5", "public"), None),
        (said("60000", "everybody"), None),
        (r#"{"ttlMs":60000}"#.into(), None),
        (r#"{"cacheScope":"public"}"#.into(), None),
        (
            r#"{"ttlMs":60000,"ttlMs":1,"cacheScope":"public"}"#.into(),
            None,
        ),
        (
            r#"{"ttlMs":60000,"cacheScope":"private","cacheScope":"public"}"#.into(),
            None,
        ),
    ] {
        assert_eq!(kept(&result, &list), expected, "{result}");
    }
}

#[test]
fn what_the_operator_declares_is_kept_for_each_and_never_longer_than_a_day() {
    let silent = r#"{"tools":[],"ttlMs":0,"cacheScope":"private"}"#;
    assert_eq!(kept(silent, &asked(LIST, None)), None);
    assert_eq!(
        kept(silent, &asked(LIST, Some(20))),
        Some((20, Scope::Private))
    );
    let long = asked(LIST, Some(u64::from(u32::MAX)));
    assert_eq!(kept(silent, &long), Some((86_400, Scope::Private)));
    let tool = kept(r#"{"content":[]}"#, &asked("tools/call", None));
    assert_eq!(tool, Some((10, Scope::Private)));
    let public = kept(&listed("public"), &asked("tools/call", None));
    assert_eq!(
        public,
        Some((10, Scope::Private)),
        "a tool's is never all's"
    );
}

#[test]
fn the_id_and_the_time_left_are_the_only_bytes_that_change() {
    let text = r#"{ "result": {"ttlMs" : 5000, "x":"\u00e9 id", "cacheScope":"public"},"id" : 7, "jsonrpc":"2.0"}"#;
    let whole = Reply {
        body: text.into(),
        failed: false,
    };
    let Verdict::Keep(answer, ..) = read(&whole, &asked(LIST, None), &rules()) else {
        panic!("it may be kept");
    };
    let told = |id, age| {
        let reply = answer.kept().reply(id, Duration::from_millis(age));
        String::from_utf8(reply.body.to_vec()).expect("text")
    };
    assert_eq!(told("7", 0), text);
    assert_eq!(
        told(r#""a b""#, 1234),
        text.replace("5000", "3766").replace(": 7,", r#": "a b","#)
    );
    assert_eq!(told("7", 9000), text.replace("5000", "0"));
}
