//! NATS by hand, by somebody who may call one tool: what the broker stops, and what the adapter.
//!
//! A row of `call` changes one thing of a call that passes: `to=`, `reply=`, `head=`, `body=`,
//! `args=`, or `age=`, the milliseconds that its id is old.

use uuid::{Timestamp, Uuid};

use super::{Mallory, Row, all_rows, raw::Raw, spelt};
use crate::gateway::Place;

const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":<<ARGS>>}}"#;
const HELLO: &str = r#"{"text":"hello"}"#;
const ECHO: &str = "weft.v1.req.mallory.modern.tools.call.echo";

/// An id of a call that was made so many milliseconds ago.
pub(super) fn id(age_ms: i64) -> String {
    let ms = chrono::Utc::now().timestamp_millis() - age_ms;
    let nanos = u32::try_from(ms.rem_euclid(1000)).expect("below 1000") * 1_000_000;
    let stamp = Timestamp::from_unix(uuid::NoContext, ms.div_euclid(1000).cast_unsigned(), nanos);
    Uuid::new_v7(stamp).as_simple().to_string()
}

fn reply(id: &str) -> String {
    format!("weft.v1.rep.mallory.c1.modern.{id}")
}

fn hello() -> Vec<u8> {
    BODY.replace("<<ARGS>>", HELLO).into_bytes()
}

/// A connection of his, with an ear on his own answers.
pub(super) async fn enter(place: &Place, who: &Mallory) -> Raw {
    let url = place.up.url();
    let mut raw = Raw::connect(url, Some(&who.issued.token))
        .await
        .expect("let in");
    let ear = format!("SUB weft.v1.rep.{}.c1.> 1\r\n", who.issued.claims.sub);
    raw.send(ear.as_bytes()).await;
    assert!(raw.settle().await.0.is_empty());
    raw
}

/// A good call with these headers, and what it comes to.
pub(super) async fn call(raw: &mut Raw, head: &str) -> String {
    let to = reply(&id(0));
    raw.publish(ECHO, &to, head, &hello()).await;
    raw.end_of(&to).await
}

pub(super) fn bearer(who: &Mallory) -> String {
    format!("Authorization: Bearer {}\r\n", who.call_token())
}

fn filled(text: &str, id: &str) -> String {
    let text = text.replace("{me}", "mallory").replace("{id}", id);
    text.replace("{instance}", "0123456789")
}

/// Sends the call of a row. What the broker says of it comes first; a call that is to be dropped is
/// followed by one that passes.
async fn broken(place: &Place, who: &Mallory, bob: &mut Raw, row: Row) -> String {
    let mut raw = enter(place, who).await;
    let (key, value) = row.sent.split_once('=').expect("a change");
    let id = id(if key == "age" {
        value.parse().expect("a number")
    } else {
        0
    });
    let value = filled(value, &id);
    let (mut to, mut back, mut head) = (ECHO.to_owned(), reply(&id), bearer(who));
    let mut body = hello();
    match key {
        "to" => to = value,
        "reply" => back = value,
        "head" => head = format!("{head}{value}\r\n"),
        "body" => body = spelt(&value),
        "args" => {
            let (before, after) = BODY.split_once("<<ARGS>>").expect("a place");
            body = [before.as_bytes(), &spelt(&value), after.as_bytes()].concat();
        }
        _ => {}
    }
    raw.publish(&to, &back, &head, &body).await;
    let (refused, early) = raw.settle().await;
    if let Some(refused) = refused.first() {
        return refused.trim_start_matches("-ERR '").to_owned();
    }
    if let Some(said) = early.iter().find(|said| said.is_terminal()) {
        return said.outcome();
    }
    if row.outcome != "dropped" {
        return raw.end_of(&back).await;
    }
    let good = reply(&self::id(0));
    raw.publish(ECHO, &good, &bearer(who), &hello()).await;
    // What was not dropped is answered before.
    let (said, before) = raw.end_and_before(&good).await;
    assert_eq!(said, "passes", "the twin behind it");
    match (before.first(), bob.settle().await.1.first()) {
        (None, None) => "dropped".to_owned(),
        (Some(said), _) => said.outcome(),
        (_, Some(said)) => format!("bob heard {} on {}", said.outcome(), said.subject),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls() {
    let place = Place::open().await;
    let mallory = Mallory::narrow(&place).await;
    let bob = Mallory::of(&place, "bob", &["call:tools/modern/echo"]).await;
    let mut bob = enter(&place, &bob).await;
    bob.send(b"SUB weft.v1.inb.bob.> 2\r\n").await;
    assert!(bob.settle().await.0.is_empty());
    assert_eq!(
        call(&mut enter(&place, &mallory).await, &bearer(&mallory)).await,
        "passes"
    );
    let bob = tokio::sync::Mutex::new(bob);
    let (at, who, bob) = (&place, &mallory, &bob);
    all_rows(&["call"], |row| async move {
        broken(at, who, &mut *bob.lock().await, row).await
    })
    .await;
    assert_eq!(
        call(&mut enter(at, who).await, &bearer(who)).await,
        "passes"
    );
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_stops() {
    let place = Place::open().await;
    let mallory = Mallory::narrow(&place).await;
    let (at, who) = (&place, &mallory);
    all_rows(&["publish", "subscribe"], |row| async move {
        // One that is cut off costs the next row nothing.
        let mut raw = enter(at, who).await;
        let subject = filled(row.sent, "");
        if row.way == "subscribe" {
            raw.send(format!("SUB {subject} 9\r\n").as_bytes()).await;
        } else {
            raw.publish(&subject, &reply(&id(0)), &bearer(who), &hello())
                .await;
        }
        let (refused, _) = raw.settle().await;
        let said = refused
            .first()
            .map_or("taken", |said| said.trim_start_matches("-ERR '"));
        said.to_owned()
    })
    .await;
    let mut raw = enter(at, who).await;
    raw.send(b"SUB weft.v1.rep.mallory.> 9\r\n").await;
    assert!(
        raw.settle().await.0.is_empty(),
        "the twin of what may not be heard"
    );
    assert_eq!(
        call(&mut raw, &bearer(who)).await,
        "passes",
        "and of what may not be said"
    );
    place.end().await;
}
