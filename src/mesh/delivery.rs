//! An event that was handed out, and what becomes of it: done, tried again, or a dead letter.
//!
//! While somebody holds a delivery, the broker is told that it is worked on. Who drops one says
//! that it may come again. The dead letter is stored before the event is given up: a crash between
//! the two brings it again, and the letter has the same id.

mod held;

use std::{fmt::Display, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{sync::OwnedSemaphorePermit, time::sleep};
use tokio_util::sync::CancellationToken;

use self::held::Held;
use crate::{
    bus::{
        Link,
        keep::{Message, Unkept},
        pull::Handed,
    },
    error::{Error, Kind, Started, case},
    event::{ConsumerOpened, Event, EventKey, Letter, Sieve},
    name::{store, subject},
    spawn::{Failure, Tasks},
};

/// How long the broker may take to say that it has an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often that is tried: over a broker that is started anew.
const ANSWERS_MAX: u32 = 6;
/// How soon it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where an event stands, and how it came.
#[derive(Clone, Debug)]
pub struct Place {
    /// The stream that keeps it.
    pub stream: String,
    /// Its number there.
    pub sequence: u64,
    /// When it was stored, milliseconds since 1970; of a replay, when that was.
    pub at: u64,
    /// How often it was handed out, this time included.
    pub attempt: u32,
    /// Whether it came before and is delivered once more: a replay, or a dead letter redriven.
    pub is_replay: bool,
}

impl Place {
    /// As a reader can begin behind it: `WEFT_TASKS:1234`.
    #[must_use]
    pub fn cursor(&self) -> String {
        format!("{}:{}", self.stream, self.sequence)
    }
}

/// An event that has to be answered.
#[derive(Debug)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// Where it stands, and how it came.
    pub place: Place,
    claim: Claim,
}

impl Delivery {
    /// It is done. When this is back, it never comes again.
    ///
    /// # Errors
    /// Where the broker did not say so within half a minute, or forgot that it handed the event
    /// out: it may come again.
    pub async fn ack(self) -> Result<(), Error> {
        self.claim.done().await
    }

    /// It could not be done now. It comes again after the wait of the durable, or is a dead letter
    /// where this was the last try.
    ///
    /// # Errors
    /// Where the dead letter could not be stored; then it comes again.
    pub async fn retry(self, why: impl Display) -> Result<(), Error> {
        let handing = &self.claim.desk.inner.opened.handing;
        if self.place.attempt >= handing.tries {
            return self.give_up(why).await;
        }
        let (after, reply) = (handing.after(self.place.attempt), self.claim.reply.clone());
        let mut claim = self.claim;
        claim.answered = true;
        claim.desk.link().again(&reply, after);
        Ok(())
    }

    /// It will never be done: it is a dead letter when this is back, and does not come again.
    ///
    /// # Errors
    /// Where the dead letter could not be stored; then it comes again.
    pub async fn give_up(self, why: impl Display) -> Result<(), Error> {
        self.claim.give_up(&self.place, &why.to_string()).await
    }

    /// Whether the broker forgot that it handed it out, and will do so again.
    pub(super) fn is_void(&self) -> bool {
        self.claim.void.is_cancelled()
    }

    /// Has it handled, and answers as that ended.
    pub(super) async fn handled_by<H, F, E>(self, handler: &H)
    where
        H: Fn(Event, Place) -> F,
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let (event, place) = (self.event.clone(), self.place.clone());
        // The call as well: it may panic before there is a future.
        let handled = AssertUnwindSafe(async { handler(event, place).await });
        let answered = match handled.catch_unwind().await {
            Ok(Ok(())) => self.ack().await,
            Ok(Err(why)) => self.retry(why).await,
            Err(_) => self.retry("the handler panicked").await,
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "the answer to an event did not arrive; it comes again");
        }
    }
}

/// The right to answer an event.
#[derive(Debug)]
struct Claim {
    desk: Desk,
    reply: String,
    /// Its number among the replays, where it is one.
    replay: Option<u64>,
    answered: bool,
    /// Cancelled where the broker forgot it.
    void: CancellationToken,
    _room: OwnedSemaphorePermit,
}

impl Claim {
    async fn done(mut self) -> Result<(), Error> {
        self.answered = true;
        let link = self.desk.link();
        let answered = insist(|| link.done(&self.reply, ANSWER_MAX));
        self.unless_void(answered).await
    }

    async fn give_up(mut self, place: &Place, why: &str) -> Result<(), Error> {
        let consumer = self.desk.consumer();
        let letter = Letter::new(&place.stream, place.sequence, consumer, place.attempt, why);
        self.desk.write(&letter, self.replay).await?;
        self.answered = true;
        let link = self.desk.link();
        let answered = insist(|| link.given_up(&self.reply, ANSWER_MAX));
        self.unless_void(answered).await
    }

