//! What a configuration file may say of calls that fail: `policy`, and the same keys of a server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{batch::Batch, cache::Cache, limits::Wrong, pool::Pool, unit::Period};

/// What holds for every call, where a server does not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// How long a call may take, 10ms to 24h.
    pub timeout: Period,
    /// How often a call that failed is made again.
    #[serde(skip_serializing_if = "Retry::is_usual")]
    pub retry: Retry,
    /// When a server that fails is left alone.
    #[serde(skip_serializing_if = "Breaker::is_usual")]
    pub breaker: Breaker,
    /// How many processes, or sessions, of a server there are.
    #[serde(skip_serializing_if = "Pool::is_usual")]
    pub pool: Pool,
    /// Which calls go out together. Nothing: each goes alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Which answers are kept.
    #[serde(skip_serializing_if = "Cache::is_usual")]
    pub cache: Cache,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: Period::from_secs(30),
            retry: Retry::default(),
            breaker: Breaker::default(),
            pool: Pool::default(),
            batch: None,
            cache: Cache::default(),
        }
    }
}

/// How often a call that failed is made again, where that does no harm: it had not begun, it only
/// asks, its tool stands in `idempotent`, or it has an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts after the first one, 0 to 10.
    pub max: u32,
    /// The wait before the first of them, 10ms to 1m; doubled before each that follows.
    pub base: Period,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max: 3,
            base: Period::from_secs(1),
        }
    }
}

/// When a server that fails is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// So many failures in a row, 1 to 1000. Half of twenty calls or more within ten seconds are
    /// enough too.
    pub threshold: u32,
    /// So long it is left alone, 100ms to 1h; each time that it fails again, twice as long as
    /// before, up to ten times as long.
    pub reset: Period,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            threshold: 5,
            reset: Period::from_secs(60),
        }
    }
}

const RETRIES: (u32, u32) = (0, 10);
const BASE: (Period, Period) = (Period::from_millis(10), Period::from_secs(60));
const THRESHOLD: (u32, u32) = (1, 1000);
const RESET: (Period, Period) = (Period::from_millis(100), Period::from_secs(3600));

impl Policy {
    /// What is wrong with it, but for the time that a call may take.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let mut found = self.retry.wrong();
        found.extend(self.breaker.wrong());
        found.extend(self.pool.wrong());
        found.extend(self.batch.iter().flat_map(Batch::wrong));
        found.extend(self.cache.wrong());
        found
    }
}

impl Retry {
    /// What is wrong with it, below `retry`.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let max = outside(["retry", "max"], self.max, RETRIES);
        let base = outside(["retry", "base"], self.base, BASE);
        max.into_iter().chain(base).collect()
    }

    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Breaker {
    /// What is wrong with it, below `breaker`.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let threshold = outside(["breaker", "threshold"], self.threshold, THRESHOLD);
        let reset = outside(["breaker", "reset"], self.reset, RESET);
        threshold.into_iter().chain(reset).collect()
    }

    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

pub(super) fn outside<T: PartialOrd + std::fmt::Display>(
    path: [&str; 2],
    value: T,
    (least, most): (T, T),
) -> Option<Wrong> {
    let path = path.map(str::to_owned).to_vec();
    let wrong = !(&least..=&most).contains(&&value);
    wrong.then(|| (path, format!("{value} is not between {least} and {most}")))
}
