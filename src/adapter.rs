//! The adapter: an MCP server, whatever its transport and its era, as a `Service<Call>`.
//!
//! ```text
//! Call ─> Upstream (handle) ──bounded channel──> owner task ──stdin──> the server's process
//!            │ raise: the answer as 2026-07-28        │ pending map, ids, progress tokens
//! Reply <────┘ <─────────one answer each──────────────┘ <──stdout── bounded lines
//! ```
//!
//! The mesh speaks MCP 2026-07-28. What an older server lacks of it is added in [`raise`], by
//! splicing, so that all that the server did write survives to the byte. What a server is and
//! how it fares is told by a `watch` of [`Status`]; who announces it elsewhere reads that.

mod message;
pub mod raise;
pub mod status;
pub mod stdio;
pub mod tools;

pub use self::{
    status::{Changed, Peer, State, Status},
    stdio::Upstream,
    tools::{Tool, ToolList},
};
