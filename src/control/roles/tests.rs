//! The lists of the document's cast, and what holds for all of them.

use proptest::prelude::*;

use super::*;
use crate::{access::claims::Term, call::grant::Grant};

fn claims(sub: &str, role: Role, permissions: &[&str]) -> Claims {
    let sub = Identity::new(sub).expect("a name");
    let permissions = Permissions::parse(permissions).expect("permissions");
    let term = Term { from: 0, until: 60 };
    Claims::connect(&sub, &permissions, role, "mesh", term)
}

fn of(sub: &str, role: Role, permissions: &[&str]) -> Lists {
    lists(&claims(sub, role, permissions), &Rules::default()).expect("lists")
}

/// `a.{x,y}.b` as two subjects, and a list as a set.
fn set(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for word in text.split("  ").map(str::trim).filter(|w| !w.is_empty()) {
        match word.split_once('{') {
            None => {
                all.insert(word.to_owned());
            }
            Some((before, rest)) => {
                let (choices, after) = rest.split_once('}').expect("closed");
                let spelt = |choice| format!("{before}{choice}{after}");
                all.extend(choices.split(',').map(spelt));
            }
        }
    }
    all
}

#[test]
fn the_tool_server_of_the_document() {
    let gh = of("gh", Role::Server, &["serve:tools/gh/*"]);
    let publish = set("weft.v1.rep.*.*.gh.*  weft.v1.ntf.gh.>  weft.v1.evt.gh.>  \
        weft.v1.aud.gh.*  weft.v1.trc.gh  weft.v1.hb.gh.*  weft.v1.req.gh.weft.>  \
        $KV.WEFT_{TASK,ONCE}.gh.*  weft.v1.dlq.WEFT_WORK.gh  \
        weft.v1.js.CONSUMER.{MSG.NEXT,INFO}.WEFT_WORK.gh  $JS.ACK.WEFT_WORK.gh.>  \
        weft.v1.js.DIRECT.GET.KV_WEFT_TASK.$KV.WEFT_TASK.gh.*  \
        weft.v1.js.DIRECT.GET.KV_WEFT_ONCE.$KV.WEFT_ONCE.gh.*  weft.v1.srv.>  \
        weft.v1.prb.gh  $JS.FC.>");
    let subscribe = set("weft.v1.req.*.gh.> weft  weft.v1.ins.*.gh.>  \
        weft.v1.ctl.*.gh.cancel  weft.v1.rep.gh.>  weft.v1.inb.gh.>  weft.v1.dlv.gh.>  \
        $SRV.{PING,INFO,STATS}  $SRV.{PING,INFO,STATS}.gh  $SRV.{PING,INFO,STATS}.gh.*");
    assert_eq!(gh.publish, publish);
    assert_eq!(gh.subscribe, subscribe);
}

#[test]
fn the_agent_of_the_document() {
    let alice = of(
        "alice",
        Role::Caller,
        &["call:tools/gh/list_issues", "publish:events/alice/task.*"],
    );
    let publish = set("weft.v1.req.alice.gh.tools.call.list_issues  \
        weft.v1.ins.alice.gh.*.tools.call.list_issues  \
        weft.v1.req.alice.gh.{server.discover,tools.list}._  weft.v1.ctl.alice.gh.cancel  \
        weft.v1.wrk.alice.gh.list_issues  weft.v1.req.alice.weft.>  \
        weft.v1.evt.alice.task.>  weft.v1.trc.alice  weft.v1.prb.alice  $JS.FC.>");
    let subscribe = set(
        "weft.v1.rep.alice.>  weft.v1.inb.alice.>  weft.v1.dlv.alice.>  \
        weft.v1.ntf.gh.>",
    );
    assert_eq!(alice.publish, publish);
    assert_eq!(alice.subscribe, subscribe);
}

