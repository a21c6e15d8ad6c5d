//! What the handles, the calls and the owner of a pool share: the desk behind its lock, and the
//! places that calls hold.
//!
//! A lock and no owner task, because a call that finds a place takes it and goes on: it is held
//! for one look at a few members, never across an await, and nothing is told while it is held.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    sync::{Notify, broadcast, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    desk::{self, Asked, Caller, Health, Seen},
    failure,
    options::{Options, Pin},
};
use crate::{
    adapter::{
        failure::{stopped, unavailable},
        status::{Changed, State, Status, Touched},
        upstream::Upstream,
    },
    call::Call,
    error::Error,
    name::ServerName,
};

/// A member: one process, or one session, of the server.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) upstream: Upstream,
    pub(super) status: watch::Receiver<Status>,
}

/// What one who waits is told: his place, or that there will be none.
type Told = Result<Place, Error>;
/// One who waits, and what he is to be told.
type Turn = (oneshot::Sender<Told>, Told);
/// The desk of this pool.
pub(super) type Desk = desk::Desk<Arc<Member>, oneshot::Sender<Told>>;

/// What is shared.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) server: ServerName,
    pub(super) options: Options,
    desk: Mutex<Desk>,
    /// Wakes the owner.
    pub(super) nudge: Notify,
    pub(super) status: watch::Sender<Status>,
    pub(super) changed: broadcast::Sender<Changed>,
    pub(super) touched: broadcast::Sender<Touched>,
    /// Whether all members ended in time when the pool did.
    ended: AtomicBool,
}

impl Member {
    pub(super) fn new(upstream: Upstream) -> Self {
        let status = upstream.status();
        Self { upstream, status }
    }

    /// How it is now, whatever was heard of it.
    pub(super) fn seen(&self) -> Seen {
        let status = self.status.borrow();
        Seen {
            health: match status.state {
                State::Starting => Health::Starting,
                State::Healthy | State::Degraded => Health::Up,
                State::Unhealthy => Health::Failed,
            },
            starts: status.restarts,
        }
    }
}

