//! Serving: calls of one server from the bus to a `Service<Call>`.
//!
//! One task per server owns the subscriptions and the calls under way. It never waits for a call:
//! it takes messages, drives the answers, and ticks. What is over the limits is answered
//! `SERVER_OVERLOADED` at once, so nothing waits in a queue that nobody sees.

mod accept;
mod answer;
mod desk;
mod leave;

use std::{sync::Arc, time::Duration};

use async_nats::{Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::{
    sync::watch,
    task::unconstrained,
    time::{Instant, Interval, MissedTickBehavior, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    connect::BACKLOG,
    fault,
    link::{Line, Link},
    parts::Bounds,
};
use crate::{
    call::SharedService,
    error::Error,
    mcp::Extent,
    name::{Identity, Instance, ServerName, subject},
    spawn::{Failure, Tasks},
};
use desk::Desk;
use leave::{Leaving, Pace};

/// A call that has not ended after this is told "accepted"; also how often the desk looks.
const TICK: Duration = Duration::from_millis(50);
/// How often a server that can't subscribe tries again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In the callers' own account: their reply subjects are seen and checked.
    Member,
    /// Behind an account import, where the broker puts a reply subject of its own in place of the
    /// caller's: no parts, continuations or cancels come through.
    Imported,
}

/// What one server takes at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls under way.
    pub calls: usize,
    /// Bytes of their requests.
    pub bytes: usize,
    /// How deep and how wide each of them may be.
    pub extent: Extent,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 256,
            bytes: 64 << 20,
            extent: Extent::default(),
        }
    }
}

/// What is served.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The server.
    pub server: ServerName,
    /// This instance of it.
    pub instance: Instance,
    /// How it is reached.
    pub reach: Reach,
    /// What it takes at a time.
    pub limits: Limits,
    /// How large a body may be.
    pub bounds: Bounds,
    /// How long a call may take whose caller does not say.
    pub timeout: Duration,
}

/// A server that is being served. Dropping it leaves at once; [`Served::drain`] ends in order.
#[derive(Debug)]
pub struct Served {
    stop: CancellationToken,
    grace: watch::Sender<Duration>,
    done: CancellationToken,
}

