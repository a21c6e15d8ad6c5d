//! Measuring: a load for a while, and what two sides make of it over many rounds.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

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

impl Measured {
    /// Whether it is the faster of two bare ways.
    pub(super) fn beats(&self, other: &Self, in_flight: usize) -> bool {
        if in_flight == 1 {
            self.p50_us < other.p50_us
        } else {
            self.rate > other.rate
        }
    }
}

/// Keeps so many requests in flight for so long.
pub(super) async fn load<A, F>(ask: A, in_flight: usize, slice: Duration) -> Result<Measured, Error>
where
    A: Fn() -> F,
    F: Future<Output = Result<Bytes, Error>>,
{
    let began = Instant::now();
    let mut took = Vec::new();
    let timed = || async {
        let asked = Instant::now();
        ask().await.map(|_| asked.elapsed())
    };
    let mut running: FuturesUnordered<_> = (0..in_flight).map(|_| timed()).collect();
    while let Some(answered) = running.next().await {
        took.push(answered?);
        if began.elapsed() < slice {
            running.push(timed());
        }
    }
    let elapsed = began.elapsed().as_secs_f64();
    if took.is_empty() {
        return Err(Error::new(Kind::Timeout, "not one request was answered"));
    }
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

/// Both sides over all rounds.
#[derive(Debug, Default)]
pub(super) struct Series {
    ways: Vec<Way>,
    pub(super) base: Vec<Measured>,
    pub(super) mesh: Vec<Measured>,
}

impl Series {
    pub(super) fn add(&mut self, way: Way, base: Measured, mesh: Measured) {
        self.ways.push(way);
        self.base.push(base);
        self.mesh.push(mesh);
    }

    pub(super) fn ratio(&self, of: impl Fn(&Measured) -> f64) -> Ratio {
        let ratios: Vec<f64> = self
            .base
            .iter()
            .zip(&self.mesh)
            .map(|(base, mesh)| of(mesh) / of(base))
            .collect();
        Ratio {
            median: median(ratios.iter().copied()),
            min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            max: ratios.iter().copied().fold(0.0, f64::max),
        }
    }

    /// The way that was the faster one in most rounds.
    pub(super) fn usual_base(&self) -> String {
        let requests = self.ways.iter().filter(|way| **way == Way::Request).count();
        let usual = if requests * 2 > self.ways.len() {
            "Client::request"
        } else {
            "wildcard inbox"
        };
        usual.to_owned()
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

    #[test]
    fn the_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!(median(std::iter::empty()).is_nan());
    }
}
