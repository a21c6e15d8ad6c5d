//! Events: what happened, told once and kept, in order for each who tells.
//!
//! [`Event`] is what travels, [`catalogue`] what everybody knows, [`Types`] what there is besides,
//! and [`Publisher`] hands events to their streams.

pub mod catalogue;
mod declared;
mod envelope;
mod key;
mod kind;
mod publisher;
mod wish;

pub use self::{
    catalogue::EventData,
    declared::{DOMAINS_MAX, Declared, Types},
    envelope::{BYTES_MAX, Event},
    key::EventKey,
    kind::{Domain, EventType, STREAMS},
    publisher::{Published, Publisher, Receipt, message},
    wish::{From, Open, Opened, PATTERNS_MAX, Sieve, Wish, domains_of},
};
