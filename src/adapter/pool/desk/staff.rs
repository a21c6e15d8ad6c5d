//! Which members there are to be: those that fail, those that are started, those that nobody uses.

use tokio::time::Instant;

use super::{
    Desk,
    seat::{Caller, Health, Phase, Seat, Seen},
};
use crate::adapter::{backoff::Backoff, pool::options::Pin};

/// When members may be started again after some failed.
#[derive(Debug, Default)]
pub(super) struct Growth {
    failures: u32,
    last: Option<Instant>,
    until: Option<Instant>,
}

impl<M, W> Desk<M, W> {
    /// Whether calls may be taken: somebody answers them, or is about to.
    pub(in crate::adapter::pool) fn serves(&self, now: Instant) -> bool {
        let is_coming = || {
            let is_new = self.seats.iter().any(|seat| seat.phase == Phase::New);
            self.is_open && (is_new || (self.lacks() && !self.is_held(now)))
        };
        !self.is_closed && (self.seats.iter().any(Seat::is_up) || is_coming())
    }

    /// Hears how a member is. Says whether that matters to anybody.
    pub(in crate::adapter::pool) fn hear(&mut self, at: usize, seen: Seen, now: Instant) -> bool {
        let seat = &mut self.seats[at];
        if !seat.is_kept() {
            return false;
        }
        let before = seat.phase;
        let again = std::mem::replace(&mut seat.starts, seen.starts) != seen.starts;
        match (seat.phase, seen.health) {
            // It was down for a moment that nobody saw: its caller's state is lost.
            (Phase::Up, Health::Up) if again && seat.owner.is_some() => self.fall(at, now),
            (Phase::Up, Health::Up) if again => seat.up = now,
            (Phase::New | Phase::Down, Health::Up) => {
                (seat.phase, seat.unused, seat.up) = (Phase::Up, now, now);
                self.is_open = true;
            }
            (Phase::Up, Health::Starting | Health::Failed) | (Phase::New, Health::Failed) => {
                self.fall(at, now);
            }
            (Phase::New, Health::Starting) if again => self.fall(at, now),
            _ => {}
        }
        self.seats[at].phase != before
    }

    /// A member answers no calls any more: it is let go, or comes back by itself.
    fn fall(&mut self, at: usize, now: Instant) {
        self.growth.failed(&self.backoff, now);
        let is_spare = self.kept() > self.options.min;
        let seat = &mut self.seats[at];
        // Whoever had it must not be seen by another: his process is no other's, ever.
        if is_spare || seat.owner.is_some() {
            (seat.phase, seat.failed) = (Phase::Leaving, true);
        } else {
            seat.phase = Phase::Down;
        }
    }

    /// A member has nobody any more who keeps it.
    pub(in crate::adapter::pool) fn lose(&mut self, id: u64, now: Instant) {
        let Some(at) = self.at(id).filter(|at| self.seats[*at].is_kept()) else {
            return;
        };
        self.growth.failed(&self.backoff, now);
        let seat = &mut self.seats[at];
        (seat.phase, seat.failed) = (Phase::Leaving, true);
    }

    /// Members that are kept.
    pub(super) fn kept(&self) -> usize {
        self.seats.iter().filter(|seat| seat.is_kept()).count()
    }

    /// Whether fewer are kept than are to be.
    fn lacks(&self) -> bool {
        self.kept() < self.options.min
    }

    /// Whether no member is started yet because of failures.
    fn is_held(&self, now: Instant) -> bool {
        self.growth.until.is_some_and(|until| until > now)
    }

    /// Whether another member would be of use, and may be.
    fn is_short(&self) -> bool {
        let has_room = self.seats.len() < self.options.max && !self.is_closed;
        has_room && (self.lacks() || self.is_wanted())
    }

    /// Whether those that are being started are too few for those who wait.
    fn is_wanted(&self) -> bool {
        let new = self.seats.iter().filter(|seat| seat.phase == Phase::New);
        let new = new.count();
        if self.options.pin == Pin::None {
            return self.queue.len() > new * self.options.calls;
        }
        // One each for those who have none. There are no more than members to look through.
        let mut callers: Vec<&Caller> = Vec::new();
        for who in self.queue.iter().filter_map(|waiter| waiter.who.as_ref()) {
            let has_one = self.seats.iter().any(|seat| seat.is_of(who));
            if !has_one && !callers.contains(&who) {
                callers.push(who);
            }
            if callers.len() > new {
                return true;
            }
        }
        false
    }

    /// Whether there is room for more members.
    pub(in crate::adapter::pool) fn may_grow(&self) -> bool {
        self.seats.len() < self.options.max
    }

    /// Whether a member is to be started now; it is then added.
    pub(in crate::adapter::pool) fn wants(&self, now: Instant) -> bool {
        !self.is_held(now) && self.is_short()
    }

    /// Adds a member that is being started.
    pub(in crate::adapter::pool) fn add(&mut self, member: M, now: Instant) -> u64 {
        let id = self.next.0;
        self.next.0 += 1;
        self.seats.push(Seat {
            id,
            member,
            phase: Phase::New,
            starts: 0,
            failed: false,
            used: 0,
            unused: now,
            up: now,
            owner: None,
        });
        id
    }

    /// Lets members go that nobody used for long.
    pub(in crate::adapter::pool) fn tick(&mut self, now: Instant) {
        let idle = self.options.idle;
        for seat in &mut self.seats {
            if seat.owner.is_some() && seat.is_idle(idle, now) {
                seat.phase = Phase::Leaving;
            }
        }
        while self.kept() > self.options.min {
            let unused = self.seats.iter_mut().filter(|seat| seat.is_idle(idle, now));
            // The one that was unused the longest; of two the younger one.
            let Some(seat) = unused.rev().min_by_key(|seat| seat.unused) else {
                return;
            };
            seat.phase = Phase::Leaving;
        }
    }

    /// When there is something to do next, without a call or a word of a member.
    pub(in crate::adapter::pool) fn due(&self, now: Instant) -> Option<Instant> {
        let spare = self.kept() > self.options.min;
        let looks = spare || self.options.pin == Pin::Caller;
        let up = self.seats.iter().filter(|seat| looks && seat.is_up());
        let ends = up.map(|seat| {
            // One in use is unused after now, and one that nobody has may have a caller by then:
            // not before that they are looked at again.
            let counts = seat.used == 0 && (spare || seat.owner.is_some());
            let since = if counts { seat.unused } else { now };
            since + self.options.idle
        });
        let grows = self.growth.until.filter(|_| self.is_short());
        ends.chain(grows).min()
    }

    /// The members that are to be ended now; [`Desk::gone`] says that one was.
    pub(in crate::adapter::pool) fn leave(&mut self) -> impl Iterator<Item = &Seat<M>> {
        self.seats.iter_mut().filter_map(|seat| {
            let leaves = seat.phase == Phase::Leaving && seat.used == 0;
            leaves.then(|| {
                seat.phase = Phase::Ending;
                &*seat
            })
        })
    }

    /// A member has ended.
    pub(in crate::adapter::pool) fn gone(&mut self, id: u64) -> Option<Seat<M>> {
        self.at(id).map(|at| self.seats.remove(at))
    }
}

impl Growth {
    /// The wait after a failure; after a while without one it begins anew.
    fn failed(&mut self, backoff: &Backoff, now: Instant) {
        let is_old = |last: Instant| last + backoff.reset <= now;
        if self.last.is_none_or(is_old) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
        self.until = Some(now + backoff.after(self.failures));
    }
}
