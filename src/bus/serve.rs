//! Serving: calls of one server from the bus to a `Service<Call>`.
//!
//! One task per server owns the subscriptions and the calls under way. It never waits for a call:
//! it takes messages, drives the answers, and ticks. What finds no place waits in a line in which
//! callers have turns, and is told so; what is over the limits of that is answered
//! `SERVER_OVERLOADED` at once, so nothing waits in a queue that nobody sees.

mod accept;
mod admission;
mod answer;
mod desk;
mod doors;
mod leave;
mod line;
mod queue;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    fault,
    link::{Line, Link},
    parts::Bounds,
};
use crate::{
    call::SharedService,
    error::Error,
    mcp::Extent,
    name::{Instance, ServerName},
    spawn::{Failure, Tasks},
    telemetry::load::Load,
};
use desk::Desk;
use doors::{Doors, Side};

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
    /// Calls that wait for one of them to end: callers have turns.
    pub queue: usize,
    /// Bytes of the requests of those under way, and of those that wait.
    pub bytes: usize,
    /// How deep and how wide each of them may be.
    pub extent: Extent,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 256,
            queue: 1024,
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
    /// Where it is told how much there is to do.
    pub load: Load,
}

/// A server that is being served. Dropping it leaves at once; [`Served::drain`] ends in order.
#[derive(Debug)]
pub struct Served {
    stop: CancellationToken,
    back: CancellationToken,
    stood_back: CancellationToken,
    grace: watch::Sender<Duration>,
    done: CancellationToken,
}

impl Served {
    /// Leaves the queue group, and stays for the calls that are on their way, however few come:
    /// each is answered. It ends when the last of them has, or with [`Served::drain`]. Returns when
    /// the broker has been told, or after `within`.
    pub async fn step_back(&self, within: Duration) {
        self.back.cancel();
        let told = tokio::time::timeout(within, self.stood_back.cancelled());
        if told.await.is_err() {
            tracing::debug!("a server did not leave its queue group in time");
        }
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.is_cancelled()
    }

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
        back: CancellationToken::new(),
        stood_back: CancellationToken::new(),
        grace,
        done: CancellationToken::new(),
    };
    let room = Room {
        link: link.clone(),
        lines,
        options,
        stop: served.stop.clone(),
        back: served.back.clone(),
        stood_back: served.stood_back.clone(),
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

/// Everything that outlives a connection.
struct Room {
    link: Link,
    lines: watch::Receiver<Arc<Line>>,
    options: ServeOptions,
    service: SharedService,
    stop: CancellationToken,
    back: CancellationToken,
    stood_back: CancellationToken,
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
                () = self.back.cancelled() => {
                    self.step_back(desk, doors).await;
                    return true;
                }
                changed = self.lines.changed() => return changed.is_err(),
                () = doors.turn(desk, &mut tick) => {}
            }
        }
    }

    async fn step_back(&mut self, desk: &mut Desk, doors: &mut Doors) {
        doors.leave(desk, true).await;
        self.stood_back.cancel();
        let mut tick = ticks();
        while doors.open || desk.is_busy() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.drain(desk, doors).await,
                // Another connection knows nothing of this queue group.
                _ = self.lines.changed() => return,
                over = doors.turn_leaving(desk, &mut tick) => if over {
                    doors.leave(desk, true).await;
                }
            }
        }
        desk.flush().await;
    }

    async fn drain(&self, desk: &mut Desk, doors: &mut Doors) {
        doors.leave(desk, false).await;
        let grace = *self.grace.borrow();
        let finish = async {
            let mut tick = ticks();
            while doors.open || desk.is_busy() {
                if doors.turn_leaving(desk, &mut tick).await {
                    doors.leave(desk, false).await;
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
