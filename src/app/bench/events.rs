//! Events beside bare JetStream, in one run and on one broker: published and acknowledged, many at
//! once and one alone, and read again in order.
//!
//! The bare side is the client library by hand, with as many acknowledgements under way, on a stream
//! with the same settings, and with bodies of the same bytes. Nothing of it is in the way of the
//! permission lists. A lone event is also published by hand: the same message, by a member, with the
//! client library alone. What that takes more than bare is the price of what the mesh promises: an id
//! that repeats are known by, headers that others read, streams in an account that no member is in.

use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    Plan, Ratio, join,
    measure::{Measured, load, ratio},
};
use crate::{
    app::up::{Options as UpOptions, StartError, Up},
    bus::{
        Link,
        bare::stream::{BareStream, Order},
    },
    control::Durability,
    error::{Error, Kind},
    event::{Event, EventKey, From, Wish, message},
    mesh::{Begin, Mesh, Told},
    name::Identity,
    spawn::Tasks,
};

/// Acknowledgements under way at the same time.
const IN_FLIGHT: usize = 512;
/// Bytes of an event's data.
const DATA: usize = 256;
/// Events that are read in one round.
const READ_MAX: u64 = 200_000;
/// Where the events of the bench are kept.
const STREAM: &str = "WEFT_TASKS";
const TYPE: &str = "task.measured";
const PUBLISHER: &str = "bench-publisher";
const BY_HAND: &str = "bench-by-hand";

/// What `weft bench events` prints.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The figures.
    pub ratios: Ratios,
    /// When the broker has what it acknowledges on its disk, as it says itself.
    pub durability: Durability,
    /// Bytes of an event as it is stored, without headers; of a bare message as well.
    pub bytes: usize,
    /// Events that were acknowledged.
    pub acknowledged: u64,
    /// Events that were acknowledged to the member that publishes by hand.
    pub by_hand_acknowledged: u64,
    /// Events that the stream keeps, as it says itself; the same number as both together.
    pub stored: u64,
    /// Bare messages that were acknowledged.
    pub bare_acknowledged: u64,
    /// Bare messages that their stream keeps; the same number.
    pub bare_stored: u64,
    /// Acknowledged events a second, 512 under way.
    pub publish_rate: f64,
    /// Acknowledged bare messages a second, 512 under way.
    pub bare_publish_rate: f64,
    /// Median time of a lone event, microseconds.
    pub lone_p50_us: f64,
    /// Median time of the same event that a member publishes by hand, microseconds.
    pub by_hand_lone_p50_us: f64,
    /// Median time of a lone bare message, microseconds.
    pub bare_lone_p50_us: f64,
    /// Events read a second, in order, from the first of them on.
    pub replay_rate: f64,
    /// Messages of the same stream read a second by the library's faster ordered consumer, from the
    /// first of them on.
    pub bare_replay_rate: f64,
    /// Median time until the first event: a connection of its own, permissions, a look at what would
    /// be sent, microseconds.
    pub first_p50_us: f64,
    /// The same of the library, on a connection that is there, microseconds.
    pub bare_first_p50_us: f64,
    /// Which one that was.
    pub bare_replay: String,
}

/// Weft over bare, the median over all rounds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Ratios {
    /// Rate of acknowledged publishing, 512 under way.
    pub publish: Ratio,
    /// Median time of a lone event.
    pub lone: Ratio,
    /// The same, over that of the same event published by hand.
    pub lone_by_hand: Ratio,
    /// Rate of reading.
    pub replay: Ratio,
}

/// What both sides did in all rounds.
#[derive(Default)]
struct Sides {
    weft: Vec<Measured>,
    bare: Vec<Measured>,
}

impl Sides {
    fn push(&mut self, weft: Measured, bare: Measured) {
        self.weft.push(weft);
        self.bare.push(bare);
    }

    fn ratio(&self, of: impl Fn(&Measured) -> f64) -> Ratio {
        ratio(self.weft.iter().map(&of), self.bare.iter().map(&of))
    }

