//! Bodies larger than a message: both ways, cut, mixed up, too large, and never too fast.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::{FutureExt as _, StreamExt as _};
use sha2::{Digest as _, Sha256};
use weftbus::{
    bus::{Bounds, Remote, ServeOptions},
    call::{Call, SharedService, service::answer},
    error::{Kind, Started, case},
    name::CallId,
};

use super::bench::{
    Bench, ask, body, call, echo, echoed, gated, header, headers, json, large, limits, options,
    passes, reply,
};
use crate::process::until;

const MB: usize = 1 << 20;
const PART: usize = 512 * 1024;

/// A service whose answer has so many bytes.
fn sized(size: usize) -> SharedService {
    SharedService::new(answer(
        move |_: Call| async move { Ok(reply(vec![b'y'; size])) },
    ))
}

#[tokio::test]
async fn twenty_megabytes_pass_both_ways_through_one() {
    let bench = Bench::new();
    let _served = bench.serve(echo()).await;
    let remote = bench.remote("alice").await;
    let link = remote.link().clone();
    assert_eq!(link.client().max_payload(), MB, "the broker's own limit");
    for size in [20 * MB, MB - 5000, MB - 4096, MB, PART] {
        let sent = large(size);
        let heard = ask(&remote, sent.clone()).await.expect("answered");
        let digest = |body: &[u8]| Sha256::digest(body);
        assert_eq!(digest(&heard.body), digest(&echoed(&sent).body), "{size}");
    }
    assert_eq!(link.calls_under_way(), 0);
}

#[tokio::test]
async fn what_is_too_large_is_told_with_the_limit() {
    let bench = Bench::new();
    let small = ServeOptions {
        bounds: Bounds { body: 3 * MB },
        ..options()
    };
    let _served = bench.serve_as(small, echo()).await;
    let link = bench.link("alice").await;
    let remote = Remote::new(link.clone(), Bounds::default());
    // Here, before anything is sent; there, before any part is.
    for (size, limit) in [(65 * MB, 64 * MB), (4 * MB, 3 * MB)] {
        let error = ask(&remote, large(size)).await.expect_err("too large");
        assert!(error.is_case(case::REQUEST_TOO_LARGE), "{error:?}");
        assert_eq!(error.has_started(), Started::No);
        assert!(error.message().contains(&limit.to_string()), "{error}");
    }
    // The answer, which is a little larger than the request.
    let error = ask(&remote, large(3 * MB - 100))
        .await
        .expect_err("too large");
    assert!(error.is_case(case::RESULT_TOO_LARGE), "{error:?}");
    assert_eq!(error.has_started(), Started::Yes);
    assert_eq!(error.context().metadata["limitBytes"], 3 * MB);
    // The same, by the caller's limit.
    let modest = Remote::new(link, Bounds { body: 2 * MB });
    let error = ask(&modest, large(2 * MB - 100))
        .await
        .expect_err("too large");
    assert!(error.is_case(case::RESULT_TOO_LARGE), "{error:?}");
    assert_eq!(error.context().metadata["limitBytes"], 2 * MB);
    assert!(ask(&remote, large(2 * MB - 100)).await.is_ok());
}

#[tokio::test]
async fn parts_lost_doubled_or_mixed_up_end_the_call() {
    let bench = Bench::new();
    let remote = bench.remote("alice").await;
    let (plain, mut requests) = bench.listen("weft.v1.req.*.gh.>").await;
    let (_, _acknowledged) = bench.listen("weft.v1.ins.*.gh.>").await;
    let whole = Bytes::from(vec![b'z'; 2 * PART + 7]);
    let digest = HEXLOWER.encode(&Sha256::digest(&whole));
    let piece = |n: usize| whole.slice((n - 1) * PART..whole.len().min(n * PART));
    let wrong = "00".repeat(32);
    for (order, digest, good) in [
        (&[1, 2, 3][..], &digest, true),
        (&[1, 3], &digest, false),
        (&[1, 2], &digest, false),
        (&[1, 1, 2, 3], &digest, false),
        (&[1, 3, 2], &digest, false),
        (&[2, 1, 3], &digest, false),
        (&[1, 2, 3], &wrong, false),
        (&[], &digest, false),
    ] {
        let serving = async {
            let to = requests
                .next()
                .await
                .expect("connected")
                .reply
                .expect("a call");
            for n in order {
                let frame = format!("part;{n}");
                let weft = format!("1;inst=i1;parts=3;size={}", whole.len());
                let first = headers(&[("Weft-Frame", &frame), ("Weft", &weft)]);
                let publish = plain.publish_with_headers(to.clone(), first, piece(*n));
                publish.await.expect("connected");
            }
            let end = headers(&[("Weft", &format!("1;sha={digest}"))]);
            let publish = plain.publish_with_headers(to, end, Bytes::new());
            publish.await.expect("connected");
        };
        let ((), outcome) = tokio::join!(serving, ask(&remote, call()));
        match outcome {
            Ok(heard) if order.is_empty() => assert!(heard.body.is_empty()),
            Ok(heard) => assert!(good && heard.body == whole, "{order:?}"),
            Err(error) => {
                assert!(!good, "{error:?}");
                assert_eq!(error.kind(), Kind::InternalError, "{order:?}: {error:?}");
                assert_eq!(error.has_started(), Started::Maybe);
            }
        }
    }
    assert_eq!(remote.link().calls_under_way(), 0);
}

