//! The layer: who is refused, in which words, and until when.

use bytes::Bytes;
use tower::ServiceExt as _;

use super::*;
use crate::{
    call::{self, Permissions, Principal, service::answer},
    mcp::Request,
    name::ServerName,
};

fn call(who: &str, tool: &str) -> Call {
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
    let mut call = Call::new(
        ServerName::new("gh").expect("a name"),
        Request::parse(Bytes::from(body)).expect("a request"),
        call::Context::new(Duration::from_secs(1)),
    );
    let who = Identity::new(who).expect("a name");
    let principal = Principal::new(who, Permissions::default());
    call.context.principal = Some(Arc::new(principal));
    call
}

/// A server that works for a second.
fn limited(limiter: &Limiter) -> impl CallService {
    let inner = answer(|_: Call| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Reply {
            body: Bytes::from_static(b"{}"),
            failed: false,
        })
    });
    Limit::new(Some(limiter.clone()), None, inner)
}

fn rate(text: &str, count: u32, burst: u32) -> Option<Rate> {
    Some(Rate {
        count,
        per: Duration::from_secs(1),
        burst,
        text: text.into(),
    })
}

fn per_tool(rate: Option<Rate>) -> Rules {
    Rules {
        tool: Rule {
            key: "limits.perTool".into(),
            rate,
            ..Rule::default()
        },
        ..Rules::default()
    }
}

#[tokio::test(start_paused = true)]
async fn too_often_is_refused_until_the_time_it_says() {
    let limiter = Limiter::new(per_tool(rate("2/s", 2, 1)));
    let ask = |who: &'static str, tool: &'static str| limited(&limiter).oneshot(call(who, tool));
    let began = Instant::now();
    let (first, second, another_tool, another_caller) = tokio::join!(
        ask("alice", "a"),
        ask("alice", "a"),
        ask("alice", "b"),
        ask("bob", "a")
    );
    assert!(first.is_ok() && another_tool.is_ok() && another_caller.is_ok());
    let error = second.expect_err("too often");
    assert_eq!(error.kind(), Kind::RateLimitExceeded);
    assert_eq!(
        error.message(),
        "`alice` calls `gh/a` too often: 2/s, 1 of them at once (`limits.perTool.rate`); again in \
         500 ms"
    );
    assert_eq!(error.context().metadata["limit"], "limits.perTool.rate");
    let after = error.comes_back_after().expect("a hint");
    assert_eq!(after, Duration::from_millis(500));
    assert_eq!(
        began.elapsed(),
        Duration::from_secs(1),
        "as long as one works"
    );
    ask("alice", "a").await.expect("the hint is over");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_makes_room() {
    let mut rules = per_tool(None);
    rules.caller = Rule {
        key: "servers.gh.limits.perCaller".into(),
        in_flight: Some(1),
        ..Rule::default()
    };
    let limiter = Limiter::new(rules);
    let mut under_way = limited(&limiter).oneshot(call("alice", "a"));
    assert!(futures_util::poll!(&mut under_way).is_pending());
    let busy = limited(&limiter).oneshot(call("alice", "b")).await;
    let error = busy.expect_err("one at a time");
    assert_eq!(error.kind(), Kind::ServerOverloaded);
    let said = error.message();
    assert!(
        said.contains("1 at a time (`servers.gh.limits.perCaller.inFlight`)"),
        "{said}"
    );
    assert!(error.comes_back_after().is_some());
    drop(under_way);
    let next = limited(&limiter).oneshot(call("alice", "b")).await;
    next.expect("there is room");
}

#[tokio::test(start_paused = true)]
async fn rules_are_changed_under_way() {
    let limiter = Limiter::new(per_tool(rate("1/s", 1, 1)));
    let ask = || limited(&limiter).oneshot(call("alice", "a"));
    let mut under_way = ask();
    assert!(futures_util::poll!(&mut under_way).is_pending());
    assert!(ask().await.is_err());
    limiter.change(Rules::default());
    assert!(ask().await.is_ok(), "nothing is limited any more");
    let mut one = per_tool(None);
    one.tool.in_flight = Some(1);
    limiter.change(one);
    let still = limited(&limiter).oneshot(call("alice", "a")).await;
    assert!(still.is_err(), "the first was counted all along");
    under_way.await.expect("it ends");
    ask().await.expect("there is room");
}

#[test]
fn the_rule_of_a_tool_is_the_first_that_matches() {
    let named = |key: &str| Rule {
        key: key.into(),
        in_flight: Some(1),
        ..Rule::default()
    };
    let rules = Rules {
        tool: named("all"),
        tools: vec![
            (Pattern::new("list_all"), Rule::default()),
            (Pattern::new("list_*"), named("list")),
        ],
        ..Rules::default()
    };
    let of = |tool| rules.of_tool(tool).map(|rule| &*rule.key);
    assert_eq!(of("list_some"), Some("list"));
    assert_eq!(of("other"), Some("all"));
    assert_eq!(of("list_all"), None, "its own rule lifts the others");
}