    fn medians(&self, of: impl Fn(&Measured) -> f64) -> (f64, f64) {
        let median = |side: &[Measured]| super::measure::median(side.iter().map(&of));
        (median(&self.weft), median(&self.bare))
    }
}

/// Measures on a mesh of its own: see [`super::options`].
///
/// # Errors
/// What does not start, or an event that was not stored.
pub async fn run(plan: Plan, options: UpOptions) -> Result<Report, StartError> {
    let up = Up::start(options).await?;
    let tasks = Tasks::new();
    let measured = Box::pin(measure(&up, plan, &tasks)).await;
    tasks.cancel();
    up.stop().await;
    Ok(measured?)
}

async fn measure(up: &Up, plan: Plan, tasks: &Tasks) -> Result<Report, Error> {
    let allowed = ["publish", "subscribe"].map(|action| format!("{action}:events/*"));
    let store = &up.plane().connect_beside("bench", tasks).await?;
    let writers = Writers {
        mesh: join(up, PUBLISHER, &allowed).await?,
        by_hand: join(up, BY_HAND, &allowed).await?,
        bare: BareStream::make(store).await?,
    };
    let bytes = stored_bytes(event())?;
    let (mut publish, mut lone, mut by_hand) =
        (Sides::default(), Sides::default(), Sides::default());
    let (mut acknowledged, mut by_hand_acknowledged, mut bare_acknowledged) = (0, 0, 0);
    for round in 0..=plan.rounds {
        // The first round warms all of them up and is thrown away.
        let alone = [
            writers.bare(bytes, 1, plan.slice).await?,
            writers.by_hand(plan.slice).await?,
            writers.weft(1, plan.slice).await?,
        ];
        let many = [
            writers.bare(bytes, IN_FLIGHT, plan.slice).await?,
            writers.weft(IN_FLIGHT, plan.slice).await?,
        ];
        bare_acknowledged += alone[0].calls + many[0].calls;
        by_hand_acknowledged += alone[1].calls;
        acknowledged += alone[2].calls + many[1].calls;
        if round > 0 {
            lone.push(alone[2], alone[0]);
            by_hand.push(alone[2], alone[1]);
            publish.push(many[1], many[0]);
        }
    }
    let stored = BareStream::stored(store, Some(STREAM)).await?;
    let count = stored.min(READ_MAX);
    let (replay, way) = read(store, &writers.mesh, plan.rounds, count).await?;
    let durability = up.plane().control().durability().await?;
    let bare_stored = BareStream::stored(store, None).await?;
    writers.mesh.close().await;
    writers.by_hand.close().await;
    let (publish_rate, bare_publish_rate) = publish.medians(|side| side.rate);
    let (lone_p50_us, bare_lone_p50_us) = lone.medians(|side| side.p50_us);
    let (_, by_hand_lone_p50_us) = by_hand.medians(|side| side.p50_us);
    let (replay_rate, bare_replay_rate) = replay.medians(|side| side.rate);
    let (first_p50_us, bare_first_p50_us) = replay.medians(|side| side.p50_us);
    Ok(Report {
        ratios: Ratios {
            publish: publish.ratio(|side| side.rate),
            lone: lone.ratio(|side| side.p50_us),
            lone_by_hand: by_hand.ratio(|side| side.p50_us),
            replay: replay.ratio(|side| side.rate),
        },
        durability,
        bytes,
        acknowledged,
        by_hand_acknowledged,
        stored,
        bare_acknowledged,
        bare_stored,
        publish_rate,
        bare_publish_rate,
        lone_p50_us,
        by_hand_lone_p50_us,
        bare_lone_p50_us,
        replay_rate,
        bare_replay_rate,
        first_p50_us,
        bare_first_p50_us,
        bare_replay: way,
    })
}

/// Who publishes.
struct Writers {
    mesh: Mesh,
    /// A member that has no more than the connection.
    by_hand: Mesh,
    bare: BareStream,
}

