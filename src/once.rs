//! One run for one idempotency key: over instances, crashes and new call ids.
//!
//! A record that the broker acknowledged before the run holds the claim, and the outcome behind it
//! ([`Ledger`]). Who comes second gets the outcome, or hears that the first one runs; where who ran it
//! is gone, he hears that nobody knows. There is never a second run.

mod ledger;
mod record;

pub use self::{
    ledger::{Claim, Claimed, Ledger},
    record::{Key, Outcome},
};
