//! One writer: a bounded queue, and the task that stores what comes in messages of many records.
//!
//! A record that somebody waits for goes at once, and with it what came before; what nobody waits
//! for goes within 100 ms. One message is under way at a time, since each has the hash of the one
//! before it. What can't be stored is tried again until it can; after 2 s of that nothing more is
//! taken, so whatever would have to be written down is refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{
        mpsc::{self, error::SendTimeoutError},
        oneshot,
    },
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    record::{Decision, Page, Record, hash},
    sheet::Sheet,
};
use crate::{
    bus::{Link, keep::Message},
    error::{Error, Kind, case},
    name::{Instance, subject},
    spawn::{Failure, Tasks},
};

/// Records that wait.
const QUEUE_MAX: usize = 4096;
/// How long a record waits for others.
const GATHER: Duration = Duration::from_millis(100);
/// How long the broker may take for one try.
const TRY_MAX: Duration = Duration::from_secs(2);
/// How soon it is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// So long a broker that is started again may be away before anything is refused for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long somebody waits for room for a record: a disk that stalls for a moment slows calls down
/// and refuses none.
const ROOM_MAX: Duration = Duration::from_secs(1);
/// How long somebody waits for a record.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// Writes down what one writer decides. A cheap handle.
#[derive(Clone, Debug)]
pub struct Trail {
    queue: mpsc::Sender<Item>,
    /// Nothing can be stored now.
    failing: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Item {
    Record(Box<Record>, Option<oneshot::Sender<Stored>>),
    /// The writer ends.
    End(oneshot::Sender<Stored>),
}

/// Whether it was stored.
type Stored = bool;

impl Trail {
    /// Begins a chain of its own in the name of the link's identity; the task ends with `tasks`.
    #[must_use]
    pub fn start(link: Link, instance: &Instance, tasks: &Tasks) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let failing = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            subject: subject::audit(link.identity(), instance),
            sheet: Sheet::first(Page::first(link.identity(), instance)),
            link,
            told: Vec::new(),
            after: Vec::new(),
            failing: Arc::clone(&failing),
        };
        let stop = tasks.stopping();
        tasks.spawn("audit", Failure::Stops, async move {
            stop.run_until_cancelled(writer.run(queue)).await;
        });
        Self {
            queue: sender,
            failing,
        }
    }

    /// Writes a record within 200 ms, where there is room for it now; else gives it back.
    ///
    /// # Errors
    /// The record, for [`Trail::note`].
    pub fn try_note(&self, record: Record) -> Result<(), Box<Record>> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(Box::new(record));
        }
        let Ok(room) = self.queue.try_reserve() else {
            return Err(Box::new(record));
        };
        room.send(Item::Record(Box::new(record), None));
        Ok(())
    }

    /// Writes a record within 200 ms, once there is room for it.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` (AUDIT_UNAVAILABLE) where there is no room for a second, or nothing can
    /// be stored now: then it will not be written, and what it is about must not be done.
    pub async fn note(&self, record: Record) -> Result<(), Error> {
        self.take(Item::Record(Box::new(record), None)).await
    }

    /// Writes a record, and waits until it is stored.
    ///
    /// # Errors
    /// As [`Trail::note`]; also where it was not stored within 5 s. It may be written later all the
    /// same; where it said that something is allowed, it is followed by one that says it was not.
    pub async fn write(&self, record: Record) -> Result<(), Error> {
        let (told, stored) = oneshot::channel();
        self.take(Item::Record(Box::new(record), Some(told)))
            .await?;
        match timeout(WRITE_MAX, stored).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(unavailable("it was not acknowledged in time")),
        }
    }

    /// Writes a refusal, and gives what is told then: the refusal, or that it can't be written.
    pub async fn refuse(&self, record: Record, error: Error) -> Error {
        self.write(record).await.err().unwrap_or(error)
    }

    /// Writes what waits, says that this writer ends, and ends it. Says whether that was stored.
    pub async fn end(&self, within: Duration) -> bool {
        let (told, stored) = oneshot::channel();
        let end = async {
            // A writer that ended before has nothing more to write.
            let ended = self.queue.send(Item::End(told)).await.is_err();
            ended || stored.await.unwrap_or(false)
        };
        timeout(within, end).await.unwrap_or(false)
    }

    async fn take(&self, item: Item) -> Result<(), Error> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(unavailable("the stream WEFT_AUDIT takes nothing"));
        }
        let sent = self.queue.send_timeout(item, ROOM_MAX).await;
        sent.map_err(|unsent| match unsent {
            SendTimeoutError::Timeout(_) => {
                unavailable(&format!("{QUEUE_MAX} records wait already"))
            }
            SendTimeoutError::Closed(_) => unavailable("the writer has ended"),
        })
    }
}

fn unavailable(why: &str) -> Error {
    Error::new(
        Kind::ServerOverloaded,
        format!("what is decided has to be written down first, and can't be now: {why}"),
    )
    .case(case::AUDIT_UNAVAILABLE)
    .retry_after(Duration::from_secs(1))
}

