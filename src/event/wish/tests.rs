//! What a wish lets pass, and to whom.

use serde_json::json;

use super::*;
use crate::call::Permissions;

fn wish(types: &[&str], source: Option<&str>) -> Wish {
    Wish {
        types: types.iter().map(|text| (*text).to_owned()).collect(),
        source: source.map(|name| Identity::new(name).expect("a name")),
        ..Wish::default()
    }
}

fn filters(types: &[&str], source: Option<&str>, may: &[&str]) -> Result<Vec<String>, String> {
    filters_of("subscribe", types, source, may)
}

fn filters_of(
    action: &str,
    types: &[&str],
    source: Option<&str>,
    may: &[&str],
) -> Result<Vec<String>, String> {
    let alice = Identity::new("alice").expect("a name");
    let by = Principal::new(alice, Permissions::parse(may).expect("permissions"));
    let filters = wish(types, source).filters(&["task", "pipeline"], action, &by);
    filters.map_err(|error| error.message().to_owned())
}

#[test]
fn a_wish_becomes_filters_of_a_stream() {
    let all = |types: &[&str], source| filters(types, source, &["*"]).expect("permitted");
    assert_eq!(
        all(&[], None),
        ["weft.v1.evt.*.task.>", "weft.v1.evt.*.pipeline.>"]
    );
    assert_eq!(all(&["task.*"], Some("al")), ["weft.v1.evt.al.task.>"]);
    assert_eq!(
        all(&["task.cre*", "task.created"], None),
        ["weft.v1.evt.*.task.>"]
    );
    assert_eq!(all(&["task.a.b*"], None), ["weft.v1.evt.*.task.a.>"]);
    assert_eq!(
        all(&["task.created", "task.failed"], None),
        ["weft.v1.evt.*.task.failed", "weft.v1.evt.*.task.created"]
    );
    assert!(all(&["research.*"], None).is_empty(), "another stream's");
    for bad in ["", "task", ".*", "task.>", "ta sk.*", "Task.*"] {
        assert!(filters(&[bad], None, &["*"]).is_err(), "{bad}");
    }
}

#[test]
fn nobody_follows_more_than_he_may() {
    let may = [
        "subscribe:events/al/task.*",
        "subscribe:events/*/task.created",
    ];
    assert!(filters(&["task.*"], Some("al"), &may).is_ok());
    assert!(filters(&["task.failed"], Some("al"), &may).is_ok());
    assert!(filters(&["task.created"], None, &may).is_ok());
    assert!(filters(&["task.created"], Some("bob"), &may).is_ok());
    for (types, source) in [
        (&["task.*"][..], None),
        (&["task.*"][..], Some("bob")),
        (&["task.failed"][..], Some("bob")),
        (&["task.created", "task.failed"][..], None),
        (&[][..], Some("al")),
        (&["*"][..], None),
    ] {
        let said = filters(types, source, &may).expect_err("denied");
        assert!(said.contains("subscribe:events/"), "{said}");
    }
    let partly = ["subscribe:events/al*"];
    assert!(filters(&["task.*"], Some("alice"), &partly).is_ok());
    assert!(filters(&["task.*"], None, &partly).is_err());
    assert!(filters(&["task.*"], Some("al"), &["publish:events/al/task.*"]).is_err());
}

#[test]
fn who_follows_may_not_replay_for_that() {
    let (follows, replays) = ("subscribe:events/*/task.*", "replay:events/*/task.*");
    let asked = |action, may| filters_of(action, &["task.a"], None, &[may]);
    assert!(asked("replay", replays).is_ok() && asked("subscribe", follows).is_ok());
    assert!(asked("subscribe", replays).is_err());
    let said = asked("replay", follows).expect_err("denied");
    assert!(said.contains("replay:events/*/task.a"), "{said}");
}

#[test]
fn a_reader_sorts_out_what_the_broker_let_pass() {
    let mut event = Event::new("task.created", json!({}));
    event.source = Identity::new("al").ok();
    assert!(wish(&["task.cre*"], None).sieve().wants(&event));
    assert!(!wish(&["task.cro*"], None).sieve().wants(&event));
    assert!(wish(&[], Some("al")).sieve().wants(&event));
    assert!(!wish(&[], Some("bob")).sieve().wants(&event));
}
