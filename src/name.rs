//! The grammar of every name that stands on the wire: tokens, ids, subjects, headers, stores.
//!
//! Each of them is declared here once; `docs/protocol.md` is its prose.

pub mod header;
pub mod id;
pub mod store;
pub mod subject;
pub mod token;

pub use id::{CallId, Connection, Identity, Instance, ServerName};
