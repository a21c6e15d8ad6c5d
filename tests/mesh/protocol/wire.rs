//! What the document says of a server's behaviour, tried by a plain client that knows nothing else.

use std::{sync::atomic::Ordering, time::Duration};

use async_nats::Message;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use weftbus::bus::Limits;

use super::plain::{Mesh, REPLIES, body, header, reply_at, request};
use crate::process::until;

const PART: usize = 512 * 1024;

fn digest(body: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(body))
}

fn read(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).expect("the body is JSON")
}

/// The code and the case of an error, which its headers and its data repeat.
fn refusal(message: &Message) -> (i64, String) {
    let error = read(message)["error"].clone();
    let code = error["code"].as_i64().expect("a code");
    let told = header(message, "Nats-Service-Error-Code");
    assert_eq!(told, Some(code.to_string().as_str()));
    assert_eq!(error["data"]["weftCode"], code);
    assert_eq!(error["data"]["started"], "no");
    assert_eq!(error["data"]["origin"], "adapter");
    let case = error["data"]["kind"].as_str().expect("a case");
    (code, case.to_owned())
}

#[tokio::test]
async fn a_fast_call_is_one_message_each_way() {
    let mut mesh = Mesh::start(Limits::default()).await;
    let reply = mesh.call("echo", &[], json!({})).await;
    let answer = mesh.next().await;
    assert_eq!(*answer.subject, reply);
    assert!(answer.headers.is_none());
    assert_eq!(read(&answer)["id"], "a1");
}

#[tokio::test]
async fn a_slow_call_is_acknowledged_and_its_notifications_are_counted() {
    let mut mesh = Mesh::start(Limits::default()).await;
    mesh.call("wait", &[("Weft", "1;ms=15000")], json!({}))
        .await;
    let progress = mesh.next().await;
    assert_eq!(header(&progress, "Weft-Frame"), Some("msg;1"));
    assert_eq!(read(&progress)["method"], "notifications/progress");
    let ack = mesh.next().await;
    assert_eq!(header(&ack, "Weft-Frame"), Some("ack"));
    let instance = format!("1;inst={}", mesh.instance);
    assert_eq!(header(&ack, "Weft"), Some(instance.as_str()));
    mesh.hand.release.add_permits(1);
    let end = mesh.next().await;
    assert_eq!(header(&end, "Weft-Frame"), None);
    assert_eq!(header(&end, "Weft"), Some("1;frames=1"));
}

#[tokio::test]
async fn a_large_answer_comes_in_parts_eight_at_a_time() {
    let mut mesh = Mesh::start(Limits::default()).await;
    let room = mesh.client.server_info().max_payload - 4096;
    let empty = r#"{"jsonrpc":"2.0","id":"a1","result":""}"#.len();
    mesh.call("large", &[], json!({"bytes": room - empty}))
        .await;
    let whole = mesh.next().await;
    assert_eq!((whole.payload.len(), whole.headers.is_none()), (room, true));

    let reply = mesh.call("large", &[], json!({"bytes": 12 * PART})).await;
    let mut came = Vec::new();
    for n in 1..=8 {
        let part = mesh.next_word().await;
        assert_eq!(
            header(&part, "Weft-Frame"),
            Some(format!("part;{n}").as_str())
        );
        assert_eq!(part.payload.len(), PART);
        if n == 1 {
            let size = 12 * PART + empty;
            let terms = format!("1;inst={};parts=13;size={size}", mesh.instance);
            assert_eq!(header(&part, "Weft"), Some(terms.as_str()));
        }
        came.extend_from_slice(&part.payload);
    }
    // The window is closed: another call is answered before anything more of this one.
    let other = mesh.call("echo", &[], json!({})).await;
    assert_eq!(*mesh.next_word().await.subject, other);

    let to = format!("weft.v1.ins.alice.time.{}.tools.call.large", mesh.instance);
    for (got, parts) in [("got;4", 9..=12), ("got;8", 13..=13)] {
        mesh.publish(&to, &reply, &[("Weft-Frame", got)], Bytes::new())
            .await;
        for n in parts {
            let part = mesh.next_word().await;
            assert_eq!(
                header(&part, "Weft-Frame"),
                Some(format!("part;{n}").as_str())
            );
            came.extend_from_slice(&part.payload);
        }
    }
    let end = mesh.next_word().await;
    let terms = format!("1;sha={};parts=13;size={}", digest(&came), came.len());
    assert_eq!(header(&end, "Weft"), Some(terms.as_str()));
    assert!(end.payload.is_empty());
}

