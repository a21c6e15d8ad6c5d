//! Which servers there are, and how they are: what an instance says of itself ([`Heartbeat`]),
//! what follows from it ([`Servers`], [`Entry`]), what of that is news ([`Life`]), and which of its
//! tools are approved ([`approval`]). Pure: time is an argument.

pub mod approval;
pub mod calls;
pub mod heartbeat;
pub mod life;
pub mod view;

pub use self::{
    calls::{Batch, Breaker, BreakerState, Calls, Retry},
    heartbeat::{Heartbeat, Probe, State, ToolDigest, Tools, Transport},
    life::{Life, News, Told, Turn},
    view::{Entry, InstanceEntry, Servers},
};
