//! What a configuration file may say of the processes, or sessions, of a server: `pool`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{limits::Wrong, policy::outside, unit::Period};

/// How many processes, or sessions, of one server there are, and who may use which. Unless `calls` or
/// `pin` says otherwise there is one: a server may keep state in its process, and who runs it has to
/// say that its calls may be spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// At most, 1 to 64.
    pub max: u32,
    /// Kept, used or not, 1 to `max`.
    pub min: u32,
    /// Calls that one of them takes at once, 1 to 65536. Nothing: as many as the server does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
    /// One beyond `min` that nobody used for so long is closed, 100ms to 1d; with `pin: caller` any
    /// whose caller did not call for so long.
    pub idle: Period,
    /// How long a call waits for a place, 0ms to 10m, and never beyond its own time.
    pub wait: Period,
    /// Calls that wait at most, 0 to 4096.
    pub waiting: u32,
    /// Whether each belongs to one caller.
    pub pin: Pin,
}

/// Who may use which process, or session, of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// Anybody any: for servers that keep nothing between two calls.
    #[default]
    None,
    /// Each caller has one of his own, which nobody else ever uses: for servers that keep state.
    Caller,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            max: 10,
            min: 1,
            calls: None,
            idle: Period::from_secs(60),
            wait: Period::from_secs(5),
            waiting: 256,
            pin: Pin::None,
        }
    }
}

const MAX: (u32, u32) = (1, 64);
const CALLS: (u32, u32) = (1, 65_536);
const IDLE: (Period, Period) = (Period::from_millis(100), Period::from_secs(86_400));
const WAIT: (Period, Period) = (Period::from_millis(0), Period::from_secs(600));
const WAITING: (u32, u32) = (0, 4096);

impl Pool {
    /// What is wrong with it, below `pool`.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let found = [
            outside(["pool", "max"], self.max, MAX),
            outside(["pool", "min"], self.min, (1, self.max.max(1))),
            self.calls
                .and_then(|calls| outside(["pool", "calls"], calls, CALLS)),
            outside(["pool", "idle"], self.idle, IDLE),
            outside(["pool", "wait"], self.wait, WAIT),
            outside(["pool", "waiting"], self.waiting, WAITING),
        ];
        found.into_iter().flatten().collect()
    }

    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
