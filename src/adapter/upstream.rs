//! One server, whatever its transport: what the rest of the product sees of an adapter.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::{broadcast, watch};
use tower::Service;

use super::{
    backoff::Backoff,
    status::{Changed, Status, Touched},
    stdio, streamable,
};
use crate::{
    call::{Call, CallFuture, Reply},
    child::Watchdog,
    error::Error,
    name::ServerName,
    registry::Transport,
    spawn::Tasks,
};

/// How a server is reached, with all that this takes.
#[derive(Clone, Debug)]
pub enum Options {
    /// A process that is started.
    Stdio(stdio::Options),
    /// A URL.
    Http(streamable::Options),
}

/// A handle to a server. Clones are handles to the same one; with the last it is let go.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A process.
    Stdio(stdio::Upstream),
    /// A server at a URL.
    Http(streamable::Upstream),
}

impl Options {
    /// The transport, as the registry calls it.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Stdio(_) => Transport::Stdio,
            Self::Http(_) => Transport::Http,
        }
    }

    /// When a server that failed is started again.
    pub(super) const fn backoff(&self) -> Backoff {
        match self {
            Self::Stdio(options) => options.backoff,
            Self::Http(options) => options.backoff,
        }
    }

    /// How long [`Upstream::stop`] takes at most.
    pub(super) fn stop_within(&self) -> Duration {
        match self {
            Self::Stdio(options) => options.stop_within(),
            Self::Http(options) => options.timeouts.drain + options.stop_within(),
        }
    }
}

impl Upstream {
    /// Starts the server, or opens it where it runs, and keeps it until [`Upstream::stop`], the
    /// last handle, or the end of `tasks`. What fails is no error here but a [`Status`].
    #[must_use]
    pub fn start(server: ServerName, options: Options, watchdog: &Watchdog, tasks: &Tasks) -> Self {
        match options {
            Options::Stdio(options) => {
                Self::Stdio(stdio::Upstream::start(server, options, watchdog, tasks))
            }
            Options::Http(options) => {
                Self::Http(streamable::Upstream::start(server, options, tasks))
            }
        }
    }

    /// How the server fares, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        match self {
            Self::Stdio(server) => server.status(),
            Self::Http(server) => server.status(),
        }
    }

    /// Each change of what the server has. The status is up to date when one is told.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        match self {
            Self::Stdio(server) => server.changes(),
            Self::Http(server) => server.changes(),
        }
    }

    /// Each resource that the server says is not what it was.
    #[must_use]
    pub fn touches(&self) -> broadcast::Receiver<Touched> {
        match self {
            Self::Stdio(server) => server.touches(),
            Self::Http(server) => server.touches(),
        }
    }

    /// Ends it, and says whether that could be had in time.
    pub async fn stop(&self) -> bool {
        match self {
            Self::Stdio(server) => server.stop().await,
            Self::Http(server) => server.stop().await,
        }
    }

    /// Begins a call; its future has a handle of its own.
    pub(super) fn begin(&self, call: Call) -> CallFuture {
        match self {
            Self::Stdio(server) => server.begin(call),
            Self::Http(server) => server.begin(call),
        }
    }
}

impl Service<Call> for Upstream {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> CallFuture {
        self.begin(call)
    }
}
