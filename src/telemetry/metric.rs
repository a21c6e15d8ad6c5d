//! Every metric name once, with its unit and its labels, and the counters of one tool.
//!
//! Labels are few and bounded: a server, a tool of its list (any other is `_OTHER`), a code. No
//! caller, token, id or subject ever is one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use foldhash::HashMap;
use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

use crate::error::Kind;

/// Seconds from a call's request to its answer, on the caller's side. Labels: `server`, `tool`.
pub const CLIENT_DURATION: &str = "mcp_client_operation_duration_seconds";
/// Seconds from a request's arrival to its answer, on the server's side. Labels: `server`, `tool`.
pub const SERVER_DURATION: &str = "mcp_server_operation_duration_seconds";
/// Calls that ended in an error of the mesh. Labels: `side`, `server`, `code`.
pub const ERRORS: &str = "weft_errors_total";

/// Tools that get a series of their own, of all servers together.
const TOOLS_MAX: usize = 1000;
/// The label of every tool beyond.
const OTHER: &str = "_OTHER";

/// Says what the metrics mean, to whoever records them.
pub fn describe() {
    describe_histogram!(
        CLIENT_DURATION,
        Unit::Seconds,
        "Calls by the caller's clock"
    );
    describe_histogram!(
        SERVER_DURATION,
        Unit::Seconds,
        "Calls by the server's clock"
    );
    describe_counter!(ERRORS, Unit::Count, "Calls that ended in an error");
}

/// Which side of the bus counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The caller's.
    Client,
    /// The server's.
    Server,
}

impl Side {
    const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    const fn duration(self) -> &'static str {
        match self {
            Self::Client => CLIENT_DURATION,
            Self::Server => SERVER_DURATION,
        }
    }
}

/// The counters of one tool.
#[derive(Debug)]
pub struct Tool {
    duration: Histogram,
    calls: AtomicU64,
    failed: AtomicU64,
    nanos: AtomicU64,
}

/// What one tool's counters say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Calls that ended.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// All the time they took.
    pub time: Duration,
}

/// By server, then by tool: a look-up allocates nothing.
type Known = HashMap<String, HashMap<String, Arc<Tool>>>;

/// The counters of the tools that one side calls or serves. A cheap handle.
#[derive(Clone, Debug)]
pub struct Tools {
    side: Side,
    known: Arc<ArcSwap<Known>>,
}

impl Tools {
    /// No counters yet.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self {
            side,
            known: Arc::default(),
        }
    }

    /// The counters of a tool, or of a method where no tool is called.
    #[must_use]
    pub fn get(&self, server: &str, tool: &str) -> Arc<Tool> {
        self.known(server, tool)
            .unwrap_or_else(|| self.add(server, tool))
    }

    /// The counters of a tool that has some already.
    #[must_use]
    pub fn known(&self, server: &str, tool: &str) -> Option<Arc<Tool>> {
        find(&self.known.load(), server, tool)
    }

    fn add(&self, server: &str, tool: &str) -> Arc<Tool> {
        let series: usize = self.known.load().values().map(HashMap::len).sum();
        let tool = if series < TOOLS_MAX { tool } else { OTHER };
        if let Some(found) = find(&self.known.load(), server, tool) {
            return found;
        }
        let made = Arc::new(Tool {
            duration: histogram!(self.side.duration(),
                "server" => server.to_owned(), "tool" => tool.to_owned()),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
        });
        self.known.rcu(|known| {
            let mut known = Known::clone(known);
            let tools = known.entry(server.to_owned()).or_default();
            tools
                .entry(tool.to_owned())
                .or_insert_with(|| Arc::clone(&made));
            known
        });
        find(&self.known.load(), server, tool).unwrap_or(made)
    }

    /// What has been counted, by server and tool.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, String, Count)> {
        let known = self.known.load();
        let mut counts: Vec<_> = known
            .iter()
            .flat_map(|(server, tools)| {
                tools
                    .iter()
                    .map(|(tool, counters)| (server.clone(), tool.clone(), counters.count()))
            })
            .collect();
        counts.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        counts
    }

    /// Counts an error of the mesh.
    pub fn error(&self, server: &str, kind: Kind) {
        let counter: Counter = counter!(ERRORS, "side" => self.side.label(),
            "server" => server.to_owned(), "code" => kind.name());
        counter.increment(1);
    }
}

fn find(known: &Known, server: &str, tool: &str) -> Option<Arc<Tool>> {
    known.get(server)?.get(tool).cloned()
}

impl Tool {
    /// Counts a call.
    pub fn record(&self, took: Duration, failed: bool) {
        self.duration.record(took.as_secs_f64());
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn count(&self) -> Count {
        Count {
            calls: self.calls.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_and_series_are_bounded() {
        let tools = Tools::new(Side::Server);
        for n in 0..TOOLS_MAX + 50 {
            tools
                .get("gh", &format!("tool-{n}"))
                .record(Duration::from_millis(2), n == 0);
        }
        let counts = tools.counts();
        assert_eq!(counts.len(), TOOLS_MAX + 1);
        let calls: u64 = counts.iter().map(|(_, _, count)| count.calls).sum();
        assert_eq!(calls, TOOLS_MAX as u64 + 50);
        let other = counts.iter().find(|(_, tool, _)| tool == OTHER);
        assert_eq!(other.map(|(_, _, count)| count.calls), Some(50));
        assert_eq!(counts.iter().map(|(_, _, c)| c.failed).sum::<u64>(), 1);
    }
}