#[tokio::test]
async fn a_large_request_goes_in_parts_to_the_instance_that_took_it() {
    let mut mesh = Mesh::start(Limits::default()).await;
    let large = Bytes::from(body("echo", &json!({"text": "y".repeat(4 * PART)})));
    for honest in [true, false] {
        let reply = reply_at(0);
        let opening = format!("1;parts=5;size={}", large.len());
        mesh.publish(
            &request("echo"),
            &reply,
            &[("Weft", &opening)],
            Bytes::new(),
        )
        .await;
        let ack = mesh.next().await;
        assert_eq!(header(&ack, "Weft-Frame"), Some("ack"));
        let terms = header(&ack, "Weft").expect("the instance");
        let instance = terms.strip_prefix("1;inst=").expect("the instance");
        let to = format!("weft.v1.ins.alice.time.{instance}.tools.call.echo");
        for (n, part) in large.chunks(PART).enumerate() {
            let frame = format!("part;{}", n + 1);
            let sha = format!("1;sha={}", digest(if honest { &large } else { part }));
            let headers = [("Weft-Frame", frame.as_str()), ("Weft", sha.as_str())];
            let headers = if n == 4 { &headers[..] } else { &headers[..1] };
            mesh.publish(&to, &reply, headers, large.slice_ref(part))
                .await;
        }
        let got = mesh.next_word().await;
        assert_eq!(header(&got, "Weft-Frame"), Some("got;4"));
        let end = mesh.next_word().await;
        if honest {
            assert_eq!(read(&end)["result"]["bytes"], large.len());
        } else {
            assert_eq!(refusal(&end).0, -32603);
        }
    }
}

#[tokio::test]
async fn only_its_own_caller_cancels_a_call() {
    let mut mesh = Mesh::start(Limits::default()).await;
    let reply = mesh.call("wait", &[], json!({})).await;
    let call = reply.rsplit('.').next().expect("the call id").to_owned();
    assert_eq!(header(&mesh.next().await, "Weft-Frame"), Some("msg;1"));
    let cancel = |who: &str| {
        let to = format!("weft.v1.ctl.{who}.time.cancel");
        mesh.client.publish(to, Bytes::from(call.clone()))
    };
    cancel("bob").await.expect("it is published");
    mesh.client.flush().await.expect("it is sent");
    // Whatever bob's did, it did before this call was answered.
    let other = mesh.call("echo", &[], json!({})).await;
    assert_eq!(*mesh.next_word().await.subject, other);
    assert!(!mesh.hand.dropped.load(Ordering::SeqCst));

    let to = "weft.v1.ctl.alice.time.cancel";
    mesh.client
        .publish(to, Bytes::from(call))
        .await
        .expect("it is published");
    until(Duration::from_secs(10), "the call is dropped", || {
        mesh.hand.dropped.load(Ordering::SeqCst)
    })
    .await;
    // And no terminal for it.
    mesh.hand.release.add_permits(1);
    let last = mesh.call("echo", &[], json!({})).await;
    assert_eq!(*mesh.next_word().await.subject, last);
}

