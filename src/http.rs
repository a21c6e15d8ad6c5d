//! The one listener: HTTP/1.1 on one address, bounded in everything that a client could use up.
//!
//! What stands before every request is here: who it says it is for (`Host`) and where it comes
//! from (`Origin`), so that a page in a browser can't reach a server on the same machine by a name
//! that it made up, and that no token stands in its URL. What the paths mean is the edges' business.

mod body;
mod guard;
mod handshake;
mod listen;
mod tls;

use std::{net::SocketAddr, time::Duration};

pub use self::{
    body::{Bodies, Body, BodyError, drain},
    guard::{Guard, GuardError},
    listen::{Bound, ListenError, Listening},
    tls::{Tls, TlsError},
};

/// How the listener is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Files for TLS; nothing: none is spoken.
    pub tls: Option<Tls>,
    /// Names that a request may be for, beside those of `listen`: `mesh.example`, or with a port.
    pub hosts: Vec<String>,
    /// Pages that may call, beside those of the same host: `https://app.example`.
    pub origins: Vec<String>,
    /// Connections at a time; more wait to be taken.
    pub connections: usize,
    /// How long a client may take for the head of a request, and be silent between two.
    pub head_time: Duration,
    /// How long a client may take nothing of an answer that waits for it.
    pub stall_time: Duration,
}

impl Options {
    /// The usual bounds.
    #[must_use]
    pub const fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            connections: 1024,
            head_time: Duration::from_secs(60),
            stall_time: Duration::from_secs(30),
        }
    }
}
