//! Where calls are told to, and the one task that makes events of that and has them stored.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::SecondsFormat;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Map, Value};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{Running, Step, What};
use crate::{
    call::{Call, permission::Pattern},
    error::Error,
    event::{
        Event, Publisher, Receipt,
        catalogue::task::{Completed, Created, Failed},
    },
    name::id,
    spawn::{self, Failure},
};

/// Steps of calls that wait: two a call, taken when it begins.
pub(super) const QUEUE_MAX: usize = 4096;
/// Events that are on their way to their stream.
const UNDER_WAY_MAX: usize = 4096;
/// How long an event may take to be stored.
const STORE_MAX: Duration = Duration::from_secs(240);
/// How often it is told what was not.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Characters of a tool's name, and of why a call failed.
const CHARS_MAX: usize = 500;

/// Takes down the calls of some tools. A cheap handle.
#[derive(Clone, Debug)]
pub struct Recorder {
    tools: Arc<[Pattern]>,
    queue: mpsc::Sender<Item>,
    missed: Arc<AtomicU64>,
}

/// What waits in the queue.
#[derive(Debug)]
pub(super) enum Item {
    Step(Box<Step>),
    /// Answered when all before it is stored, or will not be.
    Settle(oneshot::Sender<()>),
}

impl Recorder {
    /// Takes down calls of tools that one of these patterns matches, and publishes them until the
    /// end of `tasks`.
    #[must_use]
    pub fn start(tools: Vec<Pattern>, publisher: Publisher, tasks: &spawn::Tasks) -> Self {
        let (recorder, queue) = Self::new(tools);
        let writing = Writing {
            publisher: publisher.timeout(STORE_MAX),
            under_way: FuturesUnordered::new(),
            missed: Arc::clone(&recorder.missed),
            lost: 0,
        };
        let stop = tasks.stopping();
        tasks.spawn("task events", Failure::Logged, async move {
            let mut writing = writing;
            let mut queue = queue;
            tokio::select! { () = stop.cancelled() => {}, () = writing.run(&mut queue) => {} }
            writing.leave(&queue);
        });
        recorder
    }

    pub(super) fn new(tools: Vec<Pattern>) -> (Self, mpsc::Receiver<Item>) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let recorder = Self {
            tools: tools.into(),
            queue: sender,
            missed: Arc::default(),
        };
        (recorder, queue)
    }

    /// Waits until what was told is stored. Says whether that could be had in time.
    pub async fn settle(&self, within: Duration) -> bool {
        let (told, settled) = oneshot::channel();
        let settle = async {
            let sent = self.queue.send(Item::Settle(told)).await;
            sent.is_ok() && settled.await.is_ok()
        };
        timeout(within, settle).await.unwrap_or(false)
    }

    /// Tells that a call begins, where it is to be told and there is room for both its ends.
    pub(super) fn begin(&self, call: &Call) -> Option<Running> {
        let tool = call.tool()?;
        if !self.tools.iter().any(|pattern| pattern.matches(&[tool])) {
            return None;
        }
        let room = || self.queue.clone().try_reserve_owned().ok();
        let Some((first, last)) = room().zip(room()) else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let mut running = Running {
            room: Some(first),
            task: id::event().into(),
            correlation: call.context.correlation.clone(),
            began: Instant::now(),
            attempt: call.context.attempt,
        };
        running.say(What::Began {
            server: call.server.clone(),
            tool: tool.chars().take(CHARS_MAX).collect(),
            caller: call.context.caller.clone(),
        });
        running.room = Some(last);
        Some(running)
    }

    /// Calls that found no room and were not logged yet.
    #[cfg(test)]
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// The one task that publishes.
struct Writing {
    publisher: Publisher,
    under_way: FuturesUnordered<Receipt>,
    missed: Arc<AtomicU64>,
    /// Events that were not stored and are not logged yet.
    lost: u64,
}

impl Writing {
    async fn run(&mut self, queue: &mut mpsc::Receiver<Item>) {
        let mut tell = interval(TELL_EVERY);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(stored) = self.under_way.next() => self.heed(stored.map(drop)),
                item = queue.recv(), if self.under_way.len() < UNDER_WAY_MAX => match item {
                    Some(item) => self.take(item).await,
                    None => break,
                },
                _ = tell.tick() => self.tell(),
            }
        }
        self.wait().await;
    }

    async fn take(&mut self, item: Item) {
        match item {
            Item::Step(step) => match self.publisher.begin(event(*step)).await {
                Ok(receipt) => self.under_way.push(receipt),
                Err(error) => self.heed(Err(error)),
            },
            Item::Settle(told) => {
                self.wait().await;
                if told.send(()).is_err() {
                    tracing::trace!("who waited for events of calls has gone");
                }
            }
        }
    }

    async fn wait(&mut self) {
        while let Some(stored) = self.under_way.next().await {
            self.heed(stored.map(drop));
        }
        self.tell();
    }

    /// The first that fails is told with its reason, and how many more.
    fn heed(&mut self, stored: Result<(), Error>) {
        if let Err(error) = stored {
            if self.lost == 0 {
                tracing::warn!(%error, "an event of a call was not stored");
            }
            self.lost += 1;
        }
    }

    fn tell(&mut self) {
        let (lost, missed) = (
            std::mem::take(&mut self.lost),
            self.missed.swap(0, Ordering::Relaxed),
        );
        if lost > 0 {
            tracing::warn!(lost, "events of calls were not stored");
        }
        if missed > 0 {
            let why = format!("{QUEUE_MAX} events wait already");
            tracing::warn!(missed, why, "calls were not told as tasks");
        }
    }

    /// The end, whatever waits still.
    fn leave(&mut self, queue: &mpsc::Receiver<Item>) {
        self.tell();
        let left = queue.len() + self.under_way.len();
        if left > 0 {
            tracing::warn!(
                left,
                "the end came before these events of calls were stored"
            );
        }
    }
}

/// What is published of a step.
pub(super) fn event(step: Step) -> Event {
    let task_id = step.task.to_string();
    let made = match step.what {
        What::Began {
            server,
            tool,
            caller,
        } => {
            let title = format!("{server}/{tool}");
            let said = |(name, value): (&str, String)| (name.to_owned(), Value::from(value));
            let mut metadata: Map<String, Value> = [("server", server.to_string()), ("tool", tool)]
                .map(said)
                .into_iter()
                .collect();
            metadata.extend(caller.map(|caller| said(("caller", caller.to_string()))));
            Event::of(&Created {
                task_id,
                title,
                depends_on: Vec::new(),
                assignee: None,
                metadata,
            })
        }
        What::Done { ms } => Event::of(&Completed {
            task_id,
            duration_ms: Some(ms),
            result: Value::Null,
        }),
        What::Failed { why, code, attempt } => Event::of(&Failed {
            task_id,
            error: why.chars().take(CHARS_MAX).collect(),
            code,
            attempts: Some(attempt.into()),
        }),
    };
    let mut event = made.expect("these are texts and numbers, which are JSON");
    event.timestamp = step.at.to_rfc3339_opts(SecondsFormat::Millis, true);
    event.correlated(step.correlation.to_string())
}
