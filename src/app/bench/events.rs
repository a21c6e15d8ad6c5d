//! Events beside bare JetStream, in one run and on one broker: published and acknowledged, many at
//! once and one alone, and read again in order.
//!
//! The bare side is the client library by hand, with as many acknowledgements under way, on a stream
//! with the same settings, and with bodies of the same bytes. Nothing of it is in the way of the
//! permission lists.

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
    event::{Event, From, Wish},
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
    /// Events that the stream keeps, as it says itself; the same number.
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
    let mesh = join(up, PUBLISHER, &allowed).await?;
    let store = &up.plane().connect_beside("bench", tasks).await?;
    let bare = BareStream::make(store).await?;
    let event = || Event::new(TYPE, json!({"text": "x".repeat(DATA - 11)}));
    let body = Bytes::from(vec![b'x'; stored_bytes(event())?]);
    let bytes = body.len();
    let ask_weft = || {
        let mesh = mesh.clone();
        move || {
            let (mesh, event) = (mesh.clone(), event());
            async move { mesh.events().publish(event).await.map(|_| Bytes::new()) }
        }
    };
    let ask_bare = || {
        let (bare, body) = (bare.clone(), body.clone());
        move || {
            let (bare, body) = (bare.clone(), body.clone());
            async move { bare.publish(body).await }
        }
    };
    let (mut publish, mut lone) = (Sides::default(), Sides::default());
    let (mut acknowledged, mut bare_acknowledged) = (0, 0);
    for round in 0..=plan.rounds {
        // The first round warms both sides up and is thrown away.
        for (sides, in_flight) in [(&mut lone, 1), (&mut publish, IN_FLIGHT)] {
            let by_bare = load(ask_bare(), in_flight, plan.slice).await?;
            let by_weft = load(ask_weft(), in_flight, plan.slice).await?;
            bare_acknowledged += by_bare.calls;
            acknowledged += by_weft.calls;
            if round > 0 {
                sides.bare.push(by_bare);
                sides.weft.push(by_weft);
            }
        }
    }
    let stored = BareStream::stored(store, Some(STREAM)).await?;
    let (replay, way) = read(store, &mesh, plan.rounds, stored.min(READ_MAX)).await?;
    let durability = up.plane().control().durability().await?;
    let bare_stored = BareStream::stored(store, None).await?;
    mesh.close().await;
    let (publish_rate, bare_publish_rate) = publish.medians(|side| side.rate);
    let (lone_p50_us, bare_lone_p50_us) = lone.medians(|side| side.p50_us);
    let (replay_rate, bare_replay_rate) = replay.medians(|side| side.rate);
    let (first_p50_us, bare_first_p50_us) = replay.medians(|side| side.p50_us);
    Ok(Report {
        ratios: Ratios {
            publish: publish.ratio(|side| side.rate),
            lone: lone.ratio(|side| side.p50_us),
            replay: replay.ratio(|side| side.rate),
        },
        durability,
        bytes,
        acknowledged,
        stored,
        bare_acknowledged,
        bare_stored,
        publish_rate,
        bare_publish_rate,
        lone_p50_us,
        bare_lone_p50_us,
        replay_rate,
        bare_replay_rate,
        first_p50_us,
        bare_first_p50_us,
        bare_replay: way,
    })
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
