//! What is kept within its bytes, until its time.

use super::*;
use crate::policy::cache::{
    answer::{Verdict, read},
    key::Asked,
    tests::{call_of, rules},
};

const MINUTE: Duration = Duration::from_secs(60);

fn key(n: u32) -> (Key, Asked) {
    let params = format!(r#"{{"name":"look","arguments":{n}}}"#);
    let asked = Asked::of(&call_of("alice", "1", "tools/call", &params), &rules());
    let asked = asked.expect("a key");
    (asked.own.clone(), asked)
}

fn answer(asked: &Asked, bytes: usize) -> Known {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":"{}"}}}}"#,
        "x".repeat(bytes)
    );
    let reply = crate::call::Reply {
        body: body.into(),
        failed: false,
    };
    match read(&reply, asked, &rules()) {
        Verdict::Keep(answer, ..) => Known::Answer(Arc::new(answer)),
        other => panic!("it may be kept: {other:?}"),
    }
}

fn put(store: &mut Store, n: u32, bytes: usize, now: Instant) -> bool {
    let (key, asked) = key(n);
    store.put(key, answer(&asked, bytes), MINUTE, now)
}

fn has(store: &mut Store, n: u32, now: Instant) -> bool {
    store.get(&key(n).0, now).is_some()
}

#[test]
fn what_was_not_used_for_longest_makes_room_and_the_bytes_hold() {
    let now = Instant::now();
    let mut store = Store::new(10_000);
    for n in 0..3 {
        assert!(put(&mut store, n, 2400, now));
    }
    assert!(has(&mut store, 0, now), "it is used again");
    assert!(put(&mut store, 3, 2400, now));
    let there: Vec<bool> = (0..4).map(|n| has(&mut store, n, now)).collect();
    assert_eq!(there, [true, false, true, true]);
    assert_eq!((store.counts.evicted, store.counts.entries), (1, 3));
    assert!(store.counts.bytes <= 10_000);
    assert!(!put(&mut store, 4, 10_000, now), "larger than all there is");
    assert_eq!(store.counts.entries, 3, "and nothing made room for it");
}

#[test]
fn no_order_of_doings_goes_beyond_the_bytes_or_leaves_some_counted() {
    let mut store = Store::new(20_000);
    let mut now = Instant::now();
    for step in 0..2000_u32 {
        put(&mut store, step * 7 % 31, (step * 13 % 3000) as usize, now);
        has(&mut store, step * 5 % 31, now);
        if step % 11 == 0 {
            now += Duration::from_secs(7);
        }
        if step % 97 == 0 {
            store.forget(Part::Tool, Some("look"));
        }
        assert!(store.counts.bytes <= 20_000);
    }
    store.clear(now + MINUTE, usize::MAX);
    let left = (store.counts.bytes, store.counts.entries, store.used.len());
    assert_eq!((left, store.ends.len()), ((0, 0, 0), 0));
    assert!(store.counts.expired > 0 && store.counts.evicted > 0 && store.counts.forgotten > 0);
}

#[test]
fn what_is_over_is_gone_whoever_looks() {
    let now = Instant::now();
    let mut store = Store::new(100_000);
    for n in 0..20 {
        put(&mut store, n, 10, now);
    }
    let almost = now + MINUTE - Duration::from_millis(1);
    assert!(has(&mut store, 1, almost));
    assert!(!has(&mut store, 100, now + MINUTE));
    assert_eq!(store.counts.entries, 20 - CLEARED, "a few at a time");
    assert!((0..20).all(|n| !has(&mut store, n, now + MINUTE)));
    assert_eq!((store.counts.entries, store.counts.bytes), (0, 0));
}
