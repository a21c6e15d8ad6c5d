//! Durable subscriptions: what one is opened with, and what is told of it.
//!
//! A durable belongs to an identity. All processes of that identity that open it share its events:
//! they are a group. The broker knows it as a consumer of the same name on each stream that keeps
//! events of its wish, and on the stream of replays.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    envelope::invalid,
    wish::{From, Wish},
};
use crate::{
    error::Error,
    name::{Identity, id::checked},
};

/// Durables of one identity.
pub const DURABLES_MAX: usize = 32;
/// How often an event may be handed out at most.
const TRIES_MAX: u32 = 100;
/// Waits between tries that may be said one by one.
const BACKOFF_MAX: usize = 32;
/// The longest wait before the next try.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Events that may be with handlers at a time.
const IN_FLIGHT_MAX: usize = 10_000;
/// So long a durable without a name outlives the last of its readers.
pub const UNNAMED_GONE_AFTER: Duration = Duration::from_secs(120);

checked!(
    /// The name of a durable among those of its identity: 1 to 32 of `a-z 0-9 -`.
    DurableName,
    "name of a durable",
    "1 to 32 of a-z, 0-9 and -",
    |name| (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);

/// How a durable hands out its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Handing {
    /// How often an event is handed out before it is a dead letter, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub tries: u32,
    /// The waits between the tries, milliseconds; the last one goes on. 1 to 32, a day at most each.
    #[schemars(length(min = 1, max = 32), inner(range(max = 86_400_000)))]
    pub backoff_ms: Vec<u64>,
    /// An event that nobody answered or said to be working on for so long is handed out again,
    /// milliseconds: 1 second to a day.
    #[schemars(range(min = 1000, max = 86_400_000))]
    pub wait_ms: u64,
    /// Events that may be with handlers at a time, over all processes. With 1, each event is done
    /// before the next begins, tries included: then their order is kept.
    #[schemars(range(min = 1, max = 10_000))]
    pub in_flight: usize,
}

impl Default for Handing {
    fn default() -> Self {
        Self {
            tries: 5,
            backoff_ms: vec![1000, 5000, 30_000, 120_000],
            wait_ms: 30_000,
            in_flight: 256,
        }
    }
}

impl Handing {
    /// Checks the bounds.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with the bound.
    pub fn check(&self) -> Result<(), Error> {
        let day = u64::try_from(WAIT_MAX.as_millis()).unwrap_or(u64::MAX);
        let says = |what: &str| Err(invalid(format!("a durable's {what}")));
        if !(1..=TRIES_MAX).contains(&self.tries) {
            return says("`tries` are 1 to 100");
        }
        if !(1..=BACKOFF_MAX).contains(&self.backoff_ms.len())
            || self.backoff_ms.iter().any(|wait| *wait > day)
        {
            return says("`backoffMs` are 1 to 32 waits of a day at most");
        }
        if !(1000..=day).contains(&self.wait_ms) {
            return says("`waitMs` is 1000 to 86400000, a day");
        }
        if !(1..=IN_FLIGHT_MAX).contains(&self.in_flight) {
            return says("`inFlight` is 1 to 10000");
        }
        Ok(())
    }

    /// How long to wait after this try, the first being 1.
    #[must_use]
    pub fn after(&self, tries: u32) -> Duration {
        let n = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = self.backoff_ms.get(n).or(self.backoff_ms.last());
        Duration::from_millis(wait.copied().unwrap_or_default())
    }

    /// How long an event may be without a word.
    #[must_use]
    pub const fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }
}

/// Opens a durable, or changes it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerOpen {
    /// Its name among the caller's. Without one it is a new durable of its own, and gone two minutes
    /// after the last of its readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DurableName>,
    /// Which events. All streams that keep some of them are read.
    #[serde(default)]
    pub wish: Wish,
    /// Where a new one begins; one that is there goes on where it was. A sequence number is one of
    /// each stream.
    #[serde(default)]
    pub from: From,
    /// How it hands out its events.
    #[serde(default)]
    pub handing: Handing,
}

/// A durable that is open: pull from each of its streams.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerOpened {
    /// What the broker calls it, on each stream: `{identity}_{name}`.
    pub consumer: String,
    /// Its streams, that of the replays the last.
    pub streams: Vec<String>,
    /// How it hands out its events.
    pub handing: Handing,
}

/// Names a durable.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerNamed {
    /// Its name, as it was opened with.
    pub name: DurableName,
}

/// A durable that was removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerRemoved {
    /// What the broker called it.
    pub consumer: String,
    /// The streams that it was removed from.
    pub streams: Vec<String>,
}

/// The durables of the caller; of everybody for who has `read:mesh/consumers`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerPage {
    /// Each of them.
    pub consumers: Vec<ConsumerEntry>,
}

/// A durable, and how far it is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerEntry {
    /// Whose it is.
    pub identity: Identity,
    /// Its name among his.
    pub name: DurableName,
    /// The stream.
    pub stream: String,
    /// Events that were never handed out yet.
    pub pending: u64,
    /// Events that were handed out and not answered yet.
    pub unanswered: u64,
    /// How many of those were handed out more than once.
    pub repeated: u64,
    /// The last number of the stream below which everything was answered.
    pub done_to: u64,
}

/// Where a reader of a durable lost its connection, and may have lost it to an event.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerMend {
    /// The durable, as the broker calls it: `{identity}_{name}`.
    pub consumer: String,
    /// The stream.
    pub stream: String,
}

/// What was found there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerMended {
    /// The numbers of events that no client can read. Each is a dead letter now.
    pub unreadable: Vec<u64>,
}

/// What the broker calls a durable.
#[must_use]
pub fn consumer_name(of: &Identity, name: &DurableName) -> String {
    format!("{of}_{name}")
}

/// Whose durable that is, and its name there: an identity may have a `_`, a name has none.
#[must_use]
pub fn consumer_parts(consumer: &str) -> Option<(Identity, DurableName)> {
    let (identity, name) = consumer.rsplit_once('_')?;
    Some((Identity::new(identity).ok()?, DurableName::new(name).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_has_one_owner() {
        let of = |consumer| consumer_parts(consumer).map(|(who, name)| format!("{who}/{name}"));
        assert_eq!(of("alice_billing").as_deref(), Some("alice/billing"));
        assert_eq!(of("a_b_c").as_deref(), Some("a_b/c"));
        assert_eq!(of("alice"), None);
        assert_eq!(of("alice_"), None);
        assert_eq!(of("alice_B"), None);
    }

    #[test]
    fn waits_grow_and_the_last_one_goes_on() {
        let handing = Handing {
            backoff_ms: vec![10, 20],
            ..Handing::default()
        };
        let waits: Vec<_> = (1..5).map(|n| handing.after(n).as_millis()).collect();
        assert_eq!(waits, [10, 20, 20, 20]);
    }

    #[test]
    fn each_bound_is_checked() {
        let good = Handing::default();
        assert!(good.check().is_ok());
        let wrong = [
            Handing {
                tries: 0,
                ..good.clone()
            },
            Handing {
                tries: 101,
                ..good.clone()
            },
            Handing {
                backoff_ms: vec![],
                ..good.clone()
            },
            Handing {
                backoff_ms: vec![86_400_001],
                ..good.clone()
            },
            Handing {
                wait_ms: 999,
                ..good.clone()
            },
            Handing {
                in_flight: 0,
                ..good.clone()
            },
        ];
        for handing in wrong {
            assert!(handing.check().is_err(), "{handing:?}");
        }
    }
}
