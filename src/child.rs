//! Child processes: the only place that starts one.
//!
//! Every [`Child`] leads a process group of its own, so that what it started goes with it, and is
//! owned by one task that always waits for it: no zombie. Every group is told to a [`Watchdog`],
//! a small process that outlives a `kill -9` of this one and ends what it left: no orphan.
//!
//! ```text
//! Child::spawn ──> owner task ──> stop: close stdin -> TERM to the group -> KILL to the group
//!      └─ group id ──> Watchdog ══pipe══> `weft watchdog`: at end of file TERM, 1 s, KILL
//! ```

mod exit;
mod group;
mod output;
mod process;
mod spec;
pub mod watchdog;

pub use self::{
    exit::Exit,
    output::{Output, OutputError, output},
    process::{Child, Escalation, Stderr, Stdin, Stdout},
    spec::{Inherit, SpawnError, Spec, Stream},
    watchdog::Watchdog,
};