#[test]
fn the_gateway_and_the_operator_of_the_document() {
    let gateway = of("gateway", Role::Gateway, &[]);
    let publish = set(
        "weft.v1.req.>  weft.v1.ins.>  weft.v1.ctl.>  weft.v1.wrk.>  \
        weft.v1.evt.>  weft.v1.aud.gateway.*  weft.v1.trc.gateway  weft.v1.hb.gateway.*  \
        weft.v1.prb.gateway  weft.v1.req.gateway.weft.>  $JS.FC.>",
    );
    assert_eq!(gateway.publish, publish);
    assert_eq!(
        gateway.subscribe,
        set("weft.v1.{rep,inb,dlv}.gateway.>  weft.v1.ntf.>")
    );
    let ops = of("ops", Role::Operator, &["admin:mesh/tokens"]);
    assert_eq!(
        ops.publish,
        set("weft.v1.req.ops.weft.>  $SRV.>  weft.v1.trc.ops  weft.v1.prb.ops  $JS.FC.>")
    );
    assert_eq!(
        ops.subscribe,
        set("weft.v1.{rep,inb,dlv}.ops.>  weft.v1.srv.>  weft.v1.ntf.>")
    );
    let root = of("root", Role::Operator, &["*"]);
    assert!(root.may_publish("weft.v1.req.root.gh.tools.call.x"));
    assert!(!root.may_publish("weft.v1.req.ops.gh.tools.call.x"));
}

#[test]
fn who_gets_no_lists() {
    for (sub, role, permissions, ok) in [
        ("weft", Role::Operator, &["*"][..], false),
        ("gateway", Role::Caller, &[], false),
        ("gateway", Role::Gateway, &[], true),
        ("edge", Role::Gateway, &["*"], false),
        ("gh", Role::Server, &["serve:tools/jira/*"], false),
        ("gh", Role::Server, &["serve:tools/gh/x"], false),
        ("gh", Role::Server, &["call:tools/gh/*"], false),
        ("gh", Role::Server, &["serve:tools/gh/*"], true),
        ("Alice", Role::Server, &["*"], false),
        ("Alice", Role::Caller, &["*"], true),
    ] {
        let given = lists(&claims(sub, role, permissions), &Rules::default());
        assert_eq!(given.is_ok(), ok, "{sub} {role} {permissions:?}");
    }
}

#[test]
fn wildcards_cover_what_the_broker_lets_them_cover() {
    for (pattern, subject, yes) in [
        ("a.*.c", "a.b.c", true),
        ("a.*.c", "a.b.d", false),
        ("a.>", "a.b.c", true),
        ("a.>", "a", false),
        ("a.b", "a.b.c", false),
        ("a.b.c", "a.b", false),
    ] {
        assert_eq!(covers(pattern, subject), yes, "{pattern} {subject}");
    }
}

proptest! {
    /// Whatever a token says: nobody speaks under another's name, or reads another's durable.
    #[test]
    fn everyone_stays_himself(
        role in proptest::sample::select(&[Role::Caller, Role::Server, Role::Operator][..]),
        actions in proptest::collection::vec("call|list|read|publish|subscribe|replay|admin|\\*|c\\*", 1..6),
        targets in proptest::collection::vec(
            "\\*|tools/\\*|t\\*|tools/[a-c]{1,2}(/[a-c*.>$]{1,3})?\\*?|prompts/b/\\PC{1,4}|resources/[ab]/x:.\\*?|events/(me|bob|m\\*|\\*)(/[a-z.*>]{1,5})?\\*?|mesh/tokens", 6),
    ) {
        let permissions: Vec<String> = actions.iter().zip(&targets)
            .map(|(action, target)| format!("{action}:{target}"))
            .filter(|text| Permissions::parse(&[text]).is_ok())
            .chain(["serve:tools/me/*".to_owned()])
            .collect();
        let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
        let lists = of("me", role, &permissions);
        for line in &lists.publish {
            let tokens: Vec<&str> = line.split('.').collect();
            prop_assert!(tokens.iter().all(|t| !t.is_empty() && !t.contains(' ')), "{}", line);
            prop_assert!(!tokens[..tokens.len() - 1].contains(&">"), "{}", line);
            match tokens[..] {
                ["weft", "v1", "rep", ..] => prop_assert_eq!(tokens[5], "me", "{}", line),
                ["weft", "v1", "js", ..] => prop_assert!(line.contains(".WEFT_WORK.me") || line.contains("$KV.WEFT_TASK.me.") || line.contains("$KV.WEFT_ONCE.me."), "{}", line),
                ["weft", "v1", "dlq", ..] => prop_assert_eq!(tokens[4], "me", "{}", line),
                ["weft", "v1", "srv", ..] => {}
                ["weft", "v1", "req" | "ins" | "ctl" | "wrk" | "evt" | "dlv" | "aud" | "trc" | "hb" | "ntf" | "prb", ..] =>
                    prop_assert_eq!(tokens[3], "me", "{}", line),
                ["$KV", "WEFT_TASK" | "WEFT_ONCE", who, ..] => prop_assert_eq!(who, "me"),
                ["$JS", "FC", ..] => {}
                ["$JS", "ACK", ..] => prop_assert_eq!(tokens[3], "me"),
                _ => prop_assert_eq!(line.as_str(), "$SRV.>"),
            }
        }
        for line in &lists.subscribe {
            let tokens: Vec<&str> = line.split(['.', ' ']).collect();
            match tokens[..] {
                ["weft", "v1", "rep" | "inb" | "dlv", ..] => prop_assert_eq!(tokens[3], "me", "{}", line),
                ["weft", "v1", "req", ..] => prop_assert_eq!(line.as_str(), "weft.v1.req.*.me.> weft"),
                ["weft", "v1", "ins" | "ctl", ..] => prop_assert_eq!(tokens[4], "me", "{}", line),
                ["weft", "v1", "ntf" | "srv", ..] => {}
                _ => prop_assert!(line.starts_with("$SRV."), "{}", line),
            }
        }
    }
}

