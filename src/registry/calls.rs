//! What an instance says of calls to it, beside how it is: what callers may take for granted, and
//! whether it takes any.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What callers may take for granted, as the server's operator declared it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// Tools that may be called again without harm where nobody knows whether a call had begun:
    /// `*`, `prefix*` or a name, 64 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub idempotent: Vec<String>,
    /// Whether a call with an idempotency key runs at most once: such a one may be called again
    /// as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keys: bool,
    /// How often a call that failed is made again; absent: as each caller has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How calls may go out together; absent: each goes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
}

/// How often a call that failed is made again, and after what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts after the first one, 0 to 10.
    pub max: u32,
    /// The wait before the first of them, milliseconds; doubled before each that follows.
    pub base_ms: u64,
}

/// How calls of one caller to one tool go out together. A batch comes to any instance, so all of them
/// say this, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Calls in one message at most, 2 to 10.
    pub max: u32,
    /// How long a call waits for others at most, milliseconds.
    pub window_ms: u64,
}

impl Calls {
    /// Whether nothing was declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a circuit breaker is, as the description spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls pass.
    #[default]
    Closed,
    /// None does.
    Open,
    /// One does, and decides.
    HalfOpen,
}

impl BreakerState {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The circuit breaker in front of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// How it is.
    pub state: BreakerState,
    /// Until when it is open, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// How often it opened since the instance began.
    pub opened: u64,
}
