//! One member's connection: watched, probed, and built anew when the library's is dead.
//!
//! The library reconnects by itself when a socket breaks. What it does not notice is the death of
//! its own connection task (one bare CR in a header of anybody's message is enough): then it says
//! "connected" for ever. So every two seconds a request goes to a subject that nobody has; the
//! broker must answer "no responders", through the same subscription that answers come by. Two
//! misses, or the end of that subscription, and the client is thrown away with all that hung on it.

mod line;

use std::{sync::Arc, time::Duration};

use async_nats::{Client, Event, Subscriber, message::OutboundMessage};
use futures_util::StreamExt as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

pub(super) use self::line::{Line, REFUSAL_LATE};
use super::{
    connect::{self, Connected, Options},
    fault,
};
use crate::{
    error::{Error, Kind},
    name::{Connection, Identity, subject},
    spawn::{Failure, Tasks},
};

/// How often the connection is probed.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// So many probes in a row without an answer, and the client is dead.
const MISSES_MAX: u32 = 2;
/// At most one client in this time: who sends poison does not make us spin.
const REBUILD_EVERY: Duration = Duration::from_millis(500);

/// Whether the connection can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It can.
    Up,
    /// It can't; it is being made anew.
    Down,
}

/// A member's connection. A cheap handle.
#[derive(Clone, Debug)]
pub struct Link {
    identity: Identity,
    lines: watch::Receiver<Arc<Line>>,
}

impl Link {
    /// Connects, and watches the connection until the tasks are stopped.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` (BROKER_UNAVAILABLE) where there is no broker,
    /// `AUTHENTICATION_FAILED` where it refuses us, `ACCESS_DENIED` where it grants no inbox.
    pub async fn connect(options: Options, tasks: &Tasks) -> Result<Self, Error> {
        let (line, group) = build(&options, tasks).await?;
        let (publish, lines) = watch::channel(line);
        let link = Self {
            identity: options.identity.clone(),
            lines,
        };
        let watcher = Watcher {
            options,
            publish,
            group,
            tasks: tasks.clone(),
        };
        tasks.spawn("bus link", Failure::Stops, watcher.run());
        Ok(link)
    }

    /// Who we are.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The library's client of now, for what only it can do. It may be replaced at any time.
    #[must_use]
    pub fn client(&self) -> Client {
        self.lines.borrow().client.clone()
    }

    /// Whether the connection can be used now.
    #[must_use]
    pub fn state(&self) -> LinkState {
        if self.lines.borrow().is_up() {
            LinkState::Up
        } else {
            LinkState::Down
        }
    }

    /// How many calls wait for an answer.
    #[must_use]
    pub fn calls_under_way(&self) -> usize {
        self.lines.borrow().pending.len()
    }

    /// Publishes a message that nobody answers.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` (BROKER_UNAVAILABLE) where there is no connection or it takes nothing
    /// for two seconds.
    pub async fn publish(&self, subject: String, body: bytes::Bytes) -> Result<(), Error> {
        let message = OutboundMessage {
            subject: subject.into(),
            reply: None,
            headers: None,
            payload: body,
        };
        self.line()?.send(message).await
    }

    /// Waits until the broker has taken all that was published here, at most two seconds: for the
    /// last word before a connection is let go. With its last handle the library throws away what
    /// it has not yet written.
    pub async fn settle(&self) {
        let Ok(line) = self.line() else {
            return;
        };
        if let Err(error) = line.probe(&self.identity).await {
            tracing::debug!(%error, "what was said last may not have arrived");
        }
    }

    /// The connection of now.
    pub(super) fn line(&self) -> Result<Arc<Line>, Error> {
        let line = Arc::clone(&self.lines.borrow());
        if line.is_up() {
            Ok(line)
        } else {
            Err(line.down())
        }
    }

    /// Every connection there will be, the one of now first.
    pub(super) fn lines(&self) -> watch::Receiver<Arc<Line>> {
        self.lines.clone()
    }

    /// Subscribes, and makes sure that the broker took it.
    ///
    /// # Errors
    /// `ACCESS_DENIED` where the broker does not, `SERVER_OVERLOADED` without a connection.
    pub async fn subscribe(&self, subject: String, queue: bool) -> Result<Subscriber, Error> {
        self.line()?.subscribe(&self.identity, subject, queue).await
    }
}

