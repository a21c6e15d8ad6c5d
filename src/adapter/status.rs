//! How a server fares, as its adapter knows it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::mcp::{members::Members, tools::ToolList, version::Era};

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its process runs, but it has not said yet what it is and has.
    Starting,
    /// It answers calls.
    Healthy,
    /// It answers calls, but something is wrong: see [`Status::last_error`].
    Degraded,
    /// It answers no calls. It is tried again.
    Unhealthy,
}

impl State {
    /// The word for people and for the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What a server said of itself when it was opened. Nothing of it is proven.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The family of revisions it belongs to.
    pub era: Era,
    /// The revision spoken with it, `2025-06-18`.
    pub revision: String,
    /// `serverInfo` as it was spelt.
    pub server_info: Option<Box<RawValue>>,
    /// `capabilities` as they were spelt; `None` where they could not be had.
    pub capabilities: Option<Box<RawValue>>,
    /// What it says on how to use it.
    pub instructions: Option<String>,
}

impl Peer {
    /// Whether it said that it has tools, or prompts; where it said nothing, it may.
    pub(super) fn offers(&self, what: &str) -> bool {
        let said = self.capabilities.as_ref();
        said.is_none_or(|said| Members::read(said.get()).is_some_and(|said| said.has(what)))
    }

    /// Which changes it can tell of, as members of a filter for listening; empty where none.
    pub(super) fn changes(&self) -> String {
        let said = self.capabilities.as_ref();
        let Some(said) = said.and_then(|said| Members::read(said.get())) else {
            return String::new();
        };
        let told = |what: &str| {
            let inner = said.get(what).and_then(Members::read);
            inner.is_some_and(|inner| inner.get("listChanged") == Some("true"))
        };
        let wants: Vec<String> = ["tools", "prompts", "resources"]
            .into_iter()
            .filter(|what| told(what))
            .map(|what| format!(r#""{what}ListChanged":true"#))
            .collect();
        wants.join(",")
    }
}

/// Everything known of a server now.
#[derive(Clone, Debug)]
pub struct Status {
    /// How it is.
    pub state: State,
    /// Since when it is so.
    pub since: DateTime<Utc>,
    /// What it said of itself; `None` until it was opened once.
    pub peer: Option<Arc<Peer>>,
    /// Its tools, as they were read last.
    pub tools: Arc<ToolList>,
    /// Its process, which leads a group of the same number; `None` while none runs.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// What went wrong last, and what to do about it.
    pub last_error: Option<String>,
    /// When it was last asked whether it answers, and how that went.
    pub probe: Option<Probe>,
    /// What was thrown away so far.
    pub dropped: Dropped,
}

/// Whether a server answered when it was asked for nothing but that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When that was.
    pub at: DateTime<Utc>,
    /// How long it took; `None` where it has not answered, though calls run on it.
    pub took: Option<Duration>,
}

/// What a server said that nobody could use, counted since the adapter began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Lines on its standard output that are no JSON-RPC message.
    pub bad_lines: u64,
    /// Lines over the limit.
    pub long_lines: u64,
    /// Answers to calls that nobody waits for: cancelled, answered before, or never made.
    pub answers: u64,
    /// Notifications that belong to no call, or that mean nothing to the mesh.
    pub notifications: u64,
    /// Lines on its standard error beyond what is logged a second.
    pub log_lines: u64,
}

impl Status {
    /// Before anything is known.
    #[must_use]
    pub fn starting() -> Self {
        Self {
            state: State::Starting,
            since: Utc::now(),
            peer: None,
            tools: Arc::default(),
            pid: None,
            restarts: 0,
            last_error: None,
            probe: None,
            dropped: Dropped::default(),
        }
    }

    /// Sets the state; the time of an unchanged one stays.
    pub(super) fn turn(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.since = Utc::now();
        }
    }

    /// Whether the server has the tool, as far as is known: a list that was not read to its end
    /// says nothing of a name that is not in it.
    pub(super) fn may_have(&self, tool: &str) -> bool {
        !self.tools.complete || self.tools.get(tool).is_some()
    }

    /// Whether calls can be made now.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Healthy | State::Degraded)
    }
}

/// Resources of a server that are not what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// The one of this URI.
    One(Arc<str>),
    /// Some, and the server does not say which, or not in a URI of 8 KiB at most.
    Some,
    /// Its list of resources is another one.
    List,
}

/// Something that a server has is not what it was. No content: who cares reads it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// `tools/list_changed`, `prompts/list_changed` or `resources/list_changed`.
    pub kind: &'static str,
}