    /// A broker that forgot it would never answer.
    async fn unless_void(
        &self,
        answered: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let known = self.void.run_until_cancelled(answered).await;
        known.unwrap_or_else(|| Err(void()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.desk.inner.held.drop(&self.reply);
        if !self.answered && !self.void.is_cancelled() {
            let wait = self.desk.inner.opened.handing.after(1);
            self.desk.link().again(&self.reply, wait);
        }
    }
}

fn void() -> Error {
    Error::new(
        Kind::InternalError,
        "the broker was started anew and does not know that it handed this event out: it comes again",
    )
    .case(case::CONNECTION_LOST)
    .started(Started::Maybe)
}

/// Tries again what the broker does not take now.
async fn insist<F: Future<Output = Result<(), Unkept>>>(ask: impl Fn() -> F) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        match ask().await {
            Ok(()) => return Ok(()),
            Err(Unkept::ForNow(_)) if tries < ANSWERS_MAX => {}
            Err(error) => return Err(error.into_error()),
        }
        tries += 1;
        sleep(AGAIN).await;
    }
}

/// Where one subscription's events are answered. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Link,
    opened: ConsumerOpened,
    key: EventKey,
    held: Held,
}

impl Desk {
    /// Opens one, and says of what is with handlers that it is worked on.
    pub(super) fn open(link: Link, opened: ConsumerOpened, key: EventKey, tasks: &Tasks) -> Self {
        let every = opened.handing.wait() / 3;
        let desk = Self {
            inner: Arc::new(Inner {
                link,
                opened,
                key,
                held: Held::default(),
            }),
        };
        let (own, stop) = (desk.clone(), tasks.stopping());
        tasks.spawn("events at work", Failure::Logged, async move {
            while stop.run_until_cancelled(sleep(every)).await.is_some() {
                own.mention();
            }
        });
        desk
    }

    pub(super) fn link(&self) -> &Link {
        &self.inner.link
    }

    /// The durable, as the broker calls it.
    pub(super) fn consumer(&self) -> &str {
        &self.inner.opened.consumer
    }

    /// Lets what was said arrive.
    pub(super) async fn settle(&self) {
        self.inner.link.settle().await;
    }

    fn mention(&self) {
        for reply in self.inner.held.at_work() {
            self.link().working(&reply);
        }
    }

    /// The broker has handed out this much of a stream, and knows of no more.
    pub(super) fn void_behind(&self, stream: &str, delivered: u64) {
        self.inner.held.void_behind(stream, delivered);
    }

    /// Takes what was handed out. Nothing where it is answered already: it is not wished for, no
    /// event, or was handed out too often.
    pub(super) async fn take(
        &self,
        stream: &str,
        handed: Handed,
        wish: &Sieve,
        room: OwnedSemaphorePermit,
    ) -> Option<Delivery> {
        let void = self.inner.held.take(&handed.reply, stream, handed.sequence);
        let claim = Claim {
            desk: self.clone(),
            reply: handed.reply.clone(),
            replay: (stream == store::REPLAYS).then_some(handed.sequence),
            answered: false,
            void,
            _room: room,
        };
        let place = place(stream, &handed);
        let parts = if place.is_replay {
            subject::replay_parts(&handed.subject)
        } else {
            subject::event_parts(&handed.subject)
        };
        let event = match parts.map(|(source, _)| Event::read(&handed.body, source)) {
            Some(Ok(event)) => event,
            Some(Err(error)) => {
                let why = format!("it can't be read: {}", error.message());
                self.answered(claim.give_up(&place, &why).await);
                return None;
            }
            None => {
                self.answered(
                    claim
                        .give_up(&place, "its subject is none of an event")
                        .await,
                );
                return None;
            }
        };
        // The broker's filters let a little more pass.
        if !place.is_replay && !wish.wants(&event) {
            self.answered(claim.done().await);
            return None;
        }
        // Its last try ended without a word: whoever had it may have died of it.
        if place.attempt > self.inner.opened.handing.tries {
            let why = "nobody answered it; whoever had it may have ended";
            let tried = Place {
                attempt: place.attempt - 1,
                ..place
            };
            self.answered(claim.give_up(&tried, why).await);
            return None;
        }
        Some(Delivery {
            event,
            place,
            claim,
        })
    }

    fn answered(&self, answered: Result<(), Error>) {
        if let Err(error) = answered {
            tracing::warn!(consumer = self.consumer(), %error, "an event was not answered; it comes again");
        }
    }

    async fn write(&self, letter: &Letter, replay: Option<u64>) -> Result<(), Error> {
        let message = Message {
            subject: subject::dead_letter(&letter.stream, self.consumer()),
            id: self.inner.key.message_id(&letter.key(replay)),
            headers: Vec::new(),
            body: serde_json::to_vec(letter).expect("a letter is JSON").into(),
        };
        let link = self.link();
        insist(|| link.keep(&message, ANSWER_MAX).map(|kept| kept.map(drop))).await
    }
}

/// Where an event stands. A replay says where it stood first; that it is one, its stream says.
fn place(stream: &str, handed: &Handed) -> Place {
    let is_replay = stream == store::REPLAYS;
    let first = handed.replay.as_deref().filter(|_| is_replay);
    let first = first.and_then(|cursor| cursor.rsplit_once(':'));
    let first = first.and_then(|(stream, sequence)| Some((stream, sequence.parse().ok()?)));
    let (stream, sequence) = first.unwrap_or((stream, handed.sequence));
    Place {
        stream: stream.to_owned(),
        sequence,
        at: handed.at / 1_000_000,
        attempt: handed.tries,
        is_replay,
    }
}
