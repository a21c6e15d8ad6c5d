//! Measuring: a load for a while, and what two sides make of it over many rounds.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    bus::bare::Way,
    error::{Error, Kind},
};

/// A ratio over all rounds.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Ratio {
    /// The figure.
    pub median: f64,
    /// The smallest of a round.
    pub min: f64,
    /// The largest of a round.
    pub max: f64,
}

/// What one side did in one slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) p50_us: f64,
    pub(super) rate: f64,
    pub(super) calls: u64,
}

/// Keeps so many requests in flight for so long, from one task: driven by the thread of `main`,
/// both sides would wait for it to be woken.
pub(super) async fn load<A, F>(ask: A, in_flight: usize, slice: Duration) -> Result<Measured, Error>
where
    A: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<Bytes, Error>> + Send + 'static,
{
    let began = Instant::now();
    let mut task = JoinSet::new();
    task.spawn(drive(ask, in_flight, began + slice));
    let took = match task.join_next().await {
        Some(Ok(took)) => took?,
        _ => return Err(Error::new(Kind::InternalError, "the load panicked")),
    };
    let elapsed = began.elapsed().as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^52 calls do not fit into a slice"
    )]
    Ok(Measured {
        rate: took.len() as f64 / elapsed,
        calls: took.len() as u64,
        p50_us: median(took.iter().map(|took| took.as_secs_f64() * 1e6)),
    })
}

/// Asks until the end. Says how long each answer took.
async fn drive<A, F>(ask: A, in_flight: usize, end: Instant) -> Result<Vec<Duration>, Error>
where
    A: Fn() -> F,
    F: Future<Output = Result<Bytes, Error>>,
{
    let timed = || async {
        let asked = Instant::now();
        ask().await.map(|_| asked.elapsed())
    };
    let mut took = Vec::new();
    let mut running: FuturesUnordered<_> = (0..in_flight).map(|_| timed()).collect();
    while let Some(answered) = running.next().await {
        took.push(answered?);
        if Instant::now() < end {
            running.push(timed());
        }
    }
    Ok(took)
}

/// Both sides over all rounds. The base is the way that was the faster one by its median: the
/// best of each round would be the best of its noise.
#[derive(Debug)]
pub(super) struct Series {
    in_flight: usize,
    ways: Vec<(Way, Vec<Measured>)>,
    pub(super) mesh: Vec<Measured>,
}

impl Series {
    pub(super) fn new(in_flight: usize, ways: impl Iterator<Item = Way>) -> Self {
        Self {
            in_flight,
            ways: ways.map(|way| (way, Vec::new())).collect(),
            mesh: Vec::new(),
        }
    }

    /// Takes a round: each way in order, and the mesh.
    pub(super) fn add(&mut self, bare: Vec<Measured>, mesh: Measured) {
        for ((_, measured), bare) in self.ways.iter_mut().zip(bare) {
            measured.push(bare);
        }
        self.mesh.push(mesh);
    }

    fn faster(&self) -> Option<&(Way, Vec<Measured>)> {
        let speed = |measured: &[Measured]| {
            if self.in_flight == 1 {
                -median(measured.iter().map(|m| m.p50_us))
            } else {
                median(measured.iter().map(|m| m.rate))
            }
        };
        let ways = self.ways.iter();
        ways.max_by(|a, b| speed(&a.1).total_cmp(&speed(&b.1)))
    }

    /// The rounds of the base.
    pub(super) fn base(&self) -> &[Measured] {
        self.faster().map_or(&[], |(_, measured)| measured)
    }

    pub(super) fn ratio(&self, of: impl Fn(&Measured) -> f64) -> Ratio {
        ratio(self.mesh.iter().map(&of), self.base().iter().map(&of))
    }

    /// What the base is called.
    pub(super) fn base_name(&self) -> String {
        let name = match self.faster() {
            Some((Way::Request, _)) => "Client::request",
            Some((Way::Inbox, _)) | None => "wildcard inbox",
        };
        name.to_owned()
    }
}

/// One side over the other, round by round.
pub(super) fn ratio(ours: impl Iterator<Item = f64>, base: impl Iterator<Item = f64>) -> Ratio {
    let ratios: Vec<f64> = ours.zip(base).map(|(ours, base)| ours / base).collect();
    Ratio {
        median: median(ratios.iter().copied()),
        min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        max: ratios.iter().copied().fold(0.0, f64::max),
    }
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(p50_us: f64, rate: f64) -> Measured {
        Measured {
            p50_us,
            rate,
            calls: 1,
        }
    }

    #[test]
    fn the_base_is_the_faster_way_and_not_the_luckier_rounds() {
        for (in_flight, base, ratio) in [(1, "wildcard inbox", 4.0), (64, "Client::request", 0.5)] {
            let mut series = Series::new(in_flight, [Way::Request, Way::Inbox].into_iter());
            for luck in [1.0, 1.0, 3.0] {
                let request = measured(20.0, 100.0);
                let inbox = measured(10.0 * luck, 50.0 * luck);
                series.add(vec![request, inbox], measured(40.0, 50.0));
            }
            assert_eq!(series.base_name(), base);
            let found = if in_flight == 1 {
                series.ratio(|m| m.p50_us)
            } else {
                series.ratio(|m| m.rate)
            };
            assert!((found.median - ratio).abs() < f64::EPSILON, "{found:?}");
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!(median(std::iter::empty()).is_nan());
    }
}