impl Served {
    /// Leaves the queue group, finishes what is under way for at most `grace`, and answers the
    /// rest `SERVER_OVERLOADED`.
    pub async fn drain(self, grace: Duration) {
        self.grace.send_replace(grace);
        self.stop.cancel();
        // The desk keeps to the grace; the second on top is for its last words.
        let limit = grace + Duration::from_secs(1);
        if tokio::time::timeout(limit, self.done.cancelled())
            .await
            .is_err()
        {
            tracing::warn!("a server did not drain in time");
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves `service` as `options.server` over `link`, through every rebuilt connection.
///
/// # Errors
/// `ACCESS_DENIED` where the broker lets us not serve that name, `SERVER_OVERLOADED` without a
/// connection.
pub async fn serve(
    link: &Link,
    options: ServeOptions,
    service: SharedService,
    tasks: &Tasks,
) -> Result<Served, Error> {
    let mut lines = link.lines();
    let line = Arc::clone(&lines.borrow_and_update());
    let doors = Doors::open(link, &line, &options).await?;
    let (grace, grace_heard) = watch::channel(Duration::ZERO);
    let served = Served {
        stop: tasks.stopping().child_token(),
        grace,
        done: CancellationToken::new(),
    };
    let room = Room {
        link: link.clone(),
        lines,
        options,
        stop: served.stop.clone(),
        grace: grace_heard,
        service,
    };
    let done = served.done.clone().drop_guard();
    tasks.spawn("bus serve", Failure::Logged, async move {
        room.run(line, doors).await;
        drop(done);
    });
    Ok(served)
}

/// The subscriptions of one server on one connection.
struct Doors {
    line: Arc<Line>,
    who: Identity,
    requests: Subscriber,
    pace: Pace,
    leaving: Leaving,
    /// Whether calls may still come.
    open: bool,
    rest: Option<(Subscriber, Subscriber)>,
}

impl Doors {
    async fn open(link: &Link, line: &Arc<Line>, options: &ServeOptions) -> Result<Self, Error> {
        let who = link.identity();
        let (server, instance) = (&options.server, &options.instance);
        let rest = if options.reach == Reach::Member {
            let messages = format!("{}.ins.*.{server}.{instance}.>", subject::ROOT);
            let cancels = format!("{}.ctl.*.{server}.cancel", subject::ROOT);
            Some((
                line.subscribe(who, messages, false).await?,
                line.subscribe(who, cancels, false).await?,
            ))
        } else {
            None
        };
        // Last: a call must find an instance that can be cancelled.
        let requests = format!("{}.req.*.{server}.>", subject::ROOT);
        Ok(Self {
            line: Arc::clone(line),
            who: who.clone(),
            pace: Pace::new(line.life()),
            requests: line.subscribe(who, requests, true).await?,
            leaving: Leaving::No,
            open: true,
            rest,
        })
    }

    /// Leaves the queue group: what is on its way to us still comes.
    async fn leave(&mut self, desk: &mut Desk) {
        self.take_all(desk);
        let before = self.leaving;
        if self.pace.needs_fence(before) {
            let came = self.pace.came();
            leave::fence(&self.line, &self.who).await;
            self.take_all(desk);
            self.pace.fenced(came);
        }
        self.leaving = self.pace.leave(&mut self.requests, before).await;
    }

    /// Takes what has come: only what was taken is counted.
    fn take_all(&mut self, desk: &mut Desk) {
        let mut next = || unconstrained(self.requests.next()).now_or_never().flatten();
        let came = std::iter::from_fn(&mut next).take(BACKLOG);
        let taken = came.map(|message| desk.take(message)).count();
        self.pace.count(taken);
    }

    /// When to count anew, or to give the queue group up: the last calls do not come.
    fn patience(&self) -> Option<Instant> {
        self.pace.patience(self.leaving).filter(|_| self.open)
    }

    async fn give_up(&mut self) {
        self.leaving = leave::give_up(&mut self.requests).await;
    }

    /// Does one thing for the calls under way, or takes those that are there.
    async fn turn(&mut self, desk: &mut Desk, tick: &mut Interval) {
        tokio::select! {
            biased;
            side = Self::aside(&mut self.rest) => desk.aside(side),
            () = desk.answered(), if desk.is_busy() => {}
            // Before new calls: a flood of them must not silence those under way.
            _ = tick.tick(), if desk.is_busy() => desk.tick(),
            message = self.requests.next(), if self.open => self.take(desk, message),
        }
    }

    /// Takes a call, and those that came with it: all else is looked at once for all of them.
    fn take(&mut self, desk: &mut Desk, first: Option<Message>) {
        let Some(first) = first else {
            // Left, or the connection is dead.
            self.open = false;
            return;
        };
        desk.take(first);
        let mut taken = 1;
        while taken < desk::TURN_MAX {
            // An end is told again at the next turn.
            let Some(Some(message)) = self.requests.next().now_or_never() else {
                break;
            };
            desk.take(message);
            taken += 1;
        }
        self.pace.count(taken);
    }

    async fn aside(rest: &mut Option<(Subscriber, Subscriber)>) -> Side {
        match rest {
            None => std::future::pending().await,
            Some((messages, cancels)) => tokio::select! {
                Some(message) = messages.next() => Side::Message(message),
                Some(message) = cancels.next() => Side::Cancel(message),
                else => std::future::pending().await,
            },
        }
    }
}

/// What comes beside calls.
enum Side {
    Message(Message),
    Cancel(Message),
}

/// Everything that outlives a connection.
struct Room {
    link: Link,
    lines: watch::Receiver<Arc<Line>>,
    options: ServeOptions,
    service: SharedService,
    stop: CancellationToken,
    grace: watch::Receiver<Duration>,
}

impl Room {
    /// Serves on one connection after the other.
    async fn run(mut self, mut line: Arc<Line>, mut doors: Doors) {
        loop {
            let mut desk = Desk::new(&self.options, Arc::clone(&line), self.service.clone());
            if self.serve_on(&mut desk, &mut doors).await {
                return;
            }
            let lost = desk.abandon();
            let Some(next) = self.reopen().await else {
                return;
            };
            (line, doors) = next;
            // Their callers' connections may live: they shall not wait for nothing.
            desk::last_words(&line, lost, &fault::lost()).await;
        }
    }

    /// Serves on one connection. Says whether that was the last.
    async fn serve_on(&mut self, desk: &mut Desk, doors: &mut Doors) -> bool {
        let mut tick = ticks();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.drain(desk, doors).await;
                    return true;
                }
                changed = self.lines.changed() => return changed.is_err(),
                () = doors.turn(desk, &mut tick) => {}
            }
        }
    }

    async fn drain(&self, desk: &mut Desk, doors: &mut Doors) {
        doors.leave(desk).await;
        let grace = *self.grace.borrow();
        let finish = async {
            let mut tick = ticks();
            while doors.open || desk.is_busy() {
                let patience = doors.patience();
                let until = patience.unwrap_or_else(Instant::now);
                tokio::select! {
                    biased;
                    () = sleep_until(until), if patience.is_some() => doors.leave(desk).await,
                    () = doors.turn(desk, &mut tick) => {}
                }
            }
        };
        if tokio::time::timeout(grace, finish).await.is_err() {
            doors.give_up().await;
            doors.take_all(desk);
            desk.refuse_the_rest().await;
        }
        desk.flush().await;
    }

    /// Opens the doors on the connection of now, again and again until it goes.
    async fn reopen(&mut self) -> Option<(Arc<Line>, Doors)> {
        loop {
            let line = Arc::clone(&self.lines.borrow_and_update());
            match Doors::open(&self.link, &line, &self.options).await {
                Ok(doors) => return Some((line, doors)),
                Err(error) => {
                    tracing::warn!(server = %self.options.server, %error, "not served now; next try in 1 s");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                changed = self.lines.changed() => changed.ok()?,
                () = tokio::time::sleep(REOPEN_EVERY) => {}
            }
        }
    }
}

fn ticks() -> Interval {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
