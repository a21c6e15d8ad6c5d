//! What was decided, written down where nobody can change it: who asked for what, where, and what
//! he was told.
//!
//! Each writer (an instance of a server, a control plane, a gateway) has a subject of its own and
//! sends messages of many records. Each message has the hash of the one before it, so what is
//! missing, doubled or changed shows ([`chain`]). Records have digests in place of values.

pub mod chain;
pub mod record;
mod sheet;
mod trail;

pub use self::{
    chain::{Chain, Flaw, Ledger},
    record::{Decision, Page, Record},
    trail::Trail,
};
