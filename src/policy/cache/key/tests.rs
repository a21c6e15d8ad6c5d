//! Which calls ask for the same.

use proptest::prelude::*;

use super::*;
use crate::policy::cache::tests::{LIST, call_of, rules};

fn asked(id: &str, method: &str, params: &str) -> Option<Asked> {
    Asked::of(&call_of("alice", id, method, params), &rules())
}

fn own(params: &str) -> Option<Key> {
    asked("1", "tools/call", params).map(|asked| asked.own)
}

#[test]
fn only_what_may_be_kept_has_a_key() {
    let tool = |name: &str| format!(r#"{{"name":"{name}"}}"#);
    assert!(asked("1", LIST, "{}").is_some());
    assert!(own(&tool("look_up")).is_some());
    assert!(own(&tool("delete")).is_none(), "nobody declared it");
    assert!(asked("1", "prompts/get", &tool("look")).is_none());
    for once in ONCE {
        let params = format!(r#"{{"name":"look","{once}":{{}}}}"#);
        assert!(own(&params).is_none(), "{params}");
    }
    let mut call = call_of("alice", "1", LIST, "{}");
    assert!(Asked::of(&call, &rules()).is_some());
    call.context.key = Some("k".into());
    assert!(Asked::of(&call, &rules()).is_none(), "it has a key");
    call.context.key = None;
    call.context.principal = None;
    assert!(Asked::of(&call, &rules()).is_none(), "nobody proved who");
}

#[test]
fn what_is_about_the_way_makes_no_difference() {
    let plain = own(r#"{"name":"look","arguments":{"a":1}}"#);
    for member in UNHEARD {
        let meta = format!(r#"{{"name":"look","arguments":{{"a":1}},"_meta":{{"{member}":"x"}}}}"#);
        assert_eq!(own(&meta), plain, "{member}");
    }
    let meta = r#"{"name":"look","arguments":{"a":1},"_meta":{"progressToken":1,"io.x/y":1}}"#;
    assert_ne!(own(meta), plain);
}

#[test]
fn who_asks_for_whom_and_with_what_permissions_makes_a_tools_answer_anothers() {
    let params = r#"{"name":"look"}"#;
    let call = |change: &dyn Fn(&mut Principal)| {
        let mut call = call_of("alice", "1", "tools/call", params);
        let mut principal = (**call.context.principal.as_ref().expect("one")).clone();
        change(&mut principal);
        call.context.principal = Some(Arc::new(principal));
        Asked::of(&call, &rules()).expect("a key").own
    };
    let own = call(&|_| {});
    let same = call(&|who| who.tokens = vec!["another".into()]);
    assert_eq!(own, same, "a new token of the same is the same");
    let narrow = crate::call::Permissions::parse(&["call:tools/gh/look"]).expect("permissions");
    let actor = crate::call::principal::Actor {
        identity: crate::name::Identity::new("bot").expect("a name"),
        permissions: narrow.clone(),
    };
    assert_ne!(own, call(&|who| who.permissions = narrow.clone()));
    assert_ne!(own, call(&|who| who.actors.push(actor.clone())));
    let bob = crate::name::Identity::new("bob").expect("a name");
    assert_ne!(own, call(&|who| who.identity = bob.clone()));
}

#[test]
fn what_is_for_all_has_one_key_whoever_asks() {
    let of = |who| Asked::of(&call_of(who, "1", LIST, "{}"), &rules()).expect("a key");
    let (alice, bob) = (of("alice"), of("bob"));
    assert_eq!(alice.shared, bob.shared);
    assert_ne!(alice.own, bob.own);
}

#[test]
fn where_several_patterns_match_the_shortest_time_counts() {
    let rules = Rules {
        tools: [("look*", 9), ("look_up", 3), ("*", 5)]
            .map(|(pattern, secs)| {
                (
                    crate::call::permission::Pattern::new(pattern),
                    Duration::from_secs(secs),
                )
            })
            .to_vec(),
        ..Rules::default()
    };
    let ttl = |tool| rules.of_tool(tool).map(|ttl| ttl.as_secs());
    assert_eq!(
        (ttl("look_up"), ttl("look"), ttl("x")),
        (Some(3), Some(5), Some(5))
    );
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i32>().prop_map(|n| n.to_string()),
        "[a-z\":,{}]{0,6}".prop_map(|text| serde_json::to_string(&text).expect("JSON")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(("[a-c]{1,2}", inner), 0..3).prop_map(|all| {
                let all: Vec<_> = all.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", all.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn keys_differ_where_arguments_do_and_ids_and_progress_tokens_make_none_differ(
        (a, b) in (json(), json()),
        id in any::<u32>(),
        token in "[a-z]{1,8}",
    ) {
        let plain = format!(r#"{{"name":"look","arguments":{a}}}"#);
        let other = format!(r#"{{"name":"look","arguments":{b}}}"#);
        let told = format!(r#"{{"name":"look","arguments":{a},"_meta":{{"progressToken":"{token}"}}}}"#);
        prop_assert_eq!(own(&plain) == own(&other), a == b);
        let under = asked(&id.to_string(), "tools/call", &told).map(|asked| asked.own);
        prop_assert_eq!(under, own(&plain));
    }
}