impl Shared {
    pub(super) fn new(
        server: ServerName,
        desk: Desk,
        options: Options,
        (changes, touches): (usize, usize),
    ) -> Self {
        let (status, _) = watch::channel(Status::starting());
        let (changed, _) = broadcast::channel(changes);
        let (touched, _) = broadcast::channel(touches);
        Self {
            server,
            options,
            desk: Mutex::new(desk),
            nudge: Notify::new(),
            status,
            changed,
            touched,
            ended: AtomicBool::new(false),
        }
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool has ended, in time or not.
    pub(super) fn end(&self, in_time: bool) {
        self.ended.store(in_time, Ordering::Release);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// A place for a call, as soon as there is one for it.
    pub(super) async fn place(self: &Arc<Self>, call: &Call) -> Result<Place, Error> {
        let who = self.caller(call)?;
        match self.ask(who)? {
            Found::Place(place) => Ok(place),
            Found::Queued(queued) => queued.turn(call.context.deadline).await,
        }
    }

    /// Who calls, where that matters.
    fn caller(&self, call: &Call) -> Result<Option<Caller>, Error> {
        if self.options.pin == Pin::None {
            return Ok(None);
        }
        let principal = call.context.principal.as_ref();
        let principal = principal.ok_or_else(failure::nobody)?;
        let chain = principal.chain().map(|(who, _)| who.clone());
        Ok(Some(Caller(chain.collect())))
    }

    /// A place, or one in the queue.
    fn ask(self: &Arc<Self>, who: Option<Caller>) -> Result<Found, Error> {
        let now = Instant::now();
        let mut desk = self.desk();
        let (mut heard, mut looked, mut grows) = (false, false, false);
        let found = loop {
            match desk.ask(who.as_ref(), now) {
                Asked::Place(at) => {
                    let seen = desk.seat(at).member.seen();
                    if seen.health == Health::Up {
                        desk.take(at, who.as_ref());
                        break Ok(Found::Place(Place::at(self, &desk, at)));
                    }
                    // It fell just now, and its owner has not heard of it yet.
                    heard |= desk.hear(at, seen, now);
                }
                // Nor has it where one came up just now.
                Asked::Shut if !looked => {
                    heard |= Self::look(&mut desk, now);
                    looked = true;
                }
                Asked::Shut => break Err(self.unavailable(&desk)),
                Asked::Closed => break Err(stopped()),
                Asked::Crowded => break Err(failure::crowded(&self.options)),
                Asked::Wait => {
                    let (told, turn) = oneshot::channel();
                    let ticket = desk.wait(who, told);
                    grows = desk.may_grow();
                    break Ok(Found::Queued(Queued {
                        turn,
                        leave: Leave {
                            shared: Arc::clone(self),
                            ticket,
                        },
                    }));
                }
            }
        };
        let turns = if heard {
            self.turns(&mut desk, now)
        } else {
            Vec::new()
        };
        drop(desk);
        Self::tell(turns);
        if heard || grows {
            self.nudge.notify_one();
        }
        found
    }

    /// Looks at each member itself; says whether one is not what it was.
    fn look(desk: &mut Desk, now: Instant) -> bool {
        let mut heard = false;
        for at in 0..desk.seats().len() {
            let seen = desk.seat(at).member.seen();
            heard |= desk.hear(at, seen, now);
        }
        heard
    }

    /// Why there is nobody: what a member says, or else what the pool as a whole does.
    fn unavailable(&self, desk: &Desk) -> Error {
        for seat in desk.seats().iter().filter(|seat| seat.is_kept()) {
            let status = seat.member.status.borrow();
            if !status.is_up() {
                return unavailable(&status);
            }
        }
        let whole = self.status.borrow();
        if whole.is_up() {
            return unavailable(&Status::starting());
        }
        unavailable(&whole)
    }

    /// Gives what is free to those who wait, in their order. They are told without the lock.
    pub(super) fn turns(self: &Arc<Self>, desk: &mut Desk, now: Instant) -> Vec<Turn> {
        let mut turns = Vec::new();
        while let Some(turn) = desk.turn() {
            let seen = desk.seat(turn.1).member.seen();
            if seen.health != Health::Up {
                desk.hear(turn.1, seen, now);
                self.nudge.notify_one();
                continue;
            }
            if let Some(told) = desk.grant(turn) {
                turns.push((told, Ok(Place::at(self, desk, turn.1))));
            }
        }
        for told in desk.forsaken(now) {
            let why = if desk.is_closed() {
                stopped()
            } else {
                self.unavailable(desk)
            };
            turns.push((told, Err(why)));
        }
        turns
    }

    /// Tells those whose turn it is. What one no longer takes is the next one's.
    pub(super) fn tell(mut turns: Vec<Turn>) {
        while !turns.is_empty() {
            let refused: Vec<Told> = turns
                .drain(..)
                .filter_map(|(to, told)| to.send(told).err())
                .collect();
            for mut place in refused.into_iter().flatten() {
                turns.append(&mut place.free());
            }
        }
    }

    /// Takes a place back; says whose turn it is.
    fn free(self: &Arc<Self>, id: u64) -> Vec<Turn> {
        let now = Instant::now();
        let mut desk = self.desk();
        if desk.give_back(id, now) {
            self.nudge.notify_one();
        }
        self.turns(&mut desk, now)
    }
}

/// What a call found.
enum Found {
    Place(Place),
    Queued(Queued),
}

/// A place at a member, for one call. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    /// Nobody's, once it was given back.
    id: Option<u64>,
    pub(super) member: Arc<Member>,
}

impl Place {
    fn at(shared: &Arc<Shared>, desk: &Desk, at: usize) -> Self {
        let seat = desk.seat(at);
        Self {
            shared: Arc::clone(shared),
            id: Some(seat.id),
            member: Arc::clone(&seat.member),
        }
    }

    fn free(&mut self) -> Vec<Turn> {
        let id = self.id.take();
        id.map(|id| self.shared.free(id)).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        Shared::tell(self.free());
    }
}

/// A call in the queue. It leaves it when this is dropped.
struct Queued {
    leave: Leave,
    turn: oneshot::Receiver<Told>,
}

struct Leave {
    shared: Arc<Shared>,
    ticket: u64,
}

impl Queued {
    /// Waits for its turn as long as the pool lets it, and not beyond its own deadline.
    async fn turn(self, deadline: Instant) -> Told {
        // In this order, so that it has left before its end of the channel is closed.
        let Self { mut turn, leave } = self;
        let began = Instant::now();
        let options = &leave.shared.options;
        let until = deadline.min(began + options.wait);
        match timeout_at(until, &mut turn).await {
            Ok(told) => told.unwrap_or_else(|_desk_is_gone| Err(stopped())),
            Err(_) => Err(failure::waited(options, began.elapsed())),
        }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.shared.desk().forget(self.ticket);
    }
}