/// The one task that stores.
struct Writer {
    link: Link,
    subject: String,
    /// What is gathered.
    sheet: Sheet,
    /// Who waits for it, and for which of its records.
    told: Vec<(usize, oneshot::Sender<Stored>)>,
    /// What goes into the next.
    after: Vec<Record>,
    failing: Arc<AtomicBool>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Item>) {
        while let Some(item) = queue.recv().await {
            let due = Instant::now() + GATHER;
            let mut ends = self.gather(item);
            while ends.is_none() && self.told.is_empty() && !self.sheet.is_full() {
                match timeout_at(due, queue.recv()).await {
                    Ok(Some(item)) => ends = self.gather(item),
                    Ok(None) | Err(_) => break,
                }
            }
            // What came meanwhile goes along.
            while ends.is_none() && !self.sheet.is_full() {
                match queue.try_recv() {
                    Ok(item) => ends = self.gather(item),
                    Err(_) => break,
                }
            }
            self.sheet.page.last = ends.is_some();
            self.store().await;
            if let Some(told) = ends {
                // Who ended it may have stopped waiting.
                told.send(true).ok();
                return;
            }
        }
    }

    /// Takes an item; gives who has to be told of the end, where it is that.
    fn gather(&mut self, item: Item) -> Option<oneshot::Sender<Stored>> {
        let (record, told) = match item {
            Item::Record(record, told) => (*record, told),
            Item::End(told) => return Some(told),
        };
        // Who gave up does not do what it allows.
        if told.as_ref().is_some_and(oneshot::Sender::is_closed) {
            self.sheet.add(undone(record));
            return None;
        }
        let place = self.sheet.add(record);
        self.told.extend(told.map(|told| (place, told)));
        None
    }

    /// Stores what is gathered, however long that takes, and begins the next message.
    async fn store(&mut self) {
        let body = serde_json::to_vec(&self.sheet.page).expect("texts and numbers are JSON");
        let hash = hash(&body);
        let message = Message {
            subject: self.subject.clone(),
            // What is in it nobody else can know before, so nobody can use its id before.
            id: hash.clone(),
            headers: Vec::new(),
            body: body.into(),
        };
        let patience = Instant::now() + PATIENCE;
        while let Err(unkept) = self.link.keep(&message, TRY_MAX).await {
            if Instant::now() >= patience {
                self.fail(&unkept.into_error());
            }
            sleep(AGAIN).await;
        }
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("decisions are written down again");
        }
        for (_, told) in self.told.drain(..) {
            // Who waited may have gone.
            told.send(true).ok();
        }
        self.sheet.turn(hash);
        for record in std::mem::take(&mut self.after) {
            self.sheet.add(record);
        }
    }

    /// It can't be stored: from now on nothing is taken, and who waits is told.
    fn fail(&mut self, error: &Error) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            let waiting = self.sheet.page.records.len();
            tracing::error!(
                %error, waiting,
                "decisions can't be written down: until they can, what needs that is refused"
            );
        }
        for (record, told) in self.told.drain(..) {
            let record = &self.sheet.page.records[record];
            if record.decision == Decision::Allowed {
                self.after.push(undone(record.clone()));
            }
            // Who waited may have gone.
            told.send(false).ok();
        }
    }
}

/// What was allowed and then not done, because nobody could write down that it was allowed.
fn undone(record: Record) -> Record {
    if record.decision != Decision::Allowed {
        return record;
    }
    let error = unavailable("it was not acknowledged in time");
    let refused = Record::refused(record.what.clone(), &error);
    Record {
        decision: refused.decision,
        why: refused.why,
        case: refused.case,
        at: refused.at,
        ..record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Started;

    fn trail(room: usize) -> (Trail, mpsc::Receiver<Item>) {
        let (queue, heard) = mpsc::channel(room);
        let failing = Arc::new(AtomicBool::new(false));
        (Trail { queue, failing }, heard)
    }

    fn record() -> Record {
        Record::new(Decision::Allowed, "x")
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_room_is_refused_and_not_forgotten() {
        let (trail, mut heard) = trail(1);
        trail.try_note(record()).expect("room for one");
        assert!(trail.try_note(record()).is_err());
        let full = trail.note(record()).await.expect_err("and for no other");
        assert!(full.is_case(case::AUDIT_UNAVAILABLE));
        assert_eq!(full.has_started(), Started::No);
        heard.recv().await.expect("the first");
        trail.note(record()).await.expect("the twin");
        heard.recv().await.expect("that");
        trail.failing.store(true, Ordering::Relaxed);
        assert!(trail.try_note(record()).is_err(), "nothing can be stored");
        assert!(trail.note(record()).await.is_err());
        assert!(trail.write(record()).await.is_err());
        trail.failing.store(false, Ordering::Relaxed);
        drop(heard);
        assert!(trail.try_note(record()).is_err(), "nobody writes any more");
        assert!(trail.note(record()).await.is_err());
        assert!(trail.end(Duration::ZERO).await, "it has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_waits_for_it() {
        let (trail, mut heard) = trail(1);
        trail.try_note(record()).expect("room for one");
        let stalled = async {
            sleep(ROOM_MAX / 2).await;
            heard.recv().await.expect("the first");
            heard.recv().await.expect("the second");
        };
        let (noted, ()) = tokio::join!(trail.note(record()), stalled);
        noted.expect("room, after a while");
    }
}
