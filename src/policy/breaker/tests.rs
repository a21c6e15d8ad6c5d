//! What opens a breaker, what passes it, and what closes it.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use tokio::sync::Semaphore;
use tower::{Service as _, ServiceExt as _};

use super::*;
use crate::{
    call::{self, Call, CallService, Reply, service::answer},
    error::Started,
    mcp::Request,
};

const OK: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

fn a_call() -> Call {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#;
    Call::new(
        ServerName::new("gh").expect("a name"),
        Request::parse(Bytes::from(body)).expect("a request"),
        call::Context::new(Duration::from_secs(30)),
    )
}

fn reply(body: &'static str) -> Reply {
    Reply {
        failed: body != OK,
        body: Bytes::from_static(body.as_bytes()),
    }
}

fn breaker() -> Breaker {
    let server = ServerName::new("gh").expect("a name");
    Breaker::new(server, Options::new(Duration::from_secs(30)))
}

fn state(breaker: &Breaker) -> BreakerState {
    breaker.told().borrow().state
}

/// Behind this breaker, a server that ends each call so, after so long.
fn behind(
    breaker: &Breaker,
    took: Duration,
    end: impl Fn() -> Result<Reply, Error> + Clone + Send + Sync + 'static,
) -> impl CallService {
    let inner = answer(move |_: Call| {
        let end = end.clone();
        async move {
            tokio::time::sleep(took).await;
            end()
        }
    });
    Break::one(breaker.clone(), inner)
}

async fn calls(service: &impl CallService, count: usize) -> Vec<Result<Reply, Error>> {
    let mut ends = Vec::new();
    for _ in 0..count {
        ends.push(service.clone().oneshot(a_call()).await);
    }
    ends
}

