//! What an HTTP server is reached with, and the bounds of everything about it.

use std::time::Duration;

use super::endpoint::{Endpoint, Headers};
use crate::adapter::backoff::Backoff;

/// Beyond the single steps of an end, for what has to be said and joined around them.
const STOP_SLACK: Duration = Duration::from_secs(2);

/// Everything about one HTTP server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What is added to each request.
    pub headers: Headers,
    /// What it may use up.
    pub limits: Limits,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// When it is tried again.
    pub backoff: Backoff,
}

/// What a server may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one answer, or of one event of a stream.
    pub answer: usize,
    /// Calls that it works on at the same time: as many connections are open at most, and two for
    /// the adapter itself.
    pub in_flight: usize,
    /// Connections that are kept open while nobody uses them.
    pub idle: usize,
}

/// How long a server may take. A call has the time that its caller gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, its TLS handshake included.
    pub connect: Duration,
    /// For each answer while it is opened, and for a page of its `tools/list`.
    pub open: Duration,
    /// To take a notification, or the end of a session.
    pub say: Duration,
    /// For what is under way when the adapter ends.
    pub drain: Duration,
}

impl Options {
    /// This server, with the usual bounds.
    #[must_use]
    pub fn new(endpoint: Endpoint, headers: Headers) -> Self {
        Self {
            endpoint,
            headers,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            backoff: Backoff::default(),
        }
    }

    /// How long its end takes at most, after what is under way.
    pub(in crate::adapter) fn stop_within(&self) -> Duration {
        2 * self.timeouts.say + STOP_SLACK
    }
}

/// 64 MiB an answer, 256 calls, 16 idle connections.
impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: 64 << 20,
            in_flight: 256,
            idle: 16,
        }
    }
}

/// 10 s to connect, 30 s to open, 5 s to be told something and to end what is under way.
impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            open: Duration::from_secs(30),
            say: Duration::from_secs(5),
            drain: Duration::from_secs(5),
        }
    }
}
