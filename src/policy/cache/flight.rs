//! Calls for one answer that are under way: one leads, the others wait for what comes of it.
//!
//! The lead is a [`Lease`]. It passes to the next that waits when it is dropped, wherever that
//! happens, also on its way there: so no key is ever stuck, and of those that wait one is woken at
//! a time.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::oneshot;

use super::{
    Cache,
    answer::Answer,
    key::{Digest, Key, Part, keys_of},
};
use crate::error::Error;

/// Answers that are fetched at a time, and calls that wait for one, of all answers together. A
/// call beyond goes its own way, as if there were no cache: how many a server takes is bounded
/// where it is served.
pub(super) const WAITING_MAX: usize = 4096;

/// What one that waits is told.
#[derive(Debug)]
pub(super) enum Turn {
    /// This came.
    Given(Given),
    /// It makes the call now.
    Lead(Lease),
    /// What came is not for it: it looks again.
    Again,
    /// What came is for nobody else: it makes a call of its own.
    Alone,
}

/// What came of a call, for those that waited.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Answer(Arc<Answer>),
    Error(Arc<Error>),
}

/// For whom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Everybody,
    /// Whoever has this scope.
    Principal(Digest),
    Nobody,
}

impl Reach {
    fn has(self, waiter: &Waiter) -> bool {
        match self {
            Self::Everybody => true,
            Self::Principal(scope) => waiter.scope == scope,
            Self::Nobody => false,
        }
    }
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    scope: Digest,
    to: oneshot::Sender<Turn>,
}

impl Waiter {
    /// Tells it. The cache's lock must not be held where that is a lease: one that nobody hears
    /// comes back for it.
    fn tell(self, turn: Turn) -> Result<(), Turn> {
        self.to.send(turn)
    }
}

#[derive(Debug)]
struct Flight {
    key: Key,
    /// In the order in which they came.
    waiters: BTreeMap<u64, Waiter>,
}

/// Everything that is fetched now.
#[derive(Debug, Default)]
pub(super) struct Flights {
    all: BTreeMap<u64, Flight>,
    /// Those that one may join, and whose answers are kept: what they fetch was not forgotten
    /// since they began.
    open: BTreeMap<Key, u64>,
    waiting: usize,
    numbers: u64,
}

/// What became of a call that joined.
#[derive(Debug)]
pub(super) enum Joined {
    /// It leads this flight.
    Lead(u64),
    /// It waits in this flight, under this ticket.
    Wait(u64, u64, oneshot::Receiver<Turn>),
    /// There is no room.
    Full,
}

impl Flights {
    /// Joins who fetches this, or begins.
    pub(super) fn join(&mut self, key: &Key, scope: Digest) -> Joined {
        self.numbers += 1;
        let number = self.numbers;
        let open = self.open.get(key);
        if let Some((id, flight)) = open.and_then(|id| Some((*id, self.all.get_mut(id)?))) {
            if self.waiting >= WAITING_MAX {
                return Joined::Full;
            }
            let (to, turn) = oneshot::channel();
            flight.waiters.insert(number, Waiter { scope, to });
            self.waiting += 1;
            return Joined::Wait(id, number, turn);
        }
        if self.all.len() >= WAITING_MAX {
            return Joined::Full;
        }
        let flight = Flight {
            key: key.clone(),
            waiters: BTreeMap::new(),
        };
        self.all.insert(number, flight);
        self.open.insert(key.clone(), number);
        Joined::Lead(number)
    }

    /// Whether what it fetches may be kept.
    pub(super) fn is_open(&self, id: u64) -> bool {
        let flight = self.all.get(&id);
        flight.is_some_and(|flight| self.open.get(&flight.key) == Some(&id))
    }

    /// Takes those out that are reached; the flight goes on.
    pub(super) fn reached(&mut self, id: u64, reach: Reach) -> Vec<Waiter> {
        let Some(flight) = self.all.get_mut(&id) else {
            return Vec::new();
        };
        let waiters = std::mem::take(&mut flight.waiters).into_iter();
        let (reached, others): (Vec<_>, Vec<_>) =
            waiters.partition(|(_, waiter)| reach.has(waiter));
        flight.waiters.extend(others);
        self.waiting -= reached.len();
        reached.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// The flight is over: those that still wait.
    pub(super) fn end(&mut self, id: u64) -> Vec<Waiter> {
        let waiters = self.reached(id, Reach::Everybody);
        if self.is_open(id)
            && let Some(flight) = self.all.get(&id)
        {
            self.open.remove(&flight.key);
        }
        self.all.remove(&id);
        waiters
    }

    /// The next that leads; where nobody waits the flight is over.
    fn next(&mut self, id: u64) -> Option<Waiter> {
        let flight = self.all.get_mut(&id)?;
        let Some((_, next)) = flight.waiters.pop_first() else {
            self.end(id);
            return None;
        };
        self.waiting -= 1;
        // What it will fetch is newer than whatever was forgotten till now.
        self.open.entry(flight.key.clone()).or_insert(id);
        Some(next)
    }

    /// One waits no more.
    fn leave(&mut self, id: u64, ticket: u64) {
        let flight = self.all.get_mut(&id);
        if flight.is_some_and(|flight| flight.waiters.remove(&ticket).is_some()) {
            self.waiting -= 1;
        }
    }

    /// What is fetched of this may be old: it is for those that wait already, and for nobody else.
    pub(super) fn forget(&mut self, part: Part, name: Option<&str>) {
        for key in keys_of(&self.open, part, name) {
            self.open.remove(&key);
        }
    }
}

/// A place among those that wait. Who lets go of it waits no more.
#[derive(Debug)]
pub(super) struct Seat {
    cache: Cache,
    flight: u64,
    ticket: u64,
    turn: oneshot::Receiver<Turn>,
}

impl Seat {
    pub(super) const fn new(
        cache: Cache,
        (flight, ticket): (u64, u64),
        turn: oneshot::Receiver<Turn>,
    ) -> Self {
        Self {
            cache,
            flight,
            ticket,
            turn,
        }
    }

    /// What it is told.
    pub(super) async fn turn(&mut self) -> Turn {
        let told = (&mut self.turn).await;
        told.unwrap_or(Turn::Alone)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.cache.table().flights.leave(self.flight, self.ticket);
    }
}

/// The right and the duty to make the call that others wait for.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) cache: Cache,
    pub(super) flight: u64,
    is_over: bool,
}

impl Lease {
    pub(super) const fn new(cache: Cache, flight: u64) -> Self {
        Self {
            cache,
            flight,
            is_over: false,
        }
    }

    /// The flight is over: nobody leads after this.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        loop {
            let next = self.cache.table().flights.next(self.flight);
            let Some(next) = next else { return };
            let lease = Self::new(self.cache.clone(), self.flight);
            match next.tell(Turn::Lead(lease)) {
                Ok(()) => return,
                // It left meanwhile. This one goes on in its place, to the next.
                Err(Turn::Lead(lease)) => lease.end(),
                Err(_) => {}
            }
        }
    }
}

/// Tells those that waited.
pub(super) fn tell(waiters: Vec<Waiter>, turn: impl Fn() -> Turn) {
    for waiter in waiters {
        // Who left meanwhile needs no word.
        drop(waiter.tell(turn()));
    }
}
