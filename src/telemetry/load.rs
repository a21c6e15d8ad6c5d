//! How much one instance of a server has to do: calls under way, calls that wait, calls refused, and
//! how soon those were.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Upper bounds of the buckets, microseconds; one more holds the rest.
const BOUNDS: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 40_000, 50_000, 75_000, 100_000,
    200_000, 500_000, 1_000_000,
];

/// What one instance has to do. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Load(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    running: AtomicUsize,
    waiting: AtomicUsize,
    /// Of each bucket, and of those beyond.
    refused: [AtomicU64; BOUNDS.len() + 1],
}

/// What it looks like at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Calls under way.
    pub running: usize,
    /// Calls that wait for one of them to end.
    pub waiting: usize,
    /// Calls that were refused for the load, so far.
    pub refused: u64,
    /// In 99 of 100 cases a refusal was on its way within this time from when the request was
    /// read: the upper bound of a bucket, a second at most.
    pub refused_within: Duration,
}

impl Load {
    /// How many run and wait now.
    pub fn set(&self, running: usize, waiting: usize) {
        self.0.running.store(running, Ordering::Relaxed);
        self.0.waiting.store(waiting, Ordering::Relaxed);
    }

    /// One more was refused, so long after its request was read.
    pub fn refused(&self, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.0.refused[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// What it looks like now.
    #[must_use]
    pub fn now(&self) -> Now {
        let counts = self
            .0
            .refused
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        let refused: u64 = counts.iter().sum();
        let enough = refused.saturating_mul(99).div_ceil(100);
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            seen >= enough
        });
        let last = BOUNDS.len() - 1;
        let bound = BOUNDS[bucket.unwrap_or(last).min(last)];
        Now {
            running: self.0.running.load(Ordering::Relaxed),
            waiting: self.0.waiting.load(Ordering::Relaxed),
            refused,
            refused_within: Duration::from_micros(if refused == 0 { 0 } else { bound }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_nine_of_a_hundred_were_as_soon() {
        let load = Load::default();
        assert_eq!(load.now(), Now::default());
        for _ in 0..99 {
            load.refused(Duration::from_micros(150));
        }
        load.refused(Duration::from_secs(5));
        assert_eq!(load.now().refused, 100);
        assert_eq!(load.now().refused_within, Duration::from_micros(200));
        load.refused(Duration::from_secs(5));
        assert_eq!(load.now().refused_within, Duration::from_secs(1));
        load.set(3, 4);
        assert_eq!((load.now().running, load.now().waiting), (3, 4));
    }
}