/// A client with its subscription for answers, and the tasks that read for it.
async fn build(options: &Options, tasks: &Tasks) -> Result<(Arc<Line>, Tasks), Error> {
    let connection = Connection::random();
    let Connected { client, events } = connect::connect(options, &connection).await?;
    let line = Arc::new(Line::new(client, connection));
    let answers = subject::replies(&options.identity, &line.connection);
    let replies = line
        .client
        .subscribe(answers.clone())
        .await
        .map_err(|error| fault::down().source(error))?;
    let group = tasks.group();
    group.spawn(
        "bus events",
        Failure::Logged,
        hear(Arc::clone(&line), events, group.stopping()),
    );
    group.spawn(
        "bus answers",
        Failure::Logged,
        read(Arc::clone(&line), replies, group.stopping()),
    );
    let probed = line.probe(&options.identity).await;
    let error = if line.refuses(&answers).await {
        let who = &options.identity;
        let text = format!("the broker grants `{who}` no inbox (`{answers}`)");
        Error::new(Kind::AccessDenied, text)
    } else if let Err(error) = probed {
        error
    } else {
        return Ok((line, group));
    };
    group.cancel();
    Err(error)
}

/// Takes events until the client is thrown away: a reader that stayed would keep it alive.
async fn hear(line: Arc<Line>, mut events: mpsc::Receiver<Event>, stop: CancellationToken) {
    while let Some(Some(event)) = stop.run_until_cancelled(events.recv()).await {
        line.hear(&event);
    }
}

/// Takes answers to the calls that wait for them. It waits for nothing but the next answer.
async fn read(line: Arc<Line>, mut replies: Subscriber, stop: CancellationToken) {
    let reading = async {
        let mut strangers = 0u64;
        while let Some(message) = replies.next().await {
            if !line.pending.deliver(message) {
                // An answer that came too late, or a forged one.
                strangers += 1;
                tracing::trace!(strangers, "an answer to no call");
            }
        }
    };
    stop.run_until_cancelled(reading).await;
    // Nobody unsubscribed: so it was the library's connection task that ended. The probe would
    // find out too, but calls would wait for it.
    line.fall();
    line.dead.cancel();
}

/// Owns the connection's life.
struct Watcher {
    options: Options,
    publish: watch::Sender<Arc<Line>>,
    group: Tasks,
    tasks: Tasks,
}

impl Watcher {
    async fn run(mut self) {
        let stop = self.tasks.stopping();
        stop.run_until_cancelled(self.watch()).await;
        self.group.cancel();
        self.publish.borrow().fall();
    }

    async fn watch(&mut self) {
        let mut tick = tokio::time::interval_at(Instant::now() + PROBE_EVERY, PROBE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut misses = 0;
        loop {
            let line = Arc::clone(&self.publish.borrow());
            tokio::select! {
                _ = tick.tick() => misses = self.check(&line, misses).await,
                () = line.dead.cancelled(), if misses < MISSES_MAX => misses = MISSES_MAX,
            }
            if misses >= MISSES_MAX && self.rebuild(&line).await {
                misses = 0;
                tokio::time::sleep(REBUILD_EVERY).await;
            }
        }
    }

    /// Probes the connection. Says how many probes in a row it missed now.
    async fn check(&self, line: &Line, misses: u32) -> u32 {
        // While the library knows that it is disconnected, it is at work.
        if line.client.connection_state() != async_nats::connection::State::Connected {
            if line.is_up() {
                // Its word for it was lost in a flood of others.
                line.fall();
            }
            return 0;
        }
        match line.probe(&self.options.identity).await {
            Ok(()) => {
                if !line.is_up() {
                    line.rise();
                }
                0
            }
            Err(error) => {
                let misses = misses.saturating_add(1);
                tracing::debug!(misses, %error, "the connection did not answer a probe");
                misses
            }
        }
    }

    /// Throws the client away and makes another. Says whether there is one that works.
    async fn rebuild(&mut self, dead: &Line) -> bool {
        let began = Instant::now();
        dead.fall();
        match build(&self.options, &self.tasks).await {
            // Meanwhile the library came through by itself: calls are under way there again.
            Ok((_, group)) if dead.is_up() => {
                group.cancel();
                true
            }
            Ok((line, group)) => {
                std::mem::replace(&mut self.group, group).cancel();
                self.publish.send_replace(line);
                tracing::warn!(
                    ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "the connection to the broker was dead and is made anew"
                );
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the connection to the broker is dead; next try in 2 s");
                false
            }
        }
    }
}
