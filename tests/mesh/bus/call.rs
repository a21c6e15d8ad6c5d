//! A call and its outcome: answered, unheard, denied, late, given up.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::join_all};
use tokio::time::Instant;
use tower::ServiceExt as _;
use weftbus::{
    bus::{Auth, Bounds, Remote, ServeOptions, serve},
    call::{Call, SharedService, service::answer},
    error::{Kind, Started, case},
    name::CallId,
    policy::caller,
    telemetry::metric::{Side, Tools},
};

use super::bench::{
    Bench, SOON, ask, body, call, call_of, echo, echoed, gated, header, headers, limits, options,
    passes, reply, server,
};
use crate::process::until;

#[tokio::test]
async fn a_call_and_its_answer_are_kept_to_the_byte() {
    let bench = Bench::new();
    let asked = Bytes::from_static(
        b"{ \"jsonrpc\":\"2.0\",\n \"new\": {\"z\":1.50, \"a\":[ ]}, \"id\" : \"\\u00e9\",\
          \"method\":\"tools/call\", \"params\":{\"other\":1e2,\"name\":\"x\"} }",
    );
    let answered = Bytes::from_static(
        b"{\"jsonrpc\" : \"2.0\",\"id\":\"\\u00e9\",\t\"x-y\":0,\"result\":{\"b\":1,\"a\":2.0}}",
    );
    let (expected, said) = (asked.clone(), answered.clone());
    let service = answer(move |call: Call| {
        assert_eq!(call.request.body(), &expected);
        assert_eq!(
            call.context.caller.as_ref().map(|c| c.as_str()),
            Some("alice")
        );
        let said = said.clone();
        async move { Ok(reply(said)) }
    });
    let _served = bench.serve(SharedService::new(service)).await;
    let remote = bench.remote("alice").await;
    let heard = ask(&remote, call_of("gh", asked, SOON))
        .await
        .expect("answered");
    assert_eq!(heard.body, answered);
    assert!(!heard.failed);
    assert_eq!(remote.link().calls_under_way(), 0);
}

