//! What a server must not die of: garbage from outside, panics from within.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use weftbus::{
    call::{Call, CallFuture, Reply, SharedService, service::answer},
    error::{Error, Kind, Started},
    name::CallId,
};

use super::bench::{
    Bench, Hand, SOON, ask, body, call, call_of, echo, echoed, header, headers, json, passes,
};

/// An id of a call that was made so many seconds from now.
fn id_at(seconds: i64) -> CallId {
    let now = CallId::now().unix_ms().cast_signed();
    let ms = (now + seconds * 1000).cast_unsigned();
    let stamp = uuid::Timestamp::from_unix_time(ms / 1000, 0, 0, 0);
    let id = uuid::Uuid::new_v7(stamp).as_simple().to_string();
    CallId::parse(&id).expect("a call id")
}

/// What comes, and the code and the words that it is answered with.
fn garbage() -> Vec<(CallId, HeaderMap, Bytes, i64, &'static str)> {
    let good = || body("");
    let none = HeaderMap::new;
    let past = "the call was";
    vec![
        (CallId::now(), none(), Bytes::from("not json"), -32700, ""),
        (CallId::now(), none(), Bytes::new(), -32700, ""),
        (
            CallId::now(),
            none(),
            Bytes::from(vec![0xff; 5000]),
            -32700,
            "",
        ),
        (
            CallId::now(),
            none(),
            Bytes::from("[".repeat(100_000)),
            -32600,
            "",
        ),
        (CallId::now(), none(), Bytes::from("[]"), -32600, ""),
        (CallId::now(), none(), Bytes::from("{}"), -32600, ""),
        (
            CallId::now(),
            none(),
            Bytes::from(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}"#),
            -32600,
            "needs an `id`",
        ),
        (
            CallId::now(),
            none(),
            Bytes::from(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#),
            -32600,
            "and the subject is",
        ),
        (
            CallId::now(),
            none(),
            Bytes::from(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"y"}}"#),
            -32600,
            "and the subject is",
        ),
        (CallId::now(), weft("2"), good(), -32600, "version 2"),
        (CallId::now(), weft("1;ms=soon"), good(), -32600, "no value"),
        (CallId::now(), weft("1;corr=a/b"), good(), -32600, "`corr`"),
        (id_at(60), none(), good(), -32600, "from the future"),
        (id_at(-60), none(), good(), -32005, past),
        (id_at(-10), weft("1;ms=1000"), good(), -32005, past),
        (
            CallId::now(),
            weft("1;parts=9;size=18446744073709551615"),
            Bytes::new(),
            -32600,
            "takes at most",
        ),
    ]
}

fn weft(text: &str) -> HeaderMap {
    headers(&[("Weft", text)])
}

#[tokio::test]
async fn garbage_is_told_by_its_name() {
    let bench = Bench::new();
    let _served = bench.serve(echo()).await;
    let remote = bench.remote("alice").await;
    let mut alice = bench.hand("alice").await;
    for (id, headers, body, code, says) in garbage() {
        alice.send(id, headers, body.clone()).await;
        let heard = alice.next().await;
        let error = &json(&heard)["error"];
        let (message, shown) = (
            error["message"].as_str().expect("words"),
            &body[..body.len().min(80)],
        );
        assert_eq!(error["code"], code, "{shown:?}: {message}");
        assert!(message.contains(says), "{shown:?}: {message}");
        assert_eq!(
            header(&heard, "Nats-Service-Error-Code"),
            Some(code.to_string().as_str())
        );
        assert_eq!(error["data"]["started"], "no");
        passes(&remote).await;
    }
    // The twins of the last three.
    for (id, headers) in [
        (id_at(1), HeaderMap::new()),
        (id_at(-10), HeaderMap::new()),
        (id_at(-2), weft("1;ms=1000")),
    ] {
        alice.send(id, headers, body("")).await;
        assert_eq!(json(&alice.next().await)["result"]["method"], "tools/call");
    }
}

