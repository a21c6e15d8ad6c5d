//! Policies: `Service<Call>` in, `Service<Call>` out. They know no transport.
//!
//! There are two stacks, each written once, in order: [`caller`] and [`server`].

pub mod absent;
pub mod audit;
pub mod auth;
pub mod breaker;
pub mod cache;
pub mod caller;
pub mod limit;
pub mod metrics;
pub mod once;
pub mod permit;
pub mod quarantine;
mod question;
pub mod retry;
pub mod server;
pub mod tasks;
pub mod timeout;
pub mod trace;
pub mod validate;