#[tokio::test]
async fn expired_and_future_calls_are_not_started() {
    let mut mesh = Mesh::start(Limits::default()).await;
    for example in super::list(&super::json("time")) {
        let reply = reply_at(example["age_ms"].as_i64().expect("a number"));
        let terms = format!("1;ms={}", example["ms"]);
        mesh.publish(
            &request("echo"),
            &reply,
            &[("Weft", &terms)],
            body("echo", &json!({})),
        )
        .await;
        let end = mesh.next_word().await;
        match example["code"].as_i64() {
            Some(code) => assert_eq!(refusal(&end).0, code, "{example}"),
            None => assert!(read(&end)["error"].is_null(), "{example}"),
        }
    }
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    let mut mesh = Mesh::start(Limits::default()).await;
    let good = body("echo", &json!({}));
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let no_id = good.replace(r#""id":"a1","#, "");
    let twice = good.replace(r#""id":"a1","#, r#""id":"a1","id":"a2","#);
    for (weft, body, code, case) in [
        ("1", "{", -32700, "PARSE_ERROR"),
        ("1", "[]", -32600, "INVALID_REQUEST"),
        ("1", no_id.as_str(), -32600, "INVALID_REQUEST"),
        ("1", twice.as_str(), -32600, "INVALID_REQUEST"),
        ("1", list, -32600, "HEADER_MISMATCH"),
        ("2", good.as_str(), -32600, "HEADER_MISMATCH"),
        ("1;ms=soon", good.as_str(), -32600, "HEADER_MISMATCH"),
        ("1;corr=a/b", good.as_str(), -32600, "INVALID_REQUEST"),
    ] {
        let headers = [("Weft", weft)];
        mesh.publish(&request("echo"), &reply_at(0), &headers, body.to_owned())
            .await;
        let said = refusal(&mesh.next_word().await);
        assert_eq!(said, (code, case.to_owned()), "{weft} {body}");
    }
    // The twin of all of them.
    mesh.call("echo", &[("Weft", "1;corr=a.b;later=thing")], json!({}))
        .await;
    assert!(read(&mesh.next_word().await)["error"].is_null());
}

#[tokio::test]
async fn a_request_with_another_reply_subject_is_dropped() {
    let mut mesh = Mesh::start(Limits::default()).await;
    let id = reply_at(0)
        .rsplit('.')
        .next()
        .expect("the call id")
        .to_owned();
    for reply in [
        format!("{REPLIES}.other.{id}"),
        format!("{REPLIES}.time.1"),
        format!("{REPLIES}.time.{id}.more"),
    ] {
        mesh.publish(&request("echo"), &reply, &[], body("echo", &json!({})))
            .await;
    }
    let to = "weft.v1.req.bob.time.tools.call.echo";
    mesh.publish(to, &reply_at(0), &[], body("echo", &json!({})))
        .await;
    let stored = [("Nats-Stream", "ANY")];
    mesh.publish(
        &request("echo"),
        &reply_at(0),
        &stored,
        body("echo", &json!({})),
    )
    .await;
    // The first answer is the good one's, and an edge is answered on its own subject.
    let good = mesh.call("echo", &[], json!({})).await;
    assert_eq!(*mesh.next_word().await.subject, good);
}

#[tokio::test]
async fn what_is_over_the_limit_is_told_at_once() {
    let limits = Limits {
        calls: 2,
        queue: 0,
        ..Limits::default()
    };
    let mut mesh = Mesh::start(limits).await;
    for _ in 0..2 {
        mesh.call("wait", &[], json!({})).await;
        assert_eq!(header(&mesh.next_word().await, "Weft-Frame"), Some("msg;1"));
    }
    mesh.call("echo", &[], json!({})).await;
    let refused = mesh.next_word().await;
    assert_eq!(refusal(&refused), (-32006, "SERVER_OVERLOADED".to_owned()));
    assert_eq!(read(&refused)["error"]["data"]["retryAfterMs"], 250);
    mesh.hand.release.add_permits(2);
}

#[tokio::test]
async fn what_announces_too_much_is_refused_unread() {
    let mut mesh = Mesh::start(Limits::default()).await;
    let headers = [("Weft", "1;parts=129;size=67108865")];
    let reply = reply_at(0);
    mesh.publish(&request("echo"), &reply, &headers, Bytes::new())
        .await;
    let said = refusal(&mesh.next_word().await);
    assert_eq!(said, (-32600, "REQUEST_TOO_LARGE".to_owned()));
}

#[tokio::test]
async fn a_call_id_is_good_for_one_call_at_a_time() {
    let mut mesh = Mesh::start(Limits::default()).await;
    let (reply, wait) = (reply_at(0), body("wait", &json!({})));
    mesh.publish(&request("wait"), &reply, &[], wait.clone())
        .await;
    assert_eq!(header(&mesh.next_word().await, "Weft-Frame"), Some("msg;1"));
    // The second refusal shows that the first did not end the call.
    for _ in 0..2 {
        mesh.publish(&request("wait"), &reply, &[], wait.clone())
            .await;
        assert_eq!(refusal(&mesh.next_word().await).0, -32600);
    }
    mesh.hand.release.add_permits(1);
    assert!(read(&mesh.next_word().await)["error"].is_null());
}
