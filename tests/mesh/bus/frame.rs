//! What is said before the answer: notifications, "accepted"; and what is no answer at all.

use bytes::Bytes;
use futures_util::StreamExt as _;
use weftbus::{
    call::{Call, Notify, SharedService, service::answer},
    name::CallId,
};

use super::bench::{
    Bench, SOON, ask, body, call, call_of, echo, echoed, gated, header, headers, passes, reply,
};

const LISTENS: &str = r#","_meta":{"progressToken":1}"#;

/// A service that says so many things, and then answers.
fn chatty(count: usize) -> SharedService {
    SharedService::new(answer(move |call: Call| async move {
        if let Some(notify) = &call.context.notify {
            for n in 1..=count {
                notify.send(Bytes::from(n.to_string()));
                // As a child's output comes: one line after the other.
                if n % 32 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(echoed(&call))
    }))
}

fn number(text: &Bytes) -> usize {
    let text = std::str::from_utf8(text).expect("a number");
    text.parse().expect("a number")
}

#[tokio::test]
async fn notifications_come_in_order_before_the_answer() {
    let bench = Bench::new();
    let _served = bench.serve(chatty(50)).await;
    let remote = bench.remote("alice").await;
    for (more, told) in [(LISTENS, 50), ("", 0)] {
        let (notify, mut heard) = Notify::channel();
        let mut call = call_of("gh", body(more), SOON);
        call.context.notify = Some(notify);
        ask(&remote, call).await.expect("answered");
        let mut numbers = Vec::new();
        while let Some(text) = heard.try_next() {
            numbers.push(number(&text));
        }
        assert_eq!(numbers, (1..=told).collect::<Vec<_>>());
        assert_eq!(heard.lost(), 0);
    }
}

#[tokio::test]
async fn a_flood_is_bounded_and_counted_and_the_answer_comes() {
    let bench = Bench::new();
    let _served = bench.serve(chatty(20_000)).await;
    let remote = bench.remote("alice").await;
    let (notify, mut heard) = Notify::channel();
    let mut call = call_of("gh", body(LISTENS), SOON);
    call.context.notify = Some(notify);
    ask(&remote, call).await.expect("answered");
    let (mut count, mut last) = (0, 0);
    while let Some(text) = heard.try_next() {
        let n = number(&text);
        assert!(n > last, "{n} behind {last}");
        (count, last) = (count + 1, n);
    }
    assert!((1..=64).contains(&count), "{count}");
    assert_eq!(count + heard.lost(), 20_000);
}

#[tokio::test]
async fn a_foreign_flood_costs_neither_the_answer_nor_the_count() {
    let bench = Bench::new();
    let remote = bench.remote("alice").await;
    let (plain, mut requests) = bench.listen("weft.v1.req.*.gh.>").await;
    let flood = async {
        let to = requests
            .next()
            .await
            .expect("connected")
            .reply
            .expect("a call");
        for n in 1..=50_000 {
            let frame = headers(&[("Weft-Frame", &format!("msg;{n}"))]);
            let publish = plain.publish_with_headers(to.clone(), frame, Bytes::from("{}"));
            publish.await.expect("connected");
        }
        let last = headers(&[("Weft", "1;frames=50000")]);
        let publish = plain.publish_with_headers(to, last, echoed(&call()).body);
        publish.await.expect("connected");
    };
    let (notify, mut heard) = Notify::channel();
    let mut call = call();
    call.context.notify = Some(notify);
    let ((), answer) = tokio::join!(flood, ask(&remote, call));
    answer.expect("answered");
    let mut count = 0;
    while heard.try_next().is_some() {
        count += 1;
    }
    assert!((1..=64).contains(&count), "{count}");
    assert_eq!(count + heard.lost(), 50_000);
}

#[tokio::test]
async fn only_a_call_that_takes_long_is_accepted_first() {
    let bench = Bench::new();
    let (service, _, open) = gated();
    let _served = bench.serve(service).await;
    let mut alice = bench.hand("alice").await;
    let slow = CallId::now();
    alice.send(slow, headers(&[]), body("")).await;
    let ack = alice.next().await;
    assert_eq!(header(&ack, "Weft-Frame"), Some("ack"));
    assert!(
        header(&ack, "Weft")
            .expect("it says who")
            .starts_with("1;inst=")
    );
    assert!(ack.payload.is_empty());
    open.send_replace(true);
    let fast = CallId::now();
    alice.send(fast, headers(&[]), body("")).await;
    // Nothing but the two ends comes, and they have no header: one message each way.
    let mut ends = Vec::new();
    for _ in 0..2 {
        let end = alice.next().await;
        assert_eq!(end.headers, None);
        ends.push(end.subject.to_string());
    }
    let expected = [slow, fast].map(|call| alice.reply(call));
    assert_eq!(ends, expected);
}

#[tokio::test]
async fn what_is_forged_or_comes_too_late_is_no_answer() {
    let bench = Bench::new();
    let remote = bench.remote("alice").await;
    let (plain, mut requests) = bench.listen("weft.v1.req.*.gh.>").await;
    let real = echoed(&call()).body;
    let answers = async {
        let to = requests
            .next()
            .await
            .expect("connected")
            .reply
            .expect("a call");
        let forged = || Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"forged\"}");
        let (none, msg) = (headers(&[]), headers(&[("Weft-Frame", "msg;1")]));
        let stored = headers(&[("Nats-Stream", "WEFT_TASKS")]);
        let unknown = headers(&[("Weft-Frame", "later;1")]);
        for (subject, headers, body) in [
            (to.replace(".gh.", ".other."), none.clone(), forged()),
            (format!("{to}x"), none.clone(), forged()),
            (to.to_string(), stored, forged()),
            (to.to_string(), unknown, forged()),
            (to.to_string(), msg.clone(), Bytes::from("1")),
            (to.to_string(), none.clone(), real.clone()),
            (to.to_string(), none, forged()),
            (to.to_string(), msg, Bytes::from("2")),
        ] {
            let publish = plain.publish_with_headers(subject, headers, body);
            publish.await.expect("connected");
        }
    };
    let (notify, mut heard) = Notify::channel();
    let mut asked = call();
    asked.context.notify = Some(notify);
    let ((), answer) = tokio::join!(answers, ask(&remote, asked));
    assert_eq!(answer.expect("answered").body, real);
    assert_eq!(heard.try_next(), Some(Bytes::from("1")));
    assert_eq!((heard.try_next(), heard.lost()), (None, 0));
    drop(requests);
    let _served = bench.serve(echo()).await;
    passes(&remote).await;
}

#[tokio::test]
async fn numbers_out_of_all_bounds_break_nothing() {
    let bench = Bench::new();
    let remote = bench.remote("alice").await;
    let (plain, mut requests) = bench.listen("weft.v1.req.*.gh.>").await;
    let answers = async {
        let to = requests
            .next()
            .await
            .expect("connected")
            .reply
            .expect("a call");
        for frame in [
            "msg;0",
            "msg;4294967295",
            "msg;4294967295",
            "got;4294967295",
        ] {
            let frame = headers(&[("Weft-Frame", frame)]);
            let publish = plain.publish_with_headers(to.clone(), frame, Bytes::from("{}"));
            publish.await.expect("connected");
        }
        let last = headers(&[("Weft", "1;frames=4294967295")]);
        let publish = plain.publish_with_headers(to, last, reply("{}").body);
        publish.await.expect("connected");
    };
    let (notify, _heard) = Notify::channel();
    let mut call = call();
    call.context.notify = Some(notify);
    let ((), answer) = tokio::join!(answers, ask(&remote, call));
    assert_eq!(answer.expect("answered").body, "{}");
}
