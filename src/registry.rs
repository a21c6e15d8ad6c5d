//! Which servers there are, and how they are: what an instance says of itself ([`Heartbeat`]),
//! and what follows from it ([`Servers`], [`Entry`]). Pure: time is an argument.

pub mod heartbeat;
pub mod view;

pub use self::{
    heartbeat::{Heartbeat, State, ToolDigest, Tools, Transport},
    view::{Entry, InstanceEntry, Servers},
};