#[test]
fn what_is_granted_and_denied_at_run_time_stands_in_the_lists() {
    let alice = claims(
        "alice",
        Role::Caller,
        &["call:tools/gh/*", "publish:events/alice/*"],
    );
    let with = |grants: &[(&str, bool, Option<&str>)]| {
        let grant = |(permission, deny, condition): &(&str, bool, Option<&str>)| Grant {
            id: uuid::Uuid::now_v7(),
            who: "al*".to_owned(),
            permission: (*permission).to_owned(),
            deny: *deny,
            condition: condition.map(str::to_owned),
        };
        let grants: Vec<Grant> = grants.iter().map(grant).collect();
        lists(&alice, &Rules::read(&grants).expect("grants")).expect("lists")
    };
    let call = |tool: &str| format!("weft.v1.req.alice.gh.tools.call.{tool}");
    let jira = "weft.v1.req.alice.jira.tools.call.x";
    assert!(with(&[]).may_publish(&call("drop")) && !with(&[]).may_publish(jira));
    assert!(with(&[("call:tools/jira/x", false, None)]).may_publish(jira));
    // Whether a condition holds, adapters see: the broker lets it pass.
    let small = Some("arguments.n < 1");
    assert!(with(&[("call:tools/jira/x", false, small)]).may_publish(jira));
    assert!(with(&[("call:tools/gh/drop", true, small)]).may_publish(&call("drop")));
    // What is cut short is no subject: adapters decide it.
    assert!(with(&[("call:tools/gh/dr*", true, None)]).may_publish(&call("drop")));
    let denied = with(&[("call:tools/gh/drop", true, None)]);
    assert!(!denied.may_publish(&call("drop")) && denied.may_publish(&call("list")));
    assert!(denied.may_publish("weft.v1.req.alice.gh.tools.list._"));
    assert!(!with(&[("call:tools/gh/*", true, None)]).may_publish(&call("list")));
    assert!(!with(&[("*", true, None)]).may_publish(&call("list")));
    // Nobody else decides about publishing: what can't be said exactly is taken in whole.
    let event = |kind: &str| format!("weft.v1.evt.alice.{kind}");
    for (denial, condition, kind, may) in [
        (
            "publish:events/alice/task.secret",
            None,
            "task.secret",
            false,
        ),
        (
            "publish:events/alice/task.secret",
            None,
            "task.created",
            true,
        ),
        ("publish:events/alice/task.se*", None, "task.created", false),
        (
            "publish:events/alice/task.se*",
            None,
            "research.started",
            true,
        ),
        ("publish:events/*", None, "task.created", false),
        ("publish:events/bob/*", None, "task.created", true),
        ("publish:events/al*", None, "task.created", false),
        (
            "publish:events/alice/task.*",
            Some("caller == 'bob'"),
            "task.x",
            false,
        ),
        ("*", None, "task.created", false),
    ] {
        let lists = with(&[(denial, true, condition)]);
        assert_eq!(lists.may_publish(&event(kind)), may, "{denial} {kind}");
    }
}

#[test]
fn who_is_denied_to_serve_is_not_let_in() {
    let gh = claims("gh", Role::Server, &["serve:tools/gh/*"]);
    let denied = |permission: &str| {
        let grant = Grant {
            id: uuid::Uuid::now_v7(),
            who: "gh".to_owned(),
            permission: permission.to_owned(),
            deny: true,
            condition: None,
        };
        lists(&gh, &Rules::read(&[grant]).expect("a grant")).is_err()
    };
    assert!(denied("serve:tools/gh/*") && denied("serve:*") && denied("*"));
    assert!(!denied("serve:tools/jira/*") && !denied("call:tools/gh/*"));
}
