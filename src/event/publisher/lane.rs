//! One stream's events, one commit after the other.

use std::{collections::HashSet, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::Published;
use crate::{
    bus::{
        Link,
        keep::{Kept, Message, Unkept},
    },
    error::{Error, Kind, Started},
};

/// Events of one commit.
const TOGETHER_MAX: usize = 256;
/// Bytes of one commit.
const TOGETHER_BYTES: usize = 512 * 1024;
/// How long the broker may take for one try.
const TRY_MAX: Duration = Duration::from_secs(5);
/// How soon an event is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// An event that waits for its turn.
pub(super) struct Queued {
    /// Its id, as its source knows it.
    pub(super) event: String,
    pub(super) message: Message,
    pub(super) deadline: Instant,
    pub(super) told: oneshot::Sender<Result<Published, Error>>,
    /// Its place among the bytes that wait.
    pub(super) _room: OwnedSemaphorePermit,
}

impl Queued {
    /// How long it may still take.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn is_late(&self) -> bool {
        self.left().is_zero()
    }

    fn tell(self, outcome: Result<Kept, Error>) {
        let outcome = outcome.map(|kept| Published {
            id: self.event,
            stream: kept.stream,
            sequence: kept.sequence,
            duplicate: kept.duplicate,
        });
        // Nobody may wait any more: it is stored all the same.
        drop(self.told.send(outcome));
    }
}

/// The events of one stream.
pub(super) struct Lane {
    link: Link,
    queue: mpsc::Receiver<Queued>,
    /// What did not fit into the last commit.
    left: Option<Queued>,
}

impl Lane {
    pub(super) const fn new(link: Link, queue: mpsc::Receiver<Queued>) -> Self {
        Self {
            link,
            queue,
            left: None,
        }
    }

    /// Stores what comes until it is stopped; then what waits still, as long as it may.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let first = match self.left.take() {
                Some(left) => left,
                None => tokio::select! {
                    biased;
                    next = self.queue.recv() => match next {
                        Some(next) => next,
                        None => return,
                    },
                    () = stop.cancelled() => return,
                },
            };
            let together = self.gather(first);
            self.commit(together).await;
        }
    }

    /// What is there now, as far as it goes into one commit.
    fn gather(&mut self, first: Queued) -> Vec<Queued> {
        let mut bytes = first.message.body.len();
        let mut ids = HashSet::from([first.message.id.clone()]);
        let mut together = vec![first];
        while together.len() < TOGETHER_MAX {
            let Ok(next) = self.queue.try_recv() else {
                break;
            };
            bytes += next.message.body.len();
            // Two with the same id would be refused together.
            if bytes > TOGETHER_BYTES || !ids.insert(next.message.id.clone()) {
                self.left = Some(next);
                break;
            }
            together.push(next);
        }
        together
    }

    async fn commit(&self, together: Vec<Queued>) {
        let (over, together): (Vec<_>, _) = together.into_iter().partition(Queued::is_late);
        for one in over {
            one.tell(Err(late(false)));
        }
        let mut maybe = false;
        if together.len() > 1 {
            let messages: Vec<_> = together.iter().map(|one| &one.message).collect();
            // None is told later than it asked for.
            let left = together.iter().map(Queued::left).min().unwrap_or(TRY_MAX);
            match self.link.keep_together(&messages, TRY_MAX.min(left)).await {
                Ok(first) => return tell_all(together, &first),
                Err(unkept) => {
                    let error = unkept.into_error();
                    maybe = error.has_started() != Started::No;
                    tracing::debug!(%error, events = together.len(), "not stored together");
                }
            }
        }
        for one in together {
            let outcome = self.keep(&one, maybe).await;
            one.tell(outcome);
        }
    }

    /// Stores one event, trying as long as there is time. `maybe`: a try before this may have
    /// stored it.
    async fn keep(&self, one: &Queued, mut maybe: bool) -> Result<Kept, Error> {
        let mut pause = AGAIN.0;
        if one.is_late() {
            return Err(late(maybe));
        }
        loop {
            let tried = self.link.keep(&one.message, TRY_MAX.min(one.left())).await;
            let error = match tried {
                Ok(kept) => return Ok(kept),
                Err(Unkept::ForGood(error)) => return Err(if_maybe(error, maybe)),
                Err(Unkept::ForNow(error)) => error,
            };
            maybe |= error.has_started() != Started::No;
            if Instant::now() + pause >= one.deadline {
                return Err(if_maybe(error, maybe));
            }
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }
}

fn tell_all(together: Vec<Queued>, first: &Kept) {
    for (sequence, one) in (first.sequence..).zip(together) {
        one.tell(Ok(Kept {
            stream: first.stream.clone(),
            sequence,
            duplicate: false,
        }));
    }
}

/// Its time was over before its turn came; `maybe` it was stored together with others.
fn late(maybe: bool) -> Error {
    let (said, started) = if maybe {
        (
            "the event was not acknowledged in its time; it may be stored",
            Started::Maybe,
        )
    } else {
        (
            "the event was not sent: its time was over before those before it were acknowledged",
            Started::No,
        )
    };
    Error::new(Kind::Timeout, said).started(started)
}

/// An earlier try may have stored it, whatever the last one came to.
fn if_maybe(error: Error, maybe: bool) -> Error {
    if maybe {
        error.started(Started::Maybe)
    } else {
        error
    }
}
