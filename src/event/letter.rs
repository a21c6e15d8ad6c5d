//! Dead letters: events that a subscriber gave up, by name. The event stays in its stream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::envelope::Event;

/// Characters of a reason.
pub const REASON_MAX: usize = 2000;
/// Letters of one page, and of one redrive or drop.
pub const LETTERS_MAX: usize = 200;

/// A dead letter, as a subscriber writes it to `weft.v1.dlq.{stream}.{consumer}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Letter {
    /// The stream that keeps the event.
    pub stream: String,
    /// Its number there.
    pub seq: u64,
    /// The durable that gave it up, as the broker calls it: `{identity}_{name}`.
    pub consumer: String,
    /// How often it was handed out.
    pub attempts: u32,
    /// What went wrong last, 2,000 characters at most.
    pub reason: String,
}

impl Letter {
    /// With a reason that fits.
    #[must_use]
    pub fn new(stream: &str, seq: u64, consumer: &str, attempts: u32, reason: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            seq,
            consumer: consumer.to_owned(),
            attempts,
            reason: reason.chars().take(REASON_MAX).collect(),
        }
    }

    /// Of what its `Nats-Msg-Id` is made: an event is one dead letter of a durable, however often
    /// that is told. `replay` is its number among the replays where it is one: given up once more,
    /// it is another letter.
    #[must_use]
    pub fn key(&self, replay: Option<u64>) -> String {
        let replay = replay.unwrap_or_default();
        format!(
            "dlq/{}/{}/{}/{replay}",
            self.stream, self.seq, self.consumer
        )
    }
}

/// A dead letter, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LetterEntry {
    /// Its number among the dead letters.
    pub letter: u64,
    /// When it was written, milliseconds since 1970.
    pub at: u64,
    #[serde(flatten)]
    /// What it says.
    pub says: Letter,
}

/// Which dead letters are listed: the caller's own, or with `read:mesh/dlq` everybody's.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LetterList {
    /// Those of this durable: `{identity}_{name}`.
    pub consumer: Option<String>,
    /// Those of events of this stream.
    pub stream: Option<String>,
    /// Those behind this number.
    pub after: u64,
    /// How many, 200 at most.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<usize>,
}

/// Some dead letters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LetterPage {
    /// The oldest first.
    pub letters: Vec<LetterEntry>,
    /// Where the next page begins: its `after`. Nothing where this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Names a dead letter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LetterGet {
    /// Its number among the dead letters.
    pub letter: u64,
}

/// A dead letter with its event.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LetterShown {
    #[serde(flatten)]
    /// The letter.
    pub entry: LetterEntry,
    /// The event, where it is still there and can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// Why there is no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Names dead letters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LettersNamed {
    /// Their numbers, 200 at most.
    #[schemars(length(min = 1, max = 200))]
    pub letters: Vec<u64>,
}

/// What became of each.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LettersDone {
    /// Those that are done, and no dead letters any more.
    pub done: Vec<u64>,
    /// Those that are dead letters still, and why.
    pub failed: Vec<LetterFailed>,
}

/// A dead letter that something could not be done with.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LetterFailed {
    /// Its number.
    pub letter: u64,
    /// Why not.
    pub why: String,
}

/// Delivers events once more, to one durable alone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayDeliver {
    /// The durable: its name among the caller's, or `{identity}_{name}` with `admin:mesh/dlq`.
    pub to: String,
    /// The stream that keeps them.
    pub stream: String,
    /// Their numbers there, 256 at most.
    #[schemars(length(min = 1, max = 256))]
    pub numbers: Vec<u64>,
}

/// How many were delivered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReplayDelivered {
    /// Stored for the durable; the rest is no longer there, or no event.
    pub delivered: usize,
}