fn lost() -> Error {
    Error::new(Kind::InternalError, "it broke").started(Started::Maybe)
}

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_open_it() {
    let breaker = breaker();
    let failing = behind(&breaker, Duration::ZERO, || Err(lost()));
    let fine = behind(&breaker, Duration::ZERO, || Ok(reply(OK)));
    calls(&failing, 4).await;
    calls(&fine, 1).await;
    calls(&failing, 4).await;
    assert_eq!(
        state(&breaker),
        BreakerState::Closed,
        "one in between went well"
    );
    calls(&failing, 1).await;
    assert_eq!(state(&breaker), BreakerState::Open);
    let refused = calls(&fine, 1).await.remove(0).expect_err("it is open");
    assert_eq!(refused.kind(), Kind::ServerOverloaded);
    assert!(refused.is_case(case::BREAKER_OPEN));
    assert!(
        refused.message().starts_with("Circuit breaker is OPEN"),
        "{refused}"
    );
    assert_eq!(refused.has_started(), Started::No);
    // At once another instance may take it; then there is nothing to come back for.
    assert_eq!(refused.comes_back_after(), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    let refused = calls(&fine, 1).await.remove(0).expect_err("it is open");
    assert_eq!(refused.comes_back_after(), Some(Duration::from_secs(59)));
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(calls(&fine, 1).await.remove(0).is_ok(), "its probe");
    assert_eq!(state(&breaker), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_of_many_failures_open_it_too() {
    let breaker = breaker();
    let failing = behind(&breaker, Duration::ZERO, || Err(lost()));
    let fine = behind(&breaker, Duration::ZERO, || Ok(reply(OK)));
    for _ in 0..9 {
        calls(&failing, 1).await;
        calls(&fine, 1).await;
    }
    calls(&fine, 1).await;
    assert_eq!(state(&breaker), BreakerState::Closed);
    calls(&failing, 1).await;
    assert_eq!(state(&breaker), BreakerState::Open, "ten of twenty");
}

#[tokio::test(start_paused = true)]
async fn each_failed_probe_doubles_the_wait_up_to_ten_minutes() {
    let breaker = breaker();
    let failing = behind(&breaker, Duration::ZERO, || Err(lost()));
    calls(&failing, 5).await;
    let mut waits = Vec::new();
    for _ in 0..6 {
        tokio::time::advance(Duration::from_secs(1)).await;
        let refused = calls(&failing, 1).await.remove(0).expect_err("it is open");
        let wait = refused.comes_back_after().expect("it says when");
        waits.push(wait.as_secs() + 1);
        tokio::time::advance(wait).await;
        calls(&failing, 1).await;
    }
    assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
    let told = breaker.told().borrow().clone();
    assert_eq!((told.opened, told.probes), (7, 6));
    assert_eq!(told.why.as_deref(), Some("INTERNAL_ERROR: it broke"));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_that_wait_send_one_probe() {
    let breaker = breaker();
    calls(&behind(&breaker, Duration::ZERO, || Err(lost())), 5).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    let (probes, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
    let (seen, opens) = (Arc::clone(&probes), Arc::clone(&gate));
    let slow = answer(move |_: Call| {
        seen.fetch_add(1, Ordering::Relaxed);
        let opens = Arc::clone(&opens);
        async move {
            opens.acquire().await.expect("it is open").forget();
            Ok(reply(OK))
        }
    });
    let service = Break::one(breaker.clone(), slow);
    let one = |_| service.clone().oneshot(a_call());
    let opened = async {
        // Behind all of them: each has been asked by now.
        tokio::task::yield_now().await;
        gate.add_permits(1);
    };
    let (ends, ()) = join(join_all((0..1000).map(one)), opened).await;
    let mut passed = 0;
    for end in ends {
        match end {
            Ok(_) => passed += 1,
            Err(refused) => assert!(refused.is_case(case::BREAKER_OPEN), "{refused}"),
        }
    }
    assert_eq!((passed, probes.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(state(&breaker), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_leaves_its_place_to_the_next() {
    let breaker = breaker();
    calls(&behind(&breaker, Duration::ZERO, || Err(lost())), 5).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    let mut slow = behind(&breaker, Duration::from_secs(5), || Ok(reply(OK)));
    let probe = slow.call(a_call());
    assert_eq!(state(&breaker), BreakerState::HalfOpen);
    assert!(calls(&slow, 1).await.remove(0).is_err(), "one is under way");
    drop(probe);
    assert!(calls(&slow, 1).await.remove(0).is_ok());
    assert_eq!(state(&breaker), BreakerState::Closed);
}

type End = fn() -> Result<Reply, Error>;

fn gone(which: &str) -> Result<Reply, Error> {
    let error = Error::new(Kind::ToolExecutionError, "gone").started(Started::Yes);
    Err(error.case(which))
}

/// How long a call took, how it ended, and whether five like it open the breaker.
fn ends() -> [(Duration, End, bool); 12] {
    // Half of the usual time has to have passed.
    let (short, long) = (Duration::from_secs(14), Duration::from_secs(15));
    let timeout: End = || Err(Error::new(Kind::Timeout, "late").started(Started::Maybe));
    let now = Duration::ZERO;
    [
        (now, || Err(lost()), true),
        (now, || Err(lost().case(case::CONNECTION_LOST)), false),
        (long, timeout, true),
        (short, timeout, false),
        (now, || gone(case::SERVER_EXITED), true),
        (now, || gone(case::RESULT_TOO_LARGE), false),
        (
            now,
            || Err(Error::new(Kind::ServerOverloaded, "full")),
            false,
        ),
        (
            now,
            || Err(Error::new(Kind::RateLimitExceeded, "often")),
            false,
        ),
        (now, || Err(Error::new(Kind::AccessDenied, "no")), false),
        // What a tool says of its work is an answer; that a server broke is none.
        (
            now,
            || {
                Ok(reply(
                    r#"{"jsonrpc":"2.0","id":1,"result":{"isError":true}}"#,
                ))
            },
            false,
        ),
        (
            now,
            || {
                Ok(reply(
                    r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"m"}}"#,
                ))
            },
            false,
        ),
        (
            now,
            || {
                Ok(reply(
                    r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"m"}}"#,
                ))
            },
            true,
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn only_what_is_the_servers_doing_counts() {
    for (took, end, opens) in ends() {
        let breaker = breaker();
        calls(&behind(&breaker, took, end), 5).await;
        let is = state(&breaker) == BreakerState::Open;
        assert_eq!(is, opens, "{took:?} {:?}", end());
    }
}

/// Its caller gives it up at the same deadline, a moment before.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_at_its_deadline_ran_out_of_time() {
    for (after, opens) in [(29_500, true), (28_500, false)] {
        let breaker = breaker();
        let hangs = behind(&breaker, Duration::from_secs(3600), || Ok(reply(OK)));
        for _ in 0..5 {
            let call = hangs.clone().oneshot(a_call());
            let given_up = tokio::time::timeout(Duration::from_millis(after), call).await;
            assert!(given_up.is_err());
        }
        assert_eq!(state(&breaker) == BreakerState::Open, opens, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_has_one_for_each_server() {
    let breakers = Breakers::new(Options::new(Duration::from_secs(30)));
    let failing = answer(|_: Call| async { Err(lost()) });
    let service = Break::each(breakers.clone(), failing);
    calls(&service, 5).await;
    // The control plane has none: others recover by it.
    for _ in 0..6 {
        let mut call = a_call();
        call.server = ServerName::weft();
        let error = service.clone().oneshot(call).await.expect_err("it fails");
        assert_eq!(error.kind(), Kind::InternalError);
    }
    let [gh, jira] = ["gh", "jira"].map(|name| ServerName::new(name).expect("a name"));
    assert_eq!(state(&breakers.of(&gh)), BreakerState::Open);
    assert_eq!(state(&breakers.of(&jira)), BreakerState::Closed);
}
