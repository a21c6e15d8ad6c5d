//! The owner of a pool: starts members and ends them, hears how they fare, and tells how the whole
//! does. Calls do not come by here.

use std::sync::Arc;

use futures_util::{
    StreamExt as _,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    desk::Seat,
    gather::Gather,
    shared::{Member, Shared},
    whole::{self, Part, Past},
};
use crate::{
    adapter::{
        follow::{PROMPTS, RESOURCES, TOOLS},
        status::{Changed, State, Status, Touched},
        upstream::{self, Upstream},
    },
    child::Watchdog,
    spawn::Tasks,
};

/// What members are started with.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) upstream: upstream::Options,
    pub(super) watchdog: Watchdog,
    /// Where the members belong.
    pub(super) tasks: Tasks,
}

/// The owner.
pub(super) struct Owner {
    shared: Arc<Shared>,
    source: Source,
    stopping: CancellationToken,
    ears: FuturesUnordered<BoxFuture<'static, (Ears, Heard)>>,
    endings: FuturesUnordered<BoxFuture<'static, u64>>,
    gather: Gather,
    past: Past,
    /// The member whose list of tools is shown.
    lead: Option<u64>,
}

/// What is heard from one member.
struct Ears {
    id: u64,
    status: watch::Receiver<Status>,
    changes: broadcast::Receiver<Changed>,
    touches: broadcast::Receiver<Touched>,
}

enum Heard {
    Status,
    Changed(Vec<Changed>),
    Touched(Vec<Touched>),
    /// Nobody tells anything of it any more.
    End,
}

enum Event {
    Heard(Ears, Heard),
    /// A member was ended.
    Ended(u64),
    /// Something is due, or a call said so.
    Look,
    Stopping,
}

/// A member, as it is now.
fn part(seat: &Seat<Arc<Member>>) -> Part {
    let status = seat.member.status.borrow().clone();
    Part {
        id: seat.id,
        is_kept: seat.is_kept(),
        is_ending: seat.is_ending(),
        up: seat.up,
        // One that was let go and came back all the same has counted that itself.
        replaced: u64::from(seat.failed && status.restarts == seat.starts),
        status,
    }
}

impl Ears {
    fn of(id: u64, member: &Member) -> Self {
        Self {
            id,
            status: member.status.clone(),
            changes: member.upstream.changes(),
            touches: member.upstream.touches(),
        }
    }

    async fn next(mut self) -> (Self, Heard) {
        let heard = tokio::select! {
            // The status is up to date when a change is told.
            biased;
            status = self.status.changed() => status.map_or(Heard::End, |()| Heard::Status),
            changed = self.changes.recv() => match changed {
                Ok(changed) => Heard::Changed(vec![changed]),
                // After a gap nobody can know what changed: everything.
                Err(RecvError::Lagged(_)) => Heard::Changed(vec![TOOLS, PROMPTS, RESOURCES]),
                Err(RecvError::Closed) => Heard::End,
            },
            touched = self.touches.recv() => match touched {
                Ok(touched) => Heard::Touched(vec![touched]),
                Err(RecvError::Lagged(_)) => Heard::Touched(vec![Touched::Some, Touched::List]),
                Err(RecvError::Closed) => Heard::End,
            },
        };
        (self, heard)
    }
}

impl Owner {
    pub(super) fn new(shared: Arc<Shared>, source: Source, stopping: CancellationToken) -> Self {
        Self {
            shared,
            source,
            stopping,
            ears: FuturesUnordered::new(),
            endings: FuturesUnordered::new(),
            gather: Gather::default(),
            past: Past::default(),
            lead: None,
        }
    }

    /// Keeps the pool until the end.
    pub(super) async fn run(mut self) {
        loop {
            let due = self.act();
            match self.next(due).await {
                Event::Heard(ears, heard) => self.hear(ears, heard),
                Event::Ended(id) => self.bury(id),
                Event::Look => {}
                Event::Stopping => return self.end().await,
            }
        }
    }

    /// Does what is to be done now; says when there is more.
    pub(super) fn act(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let shared = Arc::clone(&self.shared);
        let mut desk = shared.desk();
        desk.tick(now);
        let turns = shared.turns(&mut desk, now);
        while desk.wants(now) && !self.stopping.is_cancelled() {
            let member = Arc::new(self.open());
            let id = desk.add(Arc::clone(&member), now);
            self.ears.push(Box::pin(Ears::of(id, &member).next()));
        }
        for seat in desk.leave() {
            let (id, member) = (seat.id, Arc::clone(&seat.member));
            let server = shared.server.clone();
            self.endings.push(Box::pin(async move {
                if !member.upstream.stop().await {
                    tracing::warn!(%server, "a process of a server did not end in order");
                }
                id
            }));
        }
        let due = desk.due(now);
        drop(desk);
        Shared::tell(turns);
        self.show(now);
        let (changed, touched) = self.gather.take(now);
        changed.into_iter().for_each(|changed| self.tell(changed));
        for touched in touched {
            self.touch(touched);
        }
        due.into_iter().chain(self.gather.due()).min()
    }

