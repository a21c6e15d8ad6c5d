//! The adapter: an MCP server, whatever its transport and its era, as a `Service<Call>`.
//!
//! ```text
//!          ┌─ stdio:      bounded channel ──> owner task ──stdin──> the server's process
//! Call ─> Upstream            pending map, ids, progress tokens <──stdout── bounded lines
//!          └─ streamable: a POST of the call's own ──> the server at a URL
//!               its answer, or a bounded stream <──┘   owner task: session, lists, changes
//! Reply <─ raise: the answer as 2026-07-28
//! ```
//!
//! A [`Pool`] is one or several of these behind one handle, and has the same outside.
//!
//! The mesh speaks MCP 2026-07-28. What an older server lacks of it is added in [`raise`], by
//! splicing, so that all that the server did write survives to the byte. What a server is and
//! how it fares is told by a `watch` of [`Status`]; who announces it elsewhere reads that.

mod backoff;
mod board;
mod failure;
mod follow;
mod handshake;
mod message;
mod plain;
pub mod pool;
mod progress;
mod pulse;
pub mod raise;
pub mod status;
pub mod stdio;
pub mod streamable;
pub mod upstream;

pub use self::{
    backoff::Backoff,
    pool::Pool,
    pulse::Probing,
    status::{Changed, Peer, Probe, State, Status, Touched},
    upstream::{Options, Upstream},
};
