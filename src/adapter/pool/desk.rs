//! Which member takes which call: places, who waits for one, whose a member is, and which members
//! there are to be. Pure: it decides, the pool acts.
//!
//! After each change the pool hands out what is free ([`Desk::turn`]) before anybody else sees the
//! desk. So nobody waits while a place is free that he could have, and whoever comes later can't
//! take it from him.

mod seat;
mod staff;

use std::collections::VecDeque;

use tokio::time::Instant;

pub(super) use self::seat::{Caller, Health, Seat, Seen};
use self::{seat::Phase, staff::Growth};
use super::options::{Gauges, Options, Pin};
use crate::adapter::backoff::Backoff;

/// A call that waits.
#[derive(Debug)]
struct Waiter<W> {
    ticket: u64,
    who: Option<Caller>,
    waits: W,
}

/// What there is for a call that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A place at the member of this index.
    Place(usize),
    /// It may wait for one.
    Wait,
    /// As many wait as may.
    Crowded,
    /// Nobody is there, nor about to be.
    Shut,
    /// The pool has ended.
    Closed,
}

/// The desk of one pool: `M` is a member, `W` is told to whoever waits.
#[derive(Debug)]
pub(super) struct Desk<M, W> {
    options: Options,
    backoff: Backoff,
    /// In the order in which they were added.
    seats: Vec<Seat<M>>,
    /// First come, first served.
    queue: VecDeque<Waiter<W>>,
    /// The next member's id, and the next ticket.
    next: (u64, u64),
    /// Whether a member was up once: before that nobody waits.
    is_open: bool,
    is_closed: bool,
    growth: Growth,
}

impl<M, W> Desk<M, W> {
    /// One without members. The options are within their bounds.
    pub(super) fn new(options: Options, backoff: Backoff) -> Self {
        Self {
            options,
            backoff,
            seats: Vec::new(),
            queue: VecDeque::new(),
            next: (1, 1),
            is_open: false,
            is_closed: false,
            growth: Growth::default(),
        }
    }

    pub(super) fn seats(&self) -> &[Seat<M>] {
        &self.seats
    }

    pub(super) fn seat(&self, at: usize) -> &Seat<M> {
        &self.seats[at]
    }

    /// Where the member of this id is, if it is there still.
    pub(super) fn at(&self, id: u64) -> Option<usize> {
        self.seats.iter().position(|seat| seat.id == id)
    }

    pub(super) fn gauges(&self) -> Gauges {
        let count = |is: fn(&Seat<M>) -> bool| self.seats.iter().filter(|seat| is(seat)).count();
        Gauges {
            members: self.seats.len(),
            up: count(Seat::is_up),
            busy: count(|seat| seat.used > 0),
            calls: self.seats.iter().map(|seat| seat.used).sum(),
            waiting: self.queue.len(),
        }
    }

    /// What there is for a call.
    pub(super) fn ask(&self, who: Option<&Caller>, now: Instant) -> Asked {
        if self.is_closed {
            Asked::Closed
        } else if let Some(at) = self.find(who) {
            Asked::Place(at)
        } else if !self.serves(now) {
            Asked::Shut
        } else if self.queue.len() >= self.options.waiting {
            Asked::Crowded
        } else {
            Asked::Wait
        }
    }

    /// A member with a free place that this caller may have.
    fn find(&self, who: Option<&Caller>) -> Option<usize> {
        match (self.options.pin, who) {
            (Pin::None, _) => {
                // The most used, so that others become idle; of two the older one.
                let open = self.seats.iter().enumerate().rev();
                let open = open.filter(|(_, seat)| self.has_room(seat));
                Some(open.max_by_key(|(_, seat)| seat.used)?.0)
            }
            (Pin::Caller, Some(who)) => {
                let own = self.seats.iter().position(|seat| seat.is_of(who));
                match own {
                    Some(at) => self.has_room(&self.seats[at]).then_some(at),
                    None => self.seats.iter().position(Seat::is_fresh),
                }
            }
            (Pin::Caller, None) => None,
        }
    }

    fn has_room(&self, seat: &Seat<M>) -> bool {
        seat.is_up() && seat.used < self.options.calls
    }

    /// Takes a place that was found.
    pub(super) fn take(&mut self, at: usize, who: Option<&Caller>) {
        let seat = &mut self.seats[at];
        seat.used += 1;
        if self.options.pin == Pin::Caller && seat.owner.is_none() {
            seat.owner = who.cloned();
        }
    }

    /// Gives a place back. Says whether the member is to be ended now.
    pub(super) fn give_back(&mut self, id: u64, now: Instant) -> bool {
        let Some(at) = self.at(id) else {
            return false;
        };
        let seat = &mut self.seats[at];
        seat.used = seat.used.saturating_sub(1);
        if seat.used == 0 {
            seat.unused = now;
        }
        seat.used == 0 && seat.phase == Phase::Leaving
    }

    /// Lets a call wait; the ticket is for [`Desk::forget`].
    pub(super) fn wait(&mut self, who: Option<Caller>, waits: W) -> u64 {
        let ticket = self.next.1;
        self.next.1 += 1;
        self.queue.push_back(Waiter { ticket, who, waits });
        ticket
    }

    /// A call waits no longer.
    pub(super) fn forget(&mut self, ticket: u64) {
        // Tickets rise from the front to the back.
        let at = self
            .queue
            .binary_search_by_key(&ticket, |waiter| waiter.ticket);
        if let Ok(at) = at {
            self.queue.remove(at);
        }
    }

    /// Whose turn it is, and the member that has a place for him; see [`Desk::grant`].
    pub(super) fn turn(&self) -> Option<(usize, usize)> {
        if !self.seats.iter().any(|seat| self.has_room(seat)) {
            return None;
        }
        let waiting = self.queue.iter().enumerate();
        // Without pins the first one can have any place.
        let mut found = waiting.filter_map(|(at, waiter)| {
            let place = self.find(waiter.who.as_ref())?;
            Some((at, place))
        });
        found.next()
    }

    /// Gives the place at a member to one who waits.
    pub(super) fn grant(&mut self, (waiter, at): (usize, usize)) -> Option<W> {
        let waiter = self.queue.remove(waiter)?;
        self.take(at, waiter.who.as_ref());
        Some(waiter.waits)
    }

    /// All who wait, where there is nobody to wait for.
    pub(super) fn forsaken(&mut self, now: Instant) -> impl Iterator<Item = W> + use<M, W> {
        let queue = if self.serves(now) {
            VecDeque::new()
        } else {
            std::mem::take(&mut self.queue)
        };
        queue.into_iter().map(|waiter| waiter.waits)
    }

    /// Takes no more calls, starts no more members.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }
}

#[cfg(test)]
mod tests;