#[tokio::test]
async fn a_thousand_calls_at_once_hear_their_own_answers() {
    let bench = Bench::new();
    let _served = bench.serve_as(limits(2000), echo()).await;
    let remote = bench.remote("alice").await;
    let calls = (0..1000).map(|n| {
        let remote = remote.clone();
        async move {
            let sent = call_of("gh", body(&format!(r#","arguments":{{"n":{n}}}"#)), SOON);
            let heard = ask(&remote, sent.clone()).await.expect("answered");
            assert_eq!(heard.body, echoed(&sent).body);
        }
    });
    assert_eq!(join_all(calls).await.len(), 1000);
    assert_eq!(remote.link().calls_under_way(), 0);
}

#[tokio::test]
async fn that_nobody_is_there_is_known_at_once() {
    let bench = Bench::new();
    let remote = bench.remote("alice").await;
    let began = Instant::now();
    let error = ask(&remote, call()).await.expect_err("nobody serves it");
    assert!(error.is_case(case::NO_RESPONDERS), "{error:?}");
    assert_eq!(error.kind(), Kind::ServerOverloaded);
    assert_eq!(error.has_started(), Started::No);
    assert!(began.elapsed() < Duration::from_secs(2));
    let _served = bench.serve(echo()).await;
    passes(&remote).await;
}

const USERS: &str = r#"
authorization { users: [
  { user: alice, password: p, permissions: {
      publish: ["weft.v1.req.alice.gh.>", "weft.v1.prb.alice"], subscribe: ["weft.v1.rep.alice.>"] } }
  { user: gh, password: p, permissions: {
      publish: ["weft.v1.rep.*.*.gh.*", "weft.v1.prb.gh"],
      subscribe: ["weft.v1.req.*.gh.>", "weft.v1.ins.*.gh.>", "weft.v1.ctl.*.gh.cancel", "weft.v1.rep.gh.>"] } }
  { user: mute, password: p, permissions: { publish: ["weft.v1.prb.mute"], subscribe: ["x"] } }
  { user: root, password: p }
] }"#;

fn password(user: &str) -> Auth {
    Auth::Password(user.to_owned(), "p".to_owned())
}

#[tokio::test]
async fn what_the_broker_denies_is_told_at_once() {
    let bench = Bench::with(USERS);
    let root = bench.join("root", password("root")).await.expect("known");
    let gh = bench.join("gh", password("gh")).await.expect("known");
    let other = ServeOptions {
        server: server("other"),
        ..options()
    };
    let _other = serve(&root, other.clone(), echo(), &bench.tasks)
        .await
        .expect("all");
    let _served = serve(&gh, options(), echo(), &bench.tasks)
        .await
        .expect("its own");
    let alice = bench.join("alice", password("alice")).await.expect("known");
    let remote = Remote::new(alice, Bounds::default());
    passes(&remote).await;

    let began = Instant::now();
    let asks = (0..64).map(|_| ask(&remote, call_of("other", body(""), SOON)));
    for outcome in join_all(asks).await {
        let error = outcome.expect_err("no permission");
        assert_eq!(error.kind(), Kind::AccessDenied, "{error:?}");
        assert_eq!(error.has_started(), Started::No);
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "not by a time-out"
    );
    let root = Remote::new(root, Bounds::default());
    let twin = ask(&root, call_of("other", body(""), SOON)).await;
    assert!(twin.is_ok(), "{twin:?}");

    let error = serve(&gh, other, echo(), &bench.tasks)
        .await
        .expect_err("not its name");
    assert_eq!(error.kind(), Kind::AccessDenied, "{error:?}");
    let error = bench
        .join("mute", password("mute"))
        .await
        .expect_err("no inbox");
    assert_eq!(error.kind(), Kind::AccessDenied, "{error:?}");
    let wrong = Auth::Password("alice".into(), "q".into());
    let error = bench
        .join("alice", wrong)
        .await
        .expect_err("a wrong password");
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error:?}");
    passes(&remote).await;
}

#[tokio::test]
async fn a_late_call_is_a_timeout_and_its_server_is_told() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let _served = bench.serve(service).await;
    let remote = bench.remote("alice").await;
    let tools = Tools::new(Side::Client);
    let stack = caller::stack(remote.clone(), caller::Options::new(tools, SOON));
    let late = call_of("gh", body(""), Duration::from_millis(300));
    let error = stack.clone().oneshot(late).await.expect_err("late");
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    assert_eq!(error.has_started(), Started::Maybe);
    until(SOON, "the server let go of it", || seen.dropped() == 1).await;
    assert_eq!((seen.came(), seen.now()), (1, 0));
    open.send_replace(true);
    let twin = stack.oneshot(call_of("gh", body(""), SOON)).await;
    assert!(twin.is_ok(), "{twin:?}");
    assert_eq!(remote.link().calls_under_way(), 0);
}

#[tokio::test]
async fn who_drops_a_thousand_calls_cancels_them_all() {
    let bench = Bench::new();
    let (service, seen, _open) = gated();
    let _served = bench.serve_as(limits(2000), service).await;
    let remote = bench.remote("alice").await;
    let mut calls: Vec<_> = (0..1000)
        .map(|_| remote.clone().oneshot(call()).boxed())
        .collect();
    until(SOON, "all came", || {
        for call in &mut calls {
            assert!(call.now_or_never().is_none(), "the gate is shut");
        }
        seen.now() == 1000
    })
    .await;
    drop(calls);
    until(SOON, "all were dropped", || seen.dropped() == 1000).await;
    assert_eq!(remote.link().calls_under_way(), 0);
}

#[tokio::test]
async fn only_the_caller_cancels_and_only_by_the_calls_id() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let _served = bench.serve(service).await;
    let mut alice = bench.hand("alice").await;
    let id = CallId::now();
    alice.send(id, headers(&[]), body("")).await;
    until(SOON, "it came", || seen.now() == 1).await;

    let own = "weft.v1.ctl.alice.gh.cancel";
    let client = &alice.client;
    for (subject, body) in [
        ("weft.v1.ctl.bob.gh.cancel", id.to_string()),
        (own, CallId::now().to_string()),
        (own, id.to_string().to_uppercase()),
        (own, String::new()),
        (own, "\u{fffd}".repeat(1000)),
        ("weft.v1.ctl.alice.gh", id.to_string()),
    ] {
        client
            .publish(subject, body.into())
            .await
            .expect("connected");
    }
    let stored = headers(&[("Nats-Stream", "WEFT_TASKS")]);
    let publish = client.publish_with_headers(own, stored, id.to_string().into());
    publish.await.expect("connected");
    // What was sent before an answered call was read before it.
    open.send_replace(true);
    assert!(alice.next().await.subject.ends_with(&id.to_string()));
    assert_eq!(seen.dropped(), 0);

    // The twin: his own, by its id.
    open.send_replace(false);
    let id = CallId::now();
    alice.send(id, headers(&[]), body("")).await;
    until(SOON, "it came", || seen.now() == 1).await;
    alice
        .client
        .publish(own, id.to_string().into())
        .await
        .expect("connected");
    until(SOON, "it was cancelled", || seen.dropped() == 1).await;
}