#[tokio::test]
async fn what_nobody_may_be_answered_for_is_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = dir.path().display();
    let bench = Bench::with(&format!("jetstream {{ store_dir: \"{store}\" }}"));
    let _served = bench.serve(echo()).await;
    let remote = bench.remote("alice").await;
    let alice = bench.hand("alice").await;
    let to = "weft.v1.req.alice.gh.tools.call.x";
    let own = alice.reply(CallId::now());
    let stolen = own.replace(".alice.", ".bob.");
    let jira = own.replace(".gh.", ".jira.");
    let (client, mut spy) = bench.listen(">").await;
    for reply in [
        stolen.as_str(),
        jira.as_str(),
        "$JS.API.STREAM.NAMES",
        "$KV.WEFT_TOKENS.x",
        "weft.v1.rep.alice.c.gh",
        "weft.v1.rep.alice.c.gh.1",
        "weft.v1.inb.alice.c.1",
        "weft.v1.req.alice.gh.tools.call.x",
    ] {
        let publish = alice
            .client
            .publish_with_reply(to, reply.to_owned(), body(""));
        publish.await.expect("connected");
        passes(&remote).await;
    }
    alice.client.publish(to, body("")).await.expect("connected");
    let stored = headers(&[("Nats-Stream", "WEFT_TASKS")]);
    alice.send(CallId::now(), stored, body("")).await;
    for subject in [
        "weft.v1.req.alice.gh.x",
        "weft.v1.req.alice.gh.tools.call.x.y.z",
    ] {
        let publish = alice
            .client
            .publish_with_reply(subject, own.clone(), body(""));
        publish.await.expect("connected");
    }
    long_subjects(&alice).await;
    passes(&remote).await;
    drop(alice);

    // What went over the broker: answers to good calls, and to the one whose subject could be read.
    let answers = answers_until(&own, &client, &mut spy).await;
    assert!(
        answers
            .iter()
            .all(|to| to.starts_with("weft.v1.rep.alice.")),
        "{answers:?}"
    );
    let to_hand = answers.iter().filter(|to| **to == own).count();
    assert_eq!(
        to_hand, 1,
        "the subject that can be read, and is not the body's"
    );
}

/// What the spy heard beside requests, up to a mark that it sets once `own` was answered: what the
/// broker had before the mark comes before it.
async fn answers_until(own: &str, client: &Client, spy: &mut Subscriber) -> Vec<String> {
    let mut answers = Vec::new();
    loop {
        let message = tokio::time::timeout(SOON, spy.next()).await;
        let subject = message.expect("in time").expect("connected").subject;
        match subject.as_str() {
            "the.mark" => return answers,
            "nobody.there" => {}
            asked if asked.starts_with("weft.v1.req.") || asked.starts_with("weft.v1.prb.") => {}
            answer => {
                if answer == own && !answers.iter().any(|known| known == own) {
                    let mark = client.publish("the.mark", Bytes::new());
                    mark.await.expect("connected");
                }
                answers.push(answer.to_owned());
            }
        }
    }
}

/// Subjects near the broker's limit, and beyond it: that ends the connection of who sent them.
async fn long_subjects(alice: &Hand) {
    for size in [1000, 3500, 5000] {
        let name = "x".repeat(size);
        let to = format!("weft.v1.req.alice.gh.tools.call.{name}");
        let call = body("").to_vec();
        let publish = alice.client.publish(to, call.into());
        publish.await.expect("connected");
    }
}

#[tokio::test]
async fn an_error_larger_than_a_message_is_cut_and_told() {
    let bench = Bench::with("max_payload: 65536");
    let _served = bench.serve(echo()).await;
    let remote = bench.remote("alice").await;
    let mut alice = bench.hand("alice").await;
    // It quotes the name, and every byte of that becomes six.
    let name = "\\u0001".repeat(9000);
    let quoted =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#);
    alice.send(CallId::now(), headers(&[]), quoted.into()).await;
    let heard = alice.next().await;
    assert_eq!(json(&heard)["error"]["code"], -32600);
    assert_eq!(json(&heard)["error"]["data"]["kind"], "HEADER_MISMATCH");
    passes(&remote).await;
}

/// Panics before it has made its future.
#[derive(Clone)]
struct Hasty;

impl tower::Service<Call> for Hasty {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> CallFuture {
        assert!(call.request.meta().is_none(), "on purpose");
        async move { Ok(echoed(&call)) }.boxed()
    }
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_next_call_passes() {
    let lazy = answer(|call: Call| async move {
        assert!(call.request.meta().is_none(), "on purpose");
        Ok(echoed(&call))
    });
    for service in [SharedService::new(lazy), SharedService::new(Hasty)] {
        let bench = Bench::new();
        let _served = bench.serve(service).await;
        let remote = bench.remote("alice").await;
        let doomed = call_of("gh", body(r#","_meta":{}"#), Duration::from_secs(30));
        let error = ask(&remote, doomed).await.expect_err("it panicked");
        assert_eq!(error.kind(), Kind::InternalError);
        assert_eq!(error.has_started(), Started::Yes);
        assert_eq!(error.context().operation, "tools/call x");
        let twin = ask(&remote, call()).await;
        assert_eq!(twin.expect("answered").body, echoed(&call()).body);
    }
}
