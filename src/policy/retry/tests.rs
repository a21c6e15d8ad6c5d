//! Which calls are made again, how often, and when.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tower::ServiceExt as _;

use super::*;
use crate::{
    call::{self, service::answer},
    error::case,
    mcp::Request,
};

/// A server that fails in this way, and counts how often it is called; the registry says what of
/// it is idempotent.
fn failing(
    error: impl Fn(u32) -> Option<Error> + Clone + Send + Sync + 'static,
    calls: &Arc<AtomicU32>,
) -> impl CallService {
    let calls = Arc::clone(calls);
    answer(move |call: Call| {
        let (calls, error) = (Arc::clone(&calls), error.clone());
        async move {
            let body = if call.server == ServerName::weft() {
                br#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"state":"healthy","calls":{"idempotent":["get*"],"keys":true}}}}"#.as_slice()
            } else {
                let made = calls.fetch_add(1, Ordering::Relaxed);
                if let Some(error) = error(made) {
                    return Err(error);
                }
                b"{}"
            };
            Ok(Reply {
                body: Bytes::from_static(body),
                failed: false,
            })
        }
    })
}

fn call_of(method: &str, tool: &str) -> Call {
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"{tool}"}}}}"#);
    Call::new(
        ServerName::new("gh").expect("a name"),
        Request::parse(Bytes::from(body)).expect("a request"),
        call::Context::new(Duration::from_secs(30)),
    )
}

/// How often a server is called that always fails so.
async fn attempts(call: Call, error: fn() -> Error) -> u32 {
    let calls = Arc::default();
    let service = Retry::new(Options::default(), failing(move |_| Some(error()), &calls));
    service.oneshot(call).await.expect_err("it fails");
    calls.load(Ordering::Relaxed)
}

fn timeout() -> Error {
    Error::new(Kind::Timeout, "late").started(Started::Maybe)
}

fn overloaded() -> Error {
    Error::new(Kind::ServerOverloaded, "full")
}

fn internal() -> Error {
    Error::new(Kind::InternalError, "lost")
        .case(case::CONNECTION_LOST)
        .started(Started::Maybe)
}

#[tokio::test(start_paused = true)]
async fn only_what_can_do_no_harm_is_repeated() {
    let tool = |name| call_of("tools/call", name);
    let mut keyed = tool("pay");
    keyed.context.key = Some("k".into());
    for (call, error, made) in [
        // It had not begun.
        (tool("pay"), overloaded as fn() -> Error, 4),
        // It may have.
        (tool("pay"), timeout, 1),
        (tool("pay"), internal, 1),
        // But this one may begin twice, so its operator says.
        (tool("get_user"), timeout, 4),
        (tool("get_user"), internal, 4),
        // And this one is known by its key.
        (keyed.clone(), timeout, 4),
        // This only asks, and this does not.
        (call_of("tools/list", ""), timeout, 4),
        (call_of("logging/setLevel", ""), timeout, 1),
    ] {
        assert_eq!(attempts(call.clone(), error).await, made, "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_four_kinds_are_worth_another_attempt() {
    for kind in Kind::ALL {
        let calls = Arc::default();
        let service = failing(move |_| Some(Error::new(kind, "no")), &calls);
        let service = Retry::new(Options::default(), service);
        let failed = service.oneshot(call_of("tools/call", "x")).await;
        let failed = failed.expect_err("it fails");
        let made = calls.load(Ordering::Relaxed);
        assert_eq!(made, if kind.is_retryable() { 4 } else { 1 }, "{kind}");
        let said = failed.context().metadata.get("attempts");
        assert_eq!(said.is_some(), made > 1, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_a_part_of_another_call_is_made_once() {
    let mut call = call_of("tools/call", "x");
    assert_eq!(attempts(call.clone(), overloaded).await, 4);
    call.context.repeats = false;
    assert_eq!(attempts(call, overloaded).await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_a_call_of_its_own_within_the_time_of_the_first() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let inner = answer(move |call: Call| {
        let sees = Arc::clone(&sees);
        async move {
            if call.server == ServerName::weft() {
                return Err(Error::new(Kind::Timeout, "the registry says nothing"));
            }
            let mut seen = sees.lock().expect("nobody panicked");
            seen.push(call.context);
            match seen.len() {
                1 => Err(overloaded()),
                2 => Err(overloaded().retry_after(Duration::from_secs(10))),
                _ => Ok(Reply {
                    body: Bytes::new(),
                    failed: false,
                }),
            }
        }
    });
    let began = Instant::now();
    let call = call_of("tools/call", "x");
    let reply = Retry::new(Options::default(), inner).oneshot(call).await;
    assert!(reply.is_ok());
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(10_500),
        "{took:?}: it comes back when it may"
    );
    let seen = seen.lock().expect("nobody panicked");
    let attempts: Vec<u8> = seen.iter().map(|context| context.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(seen[0].id != seen[1].id && seen[1].id != seen[2].id);
    for later in &seen[1..] {
        assert_eq!(later.deadline, seen[0].deadline, "one budget of time");
        let (first, later) = (&seen[0].correlation, &later.correlation);
        assert_eq!(first.to_string(), later.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_kept_waiting_for_an_attempt_that_would_come_too_late() {
    let calls = Arc::default();
    let late = |_| Some(overloaded().retry_after(Duration::from_secs(40)));
    let began = Instant::now();
    let service = Retry::new(Options::default(), failing(late, &calls));
    let error = service.oneshot(call_of("tools/call", "x")).await;
    assert_eq!(error.expect_err("full").kind(), Kind::ServerOverloaded);
    assert_eq!(
        (calls.load(Ordering::Relaxed), began.elapsed()),
        (1, Duration::ZERO)
    );
}

/// A server that fails always gets at most a fifth more than it is asked for, beyond ten a second.
#[tokio::test(start_paused = true)]
async fn a_server_that_fails_does_not_get_much_more_work_for_it() {
    let calls = Arc::default();
    let service = Retry::new(Options::default(), failing(|_| Some(overloaded()), &calls));
    let (offered, seconds) = (20_000_u32, 20);
    let one = |n: u32| {
        let service = service.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(seconds) * n / offered).await;
            service.oneshot(call_of("tools/call", "x")).await
        }
    };
    let ends = futures_util::future::join_all((0..offered).map(one)).await;
    assert!(ends.iter().all(Result::is_err));
    let made = calls.load(Ordering::Relaxed);
    // What may be repeated in any case, of a budget that begins with ten seconds of it.
    let reserve = 10 * (u32::try_from(seconds).expect("few") + 20);
    assert!(made <= offered * 12 / 10 + reserve, "{made} of {offered}");
    assert!(made > offered + 1000, "{made}: some were repeated");
}
