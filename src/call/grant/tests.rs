//! Decisions: each refusal with its twin, and the algebra of grants beside a model.

use proptest::prelude::*;

use super::*;
use crate::call::condition::Arguments;

fn grant(who: &str, permission: &str, deny: bool, condition: Option<&str>) -> Grant {
    Grant {
        id: Uuid::now_v7(),
        who: who.to_owned(),
        permission: permission.to_owned(),
        deny,
        condition: condition.map(str::to_owned),
    }
}

fn decide(
    grants: &[Grant],
    own: &[&str],
    who: &str,
    target: &str,
    arguments: Arguments<'_>,
) -> Decision {
    let rules = Rules::read(grants).expect("grants");
    let own = Permissions::parse(own).expect("permissions");
    let asked = Asked {
        caller: who,
        action: "call",
        target: &[target],
        claims: "{}",
    };
    let facts = Facts {
        server: "",
        tool: "",
        arguments,
        now_ms: Some(0),
    };
    rules.decide(&own, asked, facts)
}

#[test]
fn each_refusal_has_a_twin_that_is_permitted() {
    let give = |who| [grant(who, "call:tools/gh/*", false, None)];
    let may = |grants: &[Grant], own: &[&str], who, target| {
        decide(grants, own, who, target, Arguments::None).is_permitted()
    };
    assert!(may(&give("alice"), &[], "alice", "tools/gh/x"));
    assert!(!may(&give("alice"), &[], "bob", "tools/gh/x"));
    assert!(!may(&give("alice"), &[], "alice", "tools/jira/x"));
    assert!(may(&give("al*"), &[], "alice", "tools/gh/x"));
    assert!(!may(&give("al*"), &[], "bob", "tools/gh/x"));
    assert!(may(&give("*"), &[], "bob", "tools/gh/x"));
    let own = ["call:tools/gh/*"];
    assert!(may(&[], &own, "alice", "tools/gh/drop"));
    let deny = [grant("alice", "call:tools/gh/drop", true, None)];
    assert!(!may(&deny, &own, "alice", "tools/gh/drop"));
    assert!(may(&deny, &own, "alice", "tools/gh/list"));
    assert!(may(&deny, &own, "bob", "tools/gh/drop"));
    assert!(!may(
        &[grant("*", "*", true, None)],
        &["*"],
        "alice",
        "tools/gh/x"
    ));
}

#[test]
fn in_doubt_the_answer_is_no() {
    let (few, many) = (r#"{"amount":1}"#, r#"{"amount":1000}"#);
    let less = Some("arguments.amount < 100");
    let give = [grant("alice", "call:tools/pay/*", false, less)];
    let by_grant = |arguments| decide(&give, &[], "alice", "tools/pay/x", arguments);
    assert!(by_grant(Arguments::Json(few)).is_permitted());
    assert!(
        by_grant(Arguments::Any).is_permitted(),
        "for a list it may be"
    );
    for (arguments, reason) in [
        (Arguments::Json(many), Reason::Condition(give[0].id)),
        (Arguments::Json("{}"), Reason::Doubt(give[0].id)),
        (
            Arguments::Json(r#"{"amount":"1"}"#),
            Reason::Doubt(give[0].id),
        ),
        (Arguments::None, Reason::Doubt(give[0].id)),
    ] {
        assert_eq!(by_grant(arguments), Decision::Refused(reason));
    }
    let deny = [grant(
        "alice",
        "call:tools/pay/*",
        true,
        Some("arguments.amount >= 100"),
    )];
    let denied =
        |arguments| !decide(&deny, &["*"], "alice", "tools/pay/x", arguments).is_permitted();
    assert!(!denied(Arguments::Json(few)));
    assert!(denied(Arguments::Json(many)));
    assert!(
        denied(Arguments::Json("{}")),
        "what can't be decided is denied"
    );
    assert!(
        !denied(Arguments::Any),
        "a list shows what may be permitted"
    );
}

#[test]
fn what_can_not_be_read_is_refused() {
    for (who, permission, condition, why) in [
        ("al ice", "call:tools/x/y", None, "nobody"),
        ("", "call:tools/x/y", None, "nobody"),
        ("a*b", "call:tools/x/y", None, "nobody"),
        ("alice", "fly:tools/x/y", None, "no such action"),
        ("alice", "call:tools/x/y", Some("amount > 1"), "no name"),
    ] {
        let said = Rule::read(&grant(who, permission, false, condition)).expect_err(why);
        assert!(said.to_string().contains(why), "{said}");
    }
    assert!(
        Rule::read(&grant(
            "alice",
            "call:tools/x/y",
            false,
            Some("tool == 'y'")
        ))
        .is_ok()
    );
}

/// A permission over a small world, so that rules meet each other often.
fn small() -> impl Strategy<Value = String> {
    "(\\*|call|read|ca\\*):(\\*|tools/\\*|tools/[ab]/\\*|tools/[ab]/[xy]|tools/[ab]\\*)"
}

proptest! {
    /// The permission algebra, beside a model of one line: somebody may what his token or a grant
    /// of his permits, and no grant of his denies. The order of grants says nothing.
    #[test]
    fn denials_win_and_order_says_nothing(
        given in proptest::collection::vec(("(alice|bob|al\\*|\\*)", small(), any::<bool>()), 0..8),
        own in proptest::collection::vec(small(), 0..3),
        target in "tools/[ab]/[xy]",
    ) {
        let grants: Vec<Grant> = given
            .iter()
            .map(|(who, permission, deny)| grant(who, permission, *deny, None))
            .collect();
        let covers = |text: &str| {
            let one = Permissions::parse(&[text]).expect("a permission");
            one.permitting("call", &[&target]).is_some()
        };
        let mine = |who: &str| ["alice", "al*", "*"].contains(&who);
        let hit = |deny: bool| given.iter().any(|(who, permission, is)| {
            *is == deny && mine(who) && covers(permission)
        });
        let model = !hit(true) && (hit(false) || own.iter().any(|text| covers(text)));
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let forward = decide(&grants, &own, "alice", &target, Arguments::None);
        let backward: Vec<Grant> = grants.into_iter().rev().collect();
        let backward = decide(&backward, &own, "alice", &target, Arguments::None);
        prop_assert_eq!(forward.is_permitted(), model);
        prop_assert_eq!(backward.is_permitted(), model);
    }

    /// More grants that deny never permit more; more that give never permit less.
    #[test]
    fn rules_add_up_in_one_direction(
        given in proptest::collection::vec(("(alice|\\*)", small(), any::<bool>()), 0..6),
        more in ("(alice|\\*)", small()),
        target in "tools/[ab]/[xy]",
    ) {
        let mut grants: Vec<Grant> = given
            .iter()
            .map(|(who, permission, deny)| grant(who, permission, *deny, None))
            .collect();
        let may = |grants: &[Grant]| {
            decide(grants, &[], "alice", &target, Arguments::None).is_permitted()
        };
        let before = may(&grants);
        grants.push(grant(&more.0, &more.1, true, None));
        prop_assert!(!may(&grants) || before);
        grants.pop();
        grants.push(grant(&more.0, &more.1, false, None));
        prop_assert!(may(&grants) || !before);
    }
}
