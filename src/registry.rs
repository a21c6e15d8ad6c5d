//! Which servers there are, and how they are: what an instance says of itself ([`Heartbeat`]),
//! what follows from it ([`Servers`], [`Entry`]), and what of that is news ([`Life`]). Pure: time is
//! an argument.

pub mod heartbeat;
pub mod life;
pub mod view;

pub use self::{
    heartbeat::{Heartbeat, State, ToolDigest, Tools, Transport},
    life::{Life, News, Told, Turn},
    view::{Entry, InstanceEntry, Servers},
};
