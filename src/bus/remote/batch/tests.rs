//! Which calls go out together, and what becomes of the others.

use futures_util::FutureExt as _;

use super::*;

const RULE: Batching = Batching {
    max: 4,
    window: Duration::from_millis(100),
};

fn key(to: &str) -> Key {
    Key {
        to: to.into(),
        connection: Connection::random(),
        token: None,
        correlation: None,
    }
}

fn item(body: &str) -> Item {
    Item {
        call: CallId::now(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        deadline: Instant::now() + Duration::from_secs(30),
    }
}

/// Groups, and calls of one kind in them.
struct Bench {
    batches: Batches,
    key: Key,
}

impl Bench {
    fn new() -> Self {
        Self {
            batches: Batches::default(),
            key: key("weft.v1.req.alice.gh.tools.call.x"),
        }
    }

    fn join(&self, body: &str) -> Seat {
        self.batches.join(self.key.clone(), item(body), RULE)
    }

    /// Whether nothing is remembered of anybody.
    fn is_empty(&self) -> bool {
        self.batches.groups().is_empty()
    }
}

/// What one that need not wait does.
fn now(seat: &mut Seat) -> Option<Going> {
    seat.go().now_or_never()
}

/// The requests that this one is to send.
fn led(going: Option<Going>) -> String {
    match going {
        Some(Going::Leading(mut batch)) => {
            batch.settle();
            let body = String::from_utf8_lossy(&batch.body()).into_owned();
            batch.sent();
            body
        }
        other => panic!("it does not lead: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_finds_nobody_goes_at_once_and_those_behind_him_together() {
    let bench = Bench::new();
    let mut first = bench.join("1");
    assert!(matches!(now(&mut first), Some(Going::Alone)));
    let (mut second, mut third) = (bench.join("2"), bench.join("3"));
    let mut waits = Box::pin(second.go());
    assert!((&mut waits).now_or_never().is_none(), "one is under way");
    drop(first);
    assert_eq!(led((&mut waits).now_or_never()), "[2,3]");
    assert!(matches!(now(&mut third), Some(Going::Sent)));
    drop(waits);
    drop((second, third));
    assert!(bench.is_empty());
}

#[tokio::test(start_paused = true)]
async fn enough_of_them_wait_for_nobody() {
    let bench = Bench::new();
    let _first = bench.join("1");
    let mut waiting = [bench.join("2"), bench.join("3"), bench.join("4")];
    let mut last = bench.join("5");
    assert_eq!(led(now(&mut last)), "[2,3,4,5]");
    for one in &mut waiting {
        assert!(matches!(now(one), Some(Going::Sent)));
    }
}

#[tokio::test(start_paused = true)]
async fn none_waits_longer_than_the_window() {
    let bench = Bench::new();
    let _slow = bench.join("1");
    let (began, mut second) = (Instant::now(), bench.join("2"));
    tokio::time::advance(RULE.window / 2).await;
    let mut third = bench.join("3");
    assert_eq!(led(Some(second.go().await)), "[2,3]");
    assert_eq!(began.elapsed(), RULE.window);
    assert!(matches!(now(&mut third), Some(Going::Sent)));
    // One alone leads nobody.
    let mut fourth = bench.join("4");
    let Going::Leading(mut batch) = fourth.go().await else {
        panic!("nobody else may send it")
    };
    assert!(!batch.settle());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_left_out_and_keeps_nobody_waiting() {
    let bench = Bench::new();
    let first = bench.join("1");
    let gone = bench.join("2");
    let (mut third, fourth) = (bench.join("3"), bench.join("4"));
    drop(gone);
    let mut fifth = bench.join("5");
    drop(first);
    let Some(Going::Leading(mut batch)) = now(&mut third) else {
        panic!("the first that is left sends them")
    };
    drop(fourth);
    assert!(batch.settle());
    assert_eq!(batch.body(), "[3,5]");
    // What he does not send, each sends alone.
    drop(batch);
    assert!(matches!(now(&mut fifth), Some(Going::Alone)));
    drop((third, fifth));
    assert!(bench.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_left_after_it_was_sent_is_named() {
    let bench = Bench::new();
    let first = bench.join("1");
    let (mut second, third, fourth) = (bench.join("2"), bench.join("3"), bench.join("4"));
    let (third_call, fourth_call) = (third.call, fourth.call);
    drop(first);
    let Some(Going::Leading(mut batch)) = now(&mut second) else {
        panic!("the first that is left sends them")
    };
    assert!(batch.settle());
    drop(third);
    assert_eq!(batch.sent(), (vec![third_call], vec![fourth_call]));
    drop(fourth);
}

#[tokio::test]
async fn calls_that_differ_do_not_go_together() {
    let bench = Bench::new();
    let _first = bench.join("1");
    let like = |key: Key| bench.batches.join(key, item("2"), RULE);
    let same = &bench.key;
    let others = [
        Key {
            to: "weft.v1.req.alice.gh.tools.call.y".into(),
            ..same.clone()
        },
        Key {
            connection: Connection::random(),
            ..same.clone()
        },
        Key {
            token: Some("t".into()),
            ..same.clone()
        },
        Key {
            correlation: Some("c".into()),
            ..same.clone()
        },
    ];
    for other in others {
        let said = format!("{other:?}");
        assert!(
            matches!(now(&mut like(other)), Some(Going::Alone)),
            "{said}"
        );
    }
    assert!(now(&mut like(same.clone())).is_none(), "this one waits");
}

#[tokio::test]
async fn a_message_has_its_bytes() {
    let bench = Bench::new();
    let _first = bench.join("1");
    let half = "x".repeat(BYTES_MAX / 2);
    let (mut second, mut third) = (bench.join(&half), bench.join(&half));
    assert!(now(&mut third).is_none());
    let _fourth = bench.join("4");
    assert_eq!(
        led(now(&mut second)).len(),
        BYTES_MAX + 3,
        "the two of them"
    );
    assert!(matches!(now(&mut third), Some(Going::Sent)));
}