#[tokio::test]
async fn a_second_call_with_the_same_id_costs_the_first_nothing() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let _served = bench.serve(service).await;
    let remote = bench.remote("alice").await;
    let twice = call();
    let mut first = remote.clone().oneshot(twice.clone()).boxed();
    until(SOON, "it came", || {
        assert!((&mut first).now_or_never().is_none());
        seen.now() == 1
    })
    .await;
    let error = ask(&remote, twice.clone()).await.expect_err("the same id");
    assert_eq!(error.kind(), Kind::InvalidRequest, "{error:?}");

    // Past our own multiplexer: the server refuses it, and still knows the first one.
    let mut hand = bench.hand("alice").await;
    hand.send(twice.context.id, headers(&[]), body("")).await;
    let refused = hand.next().await;
    assert_eq!(header(&refused, "Nats-Service-Error-Code"), Some("-32600"));
    let own = "weft.v1.ctl.alice.gh.cancel";
    let id = twice.context.id.to_string();
    hand.client
        .publish(own, id.into())
        .await
        .expect("connected");
    until(SOON, "the first can be cancelled", || seen.dropped() == 1).await;
    drop(first);
    open.send_replace(true);
    passes(&remote).await;
}

#[tokio::test]
async fn a_plain_micro_service_is_a_server() {
    let bench = Bench::new();
    let remote = bench.remote("alice").await;
    let (plain, mut requests) = bench.listen("weft.v1.req.*.gh.>").await;
    let answers = async {
        for n in 0..3 {
            let request = requests.next().await.expect("connected");
            let to = request.reply.expect("a call has one");
            let error = headers(&[
                ("Nats-Service-Error", "no more paper"),
                ("Nats-Service-Error-Code", "500"),
            ]);
            let sent = match n {
                0 => plain.publish(to, echoed(&call()).body).await,
                // As the library's own `service` does it: an error in the headers alone.
                1 => plain.publish_with_headers(to, error, Bytes::new()).await,
                _ => plain.publish(to, Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":7,\"message\":\"m\"}}")).await,
            };
            sent.expect("connected");
        }
    };
    let asks = async {
        passes(&remote).await;
        let error = ask(&remote, call()).await.expect_err("it said so");
        assert_eq!(error.kind(), Kind::ToolExecutionError);
        assert_eq!(error.has_started(), Started::Yes);
        assert!(error.message().contains("no more paper"), "{error}");
        let own = ask(&remote, call()).await.expect("passed through");
        assert!(own.body.ends_with(b"\"message\":\"m\"}}"));
    };
    tokio::join!(answers, asks);
}