    fn open(&self) -> Member {
        let Source {
            upstream,
            watchdog,
            tasks,
        } = &self.source;
        let server = self.shared.server.clone();
        Member::new(Upstream::start(server, upstream.clone(), watchdog, tasks))
    }

    async fn next(&mut self, due: Option<Instant>) -> Event {
        let tick = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stopping.cancelled() => Event::Stopping,
            Some((ears, heard)) = self.ears.next() => Event::Heard(ears, heard),
            Some(id) = self.endings.next() => Event::Ended(id),
            () = self.shared.nudge.notified() => Event::Look,
            () = tick => Event::Look,
        }
    }

    fn hear(&mut self, ears: Ears, heard: Heard) {
        let now = Instant::now();
        match heard {
            Heard::Status => self.look(ears.id, now, false),
            Heard::End => return self.look(ears.id, now, true),
            Heard::Changed(changed) => {
                let alone = self.is_alone();
                for changed in changed {
                    if alone {
                        self.tell(changed);
                    } else {
                        self.gather.change(changed, now);
                    }
                }
            }
            Heard::Touched(touched) => {
                let alone = self.is_alone();
                for touched in touched {
                    if alone {
                        self.touch(touched);
                    } else {
                        self.gather.touch(touched, now);
                    }
                }
            }
        }
        self.ears.push(Box::pin(ears.next()));
    }

    /// A member is not what it was, or nobody keeps it any more.
    fn look(&mut self, id: u64, now: Instant, is_lost: bool) {
        let shared = Arc::clone(&self.shared);
        let mut desk = shared.desk();
        if let Some(at) = desk.at(id) {
            let seen = desk.seat(at).member.seen();
            desk.hear(at, seen, now);
        }
        if is_lost {
            desk.lose(id, now);
        }
        let turns = shared.turns(&mut desk, now);
        drop(desk);
        Shared::tell(turns);
        self.show(now);
    }

    /// Whether nobody else can tell what one member tells.
    fn is_alone(&self) -> bool {
        self.shared.desk().seats().len() == 1 && self.gather.due().is_none()
    }

    /// A member has ended: what it counted stays.
    fn bury(&mut self, id: u64) {
        let gone = self.shared.desk().gone(id);
        if let Some(seat) = gone {
            self.past.add(&part(&seat));
        }
    }

    /// Shows how the whole fares, and wakes whoever follows it where that is not as before.
    fn show(&mut self, now: Instant) {
        let (parts, serves) = {
            let desk = self.shared.desk();
            let parts: Vec<Part> = desk.seats().iter().map(part).collect();
            (parts, desk.serves(now))
        };
        let pool = whole::Pool {
            min: self.shared.options.min,
            serves,
            lead: self.lead,
        };
        let before = self.shared.status.borrow().clone();
        let (whole, lead) = whole::compose(&before, &parts, self.past, pool);
        let other = !before.tools.is_same(&whole.tools);
        // One that came up and lists others does not tell it: at its own start nobody knew any.
        if other && before.is_up() && lead != self.lead {
            tracing::info!(server = %self.shared.server, "a new process of a server has other tools than the others");
            self.gather.change(TOOLS, now);
        }
        self.lead = lead;
        let is_same = !other
            && Arc::ptr_eq(&before.tools, &whole.tools)
            && before.state == whole.state
            && before.pid == whole.pid
            && before.restarts == whole.restarts
            && before.last_error == whole.last_error
            && before.peer.as_ref().map(Arc::as_ptr) == whole.peer.as_ref().map(Arc::as_ptr);
        self.shared.status.send_if_modified(|status| {
            *status = whole;
            !is_same
        });
    }

    fn tell(&self, changed: Changed) {
        if self.shared.changed.send(changed).is_err() {
            tracing::trace!(server = %self.shared.server, kind = changed.kind, "nobody follows the changes");
        }
    }

    fn touch(&self, touched: Touched) {
        if self.shared.touched.send(touched).is_err() {
            tracing::trace!(server = %self.shared.server, "nobody follows the resources");
        }
    }

    /// The pool ends: nobody waits any longer, and all members end at once.
    async fn end(mut self) {
        let (members, turns) = {
            let mut desk = self.shared.desk();
            desk.close();
            let turns = self.shared.turns(&mut desk, Instant::now());
            let members = desk.seats().iter().map(|seat| Arc::clone(&seat.member));
            (members.collect::<Vec<_>>(), turns)
        };
        Shared::tell(turns);
        self.over("it is being stopped");
        let ending = members.iter().map(|member| member.upstream.stop());
        let ended = join_all(ending).await;
        self.show(Instant::now());
        self.over("it was stopped");
        self.shared.end(ended.into_iter().all(|in_time| in_time));
    }

    fn over(&self, why: &str) {
        self.shared.status.send_modify(|status| {
            status.turn(State::Unhealthy);
            status.last_error = Some(why.to_owned());
        });
    }
}
