//! What a configuration file may say of calls that go out together: `batch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{limits::Wrong, policy::outside, unit::Period};

/// Calls that the gateway sends in one message: of one caller, to one tool. One that finds none like
/// it under way goes at once; those that come meanwhile wait for each other. That saves messages and
/// costs time, so it is done only where this is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// Calls in one message at most, 1 to 10; with 1 each goes alone.
    pub max: u32,
    /// How long a call waits for others at most, 1ms to 1s.
    pub window: Period,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            max: 10,
            window: Period::from_millis(100),
        }
    }
}

const MAX: (u32, u32) = (1, 10);
const WINDOW: (Period, Period) = (Period::from_millis(1), Period::from_secs(1));

impl Batch {
    /// What is wrong with it, below `batch`.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let max = outside(["batch", "max"], self.max, MAX);
        let window = outside(["batch", "window"], self.window, WINDOW);
        max.into_iter().chain(window).collect()
    }
}
