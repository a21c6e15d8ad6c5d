//! The bus: calls over NATS. With `control` the only place that says `async_nats`.
//!
//! A [`Link`] is one member's connection, supervised and rebuilt. [`Remote`] sends calls over it
//! and is a `Service<Call>`; [`serve()`] takes calls from it and hands them to one. Neither knows a
//! policy: who may call, and for how long, is decided in the stacks above and below.

mod ask;
pub mod bare;
pub mod connect;
mod delivery;
pub mod fault;
pub mod follow;
mod inbox;
pub mod keep;
mod link;
pub mod micro;
mod notice;
pub mod outbox;
mod parts;
pub mod probe;
pub mod pull;
pub mod record;
mod remote;
mod serve;
mod wire;

pub use connect::{Auth, Options, Tls};
pub use delivery::Deliveries;
pub use link::{Link, LinkState};
pub use notice::Notices;
pub use parts::Bounds;
pub use remote::{Batching, Remote};
pub use serve::{Limits, Reach, ServeOptions, Served, serve};