impl Writers {
    async fn weft(&self, in_flight: usize, slice: Duration) -> Result<Measured, Error> {
        let mesh = self.mesh.clone();
        let ask = move || {
            let mesh = mesh.clone();
            async move { mesh.events().publish(event()).await.map(|_| Bytes::new()) }
        };
        load(ask, in_flight, slice).await
    }

    async fn by_hand(&self, slice: Duration) -> Result<Measured, Error> {
        let (client, who) = (self.by_hand.link().client(), self.by_hand.link().identity());
        let who = who.clone();
        let key = EventKey::read(&EventKey::derived(b"bench", &who));
        let key = key.expect("a secret that was derived is one");
        let ask = move || {
            let (client, message) = (client.clone(), message(&mut event(), &who, &key));
            async move { BareStream::publish_as_member(&client, message?).await }
        };
        load(ask, 1, slice).await
    }

    async fn bare(
        &self,
        bytes: usize,
        in_flight: usize,
        slice: Duration,
    ) -> Result<Measured, Error> {
        let (bare, body) = (self.bare.clone(), Bytes::from(vec![b'x'; bytes]));
        let ask = move || {
            let (bare, body) = (bare.clone(), body.clone());
            async move { bare.publish(body).await }
        };
        load(ask, in_flight, slice).await
    }
}

fn event() -> Event {
    Event::new(TYPE, json!({"text": "x".repeat(DATA - 11)}))
}

/// Reads the same events by Weft and by the library's two ordered consumers, and keeps the faster
/// of these.
async fn read(
    store: &Link,
    mesh: &Mesh,
    rounds: usize,
    count: u64,
) -> Result<(Sides, String), Error> {
    let mut weft = Vec::new();
    let mut ways = [
        ("ordered push", Order::Pushed, Vec::new()),
        ("ordered pull", Order::Pulled, Vec::new()),
    ];
    for round in 0..=rounds {
        for (_, order, measured) in &mut ways {
            let began = Instant::now();
            let first = BareStream::read(store, STREAM, count, *order).await?;
            if round > 0 {
                measured.push(rate(began, first, count));
            }
        }
        let began = Instant::now();
        let first = replay(mesh, count).await?;
        if round > 0 {
            weft.push(rate(began, first, count));
        }
    }
    let speed = |measured: &[Measured]| super::measure::median(measured.iter().map(|m| m.rate));
    let faster = ways
        .into_iter()
        .max_by(|a, b| speed(&a.2).total_cmp(&speed(&b.2)));
    let (name, _, bare) = faster.expect("there are two");
    Ok((Sides { weft, bare }, name.to_owned()))
}

/// Reads so many, and says when the first was there.
async fn replay(mesh: &Mesh, count: u64) -> Result<Instant, Error> {
    let begin = Begin {
        stream: Some(STREAM.to_owned()),
        from: From::Start,
    };
    let wish = Wish {
        types: vec!["task.*".to_owned()],
        ..Wish::default()
    };
    let mut tail = mesh.events().tail(wish, &[begin]).await?;
    let mut first = None;
    for _ in 0..count {
        match tail.next().await? {
            Told::Event(_) => {}
            other => {
                let said = format!("an event was missing: {other:?}");
                return Err(Error::new(Kind::InternalError, said));
            }
        }
        first.get_or_insert_with(Instant::now);
    }
    Ok(first.unwrap_or_else(Instant::now))
}

/// What came after the first, by the time from then on.
#[expect(clippy::cast_precision_loss, reason = "at most 200,000")]
fn rate(began: Instant, first: Instant, count: u64) -> Measured {
    Measured {
        p50_us: first.duration_since(began).as_secs_f64() * 1e6,
        rate: count.saturating_sub(1) as f64 / first.elapsed().as_secs_f64(),
        calls: count,
    }
}

/// Bytes of an event as its stream keeps it.
fn stored_bytes(mut event: Event) -> Result<usize, Error> {
    event.source = Identity::new(PUBLISHER).ok();
    let body = serde_json::to_vec(&event);
    let body = body.map_err(|error| Error::new(Kind::InternalError, error.to_string()))?;
    Ok(body.len())
}