#[tokio::test]
async fn no_more_than_eight_parts_are_under_way() {
    let bench = Bench::new();
    let _served = bench.serve(sized(20 * PART)).await;
    let remote = bench.remote("bob").await;
    let mut alice = bench.hand("alice").await;
    let id = CallId::now();
    alice.send(id, headers(&[]), body("")).await;
    let mut instance = String::new();
    let mut seen = 0;
    for (may, acknowledge) in [(8, 4), (12, 12), (20, 20)] {
        while seen < may {
            let message = alice.next().await;
            let frame = header(&message, "Weft-Frame").expect("a frame").to_owned();
            if let Some(weft) = header(&message, "Weft") {
                let inst = weft.split("inst=").nth(1).expect("it says who");
                instance = inst.split(';').next().expect("a word").to_owned();
            }
            if frame.starts_with("part") {
                seen += 1;
                assert_eq!(frame, format!("part;{seen}"));
            }
        }
        // Another large answer passes meanwhile, over the same connection of the server: had
        // there been a ninth part, it would have come before.
        assert!(ask(&remote, call()).await.is_ok());
        let more = alice.heard.next().now_or_never().flatten();
        let frame = more.as_ref().and_then(|m| header(m, "Weft-Frame"));
        if may < 20 {
            assert!(!frame.is_some_and(|f| f.starts_with("part")), "{frame:?}");
        }
        let to = format!("weft.v1.ins.alice.gh.{instance}.tools.call.x");
        let got = headers(&[("Weft-Frame", &format!("got;{acknowledge}"))]);
        let (reply, none) = (alice.reply(id), Bytes::new());
        let publish = alice
            .client
            .publish_with_reply_and_headers(to, reply, got, none);
        publish.await.expect("connected");
    }
}

#[tokio::test]
async fn a_refusal_comes_before_the_first_part() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let _served = bench.serve_as(limits(1), service).await;
    let remote = bench.remote("alice").await;
    let (_, mut parts) = bench.listen("weft.v1.ins.>").await;
    let first = async { ask(&remote, call()).await.expect("answered") };
    let second = async {
        until(super::bench::SOON, "the first came", || seen.now() == 1).await;
        let error = ask(&remote, large(2 * MB)).await.expect_err("no room");
        assert_eq!(error.kind(), Kind::ServerOverloaded, "{error:?}");
        assert!(parts.next().now_or_never().is_none(), "no part was sent");
        open.send_replace(true);
    };
    tokio::join!(first, second);
    ask(&remote, large(2 * MB))
        .await
        .expect("the twin finds room");
}

#[tokio::test]
async fn an_instance_that_goes_in_the_middle_is_no_call_that_never_was() {
    let bench = Bench::new();
    let remote = bench.remote("alice").await;
    let (plain, mut requests) = bench.listen("weft.v1.req.*.gh.>").await;
    let serving = async {
        let to = requests
            .next()
            .await
            .expect("connected")
            .reply
            .expect("a call");
        for n in 1..=4 {
            let weft = format!("1;inst=i1;parts=8;size={}", 8 * PART);
            let frame = headers(&[("Weft-Frame", &format!("part;{n}")), ("Weft", &weft)]);
            let part = Bytes::from(vec![0; PART]);
            let publish = plain.publish_with_headers(to.clone(), frame, part);
            publish.await.expect("connected");
        }
        // Nobody hears the acknowledgement.
    };
    let ((), outcome) = tokio::join!(serving, ask(&remote, call()));
    let error = outcome.expect_err("it went");
    assert!(error.is_case(case::CONNECTION_LOST), "{error:?}");
    assert_eq!(error.has_started(), Started::Maybe);
    drop(requests);
    let _served = bench.serve(echo()).await;
    passes(&remote).await;
}

#[tokio::test]
async fn parts_of_a_request_are_checked_by_the_server() {
    let bench = Bench::new();
    let service = ServeOptions { ..options() };
    let instance = service.instance.to_string();
    let _served = bench.serve_as(service, echo()).await;
    let remote = bench.remote("bob").await;
    let mut alice = bench.hand("alice").await;
    let whole = body(&format!(r#","arguments":"{}""#, "x".repeat(PART)));
    let digest = HEXLOWER.encode(&Sha256::digest(&whole));
    let wrong = "00".repeat(32);
    let piece = |n: usize| whole.slice((n - 1) * PART..whole.len().min(n * PART));
    for (order, digest, good) in [
        (&[1, 2][..], &digest, true),
        (&[2], &digest, false),
        (&[1, 1], &digest, false),
        (&[1, 2], &wrong, false),
    ] {
        let id = CallId::now();
        let weft = format!("1;parts=2;size={}", whole.len());
        alice
            .send(id, headers(&[("Weft", &weft)]), Bytes::new())
            .await;
        let ack = alice.next().await;
        assert_eq!(header(&ack, "Weft-Frame"), Some("ack"));
        let to = format!("weft.v1.ins.alice.gh.{instance}.tools.call.x");
        for n in order {
            let (frame, sha) = (format!("part;{n}"), format!("1;sha={digest}"));
            let part = headers(&[("Weft-Frame", &frame), ("Weft", &sha)]);
            let client = &alice.client;
            let publish =
                client.publish_with_reply_and_headers(to.clone(), alice.reply(id), part, piece(*n));
            publish.await.expect("connected");
        }
        let end = alice.next().await;
        let answer = json(&end);
        assert_eq!(answer.get("result").is_some(), good, "{order:?}");
        if !good {
            assert_eq!(answer["error"]["code"], -32603, "{order:?}");
            assert_eq!(answer["error"]["data"]["started"], "no");
        }
        passes(&remote).await;
    }
}
