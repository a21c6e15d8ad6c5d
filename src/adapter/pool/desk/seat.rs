//! A member as the desk knows it: how far its life is, whose it is, how many calls it has.

use std::time::Duration;

use tokio::time::Instant;

use crate::name::Identity;

/// Who calls: he, and each who acts for him. Members are kept apart by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::adapter::pool) struct Caller(pub(in crate::adapter::pool) Vec<Identity>);

/// What a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapter::pool) struct Seen {
    pub(in crate::adapter::pool) health: Health,
    /// How often it was started again.
    pub(in crate::adapter::pool) starts: u64,
}

/// How a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapter::pool) enum Health {
    /// It has not said yet what it is and has.
    Starting,
    /// It answers calls.
    Up,
    /// It answers none.
    Failed,
}

/// How far a member's life in the pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is started for the first time.
    New,
    /// It takes calls.
    Up,
    /// It failed, and is started again by itself.
    Down,
    /// It takes no more calls, and is ended when the last one has ended.
    Leaving,
    /// It is being ended.
    Ending,
}

/// A member, as the desk knows it.
#[derive(Debug)]
pub(in crate::adapter::pool) struct Seat<M> {
    pub(in crate::adapter::pool) id: u64,
    pub(in crate::adapter::pool) member: M,
    pub(super) phase: Phase,
    /// How often it was started again, as far as was heard.
    pub(in crate::adapter::pool) starts: u64,
    /// Whether it was let go because it failed.
    pub(in crate::adapter::pool) failed: bool,
    /// Calls under way.
    pub(super) used: usize,
    /// Since when there are none.
    pub(super) unused: Instant,
    /// Since when it is up.
    pub(in crate::adapter::pool) up: Instant,
    pub(super) owner: Option<Caller>,
}

impl<M> Seat<M> {
    /// Whether it counts among the members that are kept.
    pub(in crate::adapter::pool) fn is_kept(&self) -> bool {
        matches!(self.phase, Phase::New | Phase::Up | Phase::Down)
    }

    /// Whether it is being ended: what it says of itself from now on is about that.
    pub(in crate::adapter::pool) fn is_ending(&self) -> bool {
        self.phase == Phase::Ending
    }

    pub(super) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    pub(super) fn is_of(&self, who: &Caller) -> bool {
        self.is_up() && self.owner.as_ref() == Some(who)
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.is_up() && self.owner.is_none()
    }

    pub(super) fn is_idle(&self, idle: Duration, now: Instant) -> bool {
        self.is_up() && self.used == 0 && self.unused + idle <= now
    }
}
