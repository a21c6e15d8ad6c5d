//! What waits, for how long, and what never comes to a call.

use super::*;
use crate::name::header;

fn message(subject: &str, headers: &[(&'static str, &str)], body: &'static str) -> Message {
    let mut map = async_nats::HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    Message {
        subject: subject.into(),
        reply: None,
        payload: body.into(),
        headers: (!headers.is_empty()).then_some(map),
        status: None,
        description: None,
        length: body.len(),
    }
}

fn open() -> (Arc<Pending>, Ticket, String) {
    let pending = Arc::new(Pending::default());
    let call = CallId::now();
    let reply = format!("weft.v1.rep.a.c.gh.{call}");
    let ticket = pending
        .open(
            call,
            "weft.v1.req.a.gh.tools.list._".into(),
            reply.as_str().into(),
        )
        .expect("room");
    (pending, ticket, reply)
}

#[tokio::test]
async fn frames_come_before_the_end_and_a_flood_does_not_cost_it() {
    let (pending, ticket, reply) = open();
    for n in 1..=200 {
        let frame = Frame::Message(n).encode();
        assert!(pending.deliver(message(&reply, &[(header::FRAME, &frame)], "x")));
    }
    assert!(pending.deliver(message(&reply, &[], "end")));
    for n in 1..=64 {
        let heard = ticket.next().await;
        assert!(matches!(heard, Heard::Frame(Frame::Message(m), _) if m == n));
    }
    assert!(matches!(ticket.next().await, Heard::Terminal(m) if m.payload == "end"));
}

#[tokio::test]
async fn a_flood_of_notifications_costs_no_part() {
    let (pending, ticket, reply) = open();
    let deliver = |frame: Frame| {
        let frame = frame.encode();
        pending.deliver(message(&reply, &[(header::FRAME, &frame)], "x"));
    };
    for n in 1..=1000 {
        deliver(Frame::Message(n));
    }
    deliver(Frame::Part(1));
    for n in 1..=64 {
        let heard = ticket.next().await;
        assert!(matches!(heard, Heard::Frame(Frame::Message(m), _) if m == n));
    }
    assert!(matches!(
        ticket.next().await,
        Heard::Frame(Frame::Part(1), _)
    ));
    // What was read makes room.
    deliver(Frame::Message(1001));
    assert!(matches!(
        ticket.next().await,
        Heard::Frame(Frame::Message(1001), _)
    ));
}

#[tokio::test]
async fn nothing_comes_behind_the_end() {
    let (pending, ticket, reply) = open();
    pending.deliver(message(&reply, &[], "first"));
    pending.deliver(message(&reply, &[(header::FRAME, "msg;1")], "late"));
    pending.deliver(message(&reply, &[], "second"));
    let end = ticket.next().await;
    assert!(matches!(&end, Heard::Terminal(m) if m.payload == "first"));
    // Nor while it was looked at and given back.
    pending.deliver(message(&reply, &[], "third"));
    ticket.put_back(end);
    assert!(matches!(ticket.next().await, Heard::Terminal(m) if m.payload == "first"));
}

#[test]
fn a_call_has_one_place_and_a_probe_always_has_one() {
    let (pending, ticket, reply) = open();
    let again = pending.open(ticket.call, "a".into(), reply.as_str().into());
    assert_eq!(again.expect_err("twice").kind(), Kind::InvalidRequest);
    assert_eq!(pending.len(), 1, "the first keeps its place");
    let one = |_| pending.open(CallId::now(), "a".into(), "b".into());
    let full: Vec<_> = (1..CALLS_MAX).map(one).collect();
    assert!(full.iter().all(Result::is_ok));
    assert_eq!(one(0).expect_err("full").kind(), Kind::ServerOverloaded);
    let probe = pending.open_probe(CallId::now(), "a".into(), "b".into());
    assert!(probe.is_ok());
    drop((full, probe));
    assert_eq!(pending.len(), 1);
    drop(ticket);
    assert!(one(0).is_ok());
}

#[tokio::test]
async fn what_is_no_answer_is_not_delivered() {
    let (pending, ticket, reply) = open();
    let stored = message(&reply, &[(header::STREAM, "WEFT_TASKS")], "forged");
    assert!(!pending.deliver(stored));
    let other = reply.replace(".gh.", ".other.");
    assert!(!pending.deliver(message(&other, &[], "forged")));
    assert!(!pending.deliver(message("weft.v1.rep.a.c.gh.1", &[], "forged")));
    // The twin: the same words under the right subject.
    assert!(pending.deliver(message(&reply, &[], "real")));
    assert!(matches!(ticket.next().await, Heard::Terminal(m) if m.payload == "real"));
}

#[tokio::test]
async fn a_denied_subject_and_a_lost_connection_end_calls() {
    let (pending, ticket, _) = open();
    pending.deny("weft.v1.req.a.other.tools.list._");
    pending.deny("weft.v1.req.a.gh.tools.list._");
    assert!(matches!(ticket.next().await, Heard::Denied));
    let (pending, ticket, _) = open();
    pending.lose();
    assert!(matches!(ticket.next().await, Heard::Lost));
    drop(ticket);
    assert_eq!(pending.len(), 0);
}
