//! One event and its place, as a line.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use weftbus::{
    event::Event,
    mesh::{Stored, Told},
    name::Identity,
};

use super::begin;
use crate::cli::{
    failure::Failure,
    output::{Printer, harmless},
};

/// An event, and its place.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Line {
    /// The event.
    #[serde(flatten)]
    event: Event,
    /// The stream that keeps it.
    stream: String,
    /// Its number there.
    sequence: u64,
    /// Both, as `--after` takes them.
    cursor: String,
    /// When it was stored, RFC 3339.
    stored_at: String,
    /// Whether it is told again, by a replay.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
}

impl From<Stored> for Line {
    fn from(stored: Stored) -> Self {
        Self {
            cursor: stored.cursor(),
            stored_at: begin::time(stored.at),
            event: stored.event,
            stream: stored.stream,
            sequence: stored.sequence,
            replayed: false,
        }
    }
}

impl Line {
    /// As one that is told again.
    pub(super) const fn replayed(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// One line each, written at once: who reads them may want to act on them.
    pub(super) fn show(&self, to: &mut Printer) -> Result<(), Failure> {
        if !to.is_table() {
            let text = serde_json::to_string(self).expect("an event is JSON");
            return to.raw(format!("{text}\n").as_bytes());
        }
        let event = &self.event;
        let source = event.source.as_ref().map_or("?", Identity::as_str);
        let data: Value = event.data().unwrap_or_default();
        let text = format!(
            "{}  {}{}  {}  {}  {}",
            self.stored_at,
            self.cursor,
            if self.replayed { "  replayed" } else { "" },
            event.kind,
            source,
            data
        );
        to.raw(format!("{}\n", harmless(&text)).as_bytes())
    }
}

/// What is no event, for people.
pub(super) fn words(told: &Told) -> String {
    match told {
        Told::Event(stored) => stored.cursor(),
        Told::Unreadable { cursor, why } => format!("{cursor} is passed over: {why}"),
        Told::Gone { stream, numbers } => format!(
            "{stream}: the events {} to {} are gone: their time was over, or somebody removed them",
            numbers.0, numbers.1
        ),
        Told::Holes { stream, missing } => format!(
            "{stream} lacks {missing} events between its first and its last: they were removed, or \
             its files are damaged"
        ),
    }
}
