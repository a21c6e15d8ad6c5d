//! Following events: what is stored already, then what comes, without a gap between the two.
//!
//! Each stream has a task of its own that asks anew from where it was whenever something was lost:
//! a message, the connection, the broker. Of several streams history comes in the order in which it
//! was stored, and news as it comes.

use std::time::Duration;

use futures_util::future::select_all;
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::Mesh;
use crate::{
    bus::follow::{Following, Sent},
    error::{Error, Kind},
    event::{Declared, Event, From, Open, Opened, Sieve, Wish},
    name::subject,
    spawn::Failure,
};

/// Events of one stream that wait for who reads them.
const QUEUE_MAX: usize = 256;
/// How long the history of one stream waits for that of another.
const ORDER_MAX: Duration = Duration::from_secs(10);
/// How soon a stream that could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// An event that was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The event.
    pub event: Event,
    /// The stream that keeps it.
    pub stream: String,
    /// Its number there.
    pub sequence: u64,
    /// When it was stored, milliseconds since 1970.
    pub at: u64,
}

impl Stored {
    /// Where it stands, as a reader can begin behind it: `WEFT_TASKS:1234`.
    #[must_use]
    pub fn cursor(&self) -> String {
        format!("{}:{}", self.stream, self.sequence)
    }
}

/// What a reader is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// An event.
    Event(Box<Stored>),
    /// Something that is no event stands in the stream.
    Unreadable {
        /// Where: `WEFT_TASKS:1234`.
        cursor: String,
        /// Why it can't be read.
        why: String,
    },
    /// Events that were asked for are no longer there: their time is over, or somebody removed them.
    Gone {
        /// The stream.
        stream: String,
        /// The first and the last number of those that are missing.
        numbers: (u64, u64),
    },
    /// The stream lacks events between its first and its last.
    Holes {
        /// The stream.
        stream: String,
        /// How many.
        missing: u64,
    },
}

/// Events as they come. Dropping it ends it.
#[derive(Debug)]
pub struct Tail {
    lanes: Vec<Lane>,
}

/// One stream's events.
#[derive(Debug)]
struct Lane {
    from: mpsc::Receiver<Item>,
    /// What came and has to wait for its turn.
    head: Option<(u64, Told)>,
    /// How many stored events are still to come.
    behind: u64,
}

/// What the task of a stream says.
enum Item {
    Told { at: u64, behind: u64, told: Told },
    Behind(u64),
    Failed(Error),
}

impl Tail {
    /// Follows the events of a wish.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the wish is none, `ACCESS_DENIED` where this member may not see all of
    /// it, and what kept the control plane from answering.
    pub(super) async fn open(mesh: &Mesh, wish: Wish, from: &[Begin]) -> Result<Self, Error> {
        let declared: Declared = mesh.control("event_types", json!({})).await?;
        let mut lanes = Vec::new();
        for stream in wish.streams(&declared.domains)? {
            let begin = from.iter().find(|begin| begin.is_for(&stream));
            let begin = begin.map_or(From::Now, |begin| begin.from);
            let reader = Reader {
                mesh: mesh.clone(),
                sieve: wish.sieve(),
                wish: wish.clone(),
                stream,
            };
            // The first time while somebody waits for it: what is wrong is his to know.
            let opened = reader.open(begin).await?;
            let behind = opened.1.pending;
            let (tell, heard) = mpsc::channel(QUEUE_MAX);
            let run = reader.follow(begin, opened, tell);
            let stop = mesh.inner.tasks.stopping();
            let task = async move {
                tokio::select! { () = stop.cancelled() => {}, () = run => {} }
            };
            mesh.inner
                .tasks
                .spawn("tail of a stream", Failure::Logged, task);
            lanes.push(Lane {
                from: heard,
                head: None,
                behind,
            });
        }
        Ok(Self { lanes })
    }

    /// What comes next.
    ///
    /// # Errors
    /// What ended it: the permission was lost, or this member left.
    pub async fn next(&mut self) -> Result<Told, Error> {
        loop {
            self.history().await?;
            let ready = self.lanes.iter_mut().filter(|lane| lane.head.is_some());
            let first = ready.min_by_key(|lane| lane.head.as_ref().map(|(at, _)| *at));
            if let Some((_, told)) = first.and_then(|lane| lane.head.take()) {
                return Ok(told);
            }
            let waiting = self.lanes.iter_mut().map(|lane| Box::pin(lane.from.recv()));
            let (item, lane, _) = select_all(waiting).await;
            self.lanes[lane].take(item)?;
        }
    }

    /// Whether everything that was stored has been told: what comes now is new.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let told = |lane: &Lane| lane.behind == 0 && lane.head.is_none();
        self.lanes.iter().all(told)
    }

    /// Waits until each stream that is still in its history has something to show.
    async fn history(&mut self) -> Result<(), Error> {
        for lane in &mut self.lanes {
            while lane.head.is_none() && lane.behind > 0 {
                match timeout(ORDER_MAX, lane.from.recv()).await {
                    Ok(item) => lane.take(item)?,
                    // It goes on when it can; the others do now.
                    Err(_) => lane.behind = 0,
                }
            }
        }
        Ok(())
    }
}

impl Lane {
    fn take(&mut self, item: Option<Item>) -> Result<(), Error> {
        match item {
            Some(Item::Told { at, behind, told }) => {
                self.behind = behind;
                self.head = Some((at, told));
            }
            Some(Item::Behind(behind)) => self.behind = behind,
            Some(Item::Failed(error)) => return Err(error),
            None => return Err(Error::new(Kind::ServerOverloaded, "the mesh was left")),
        }
        Ok(())
    }
}

/// Where one stream begins, or all of them.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The stream; nothing: each.
    pub stream: Option<String>,
    /// Where.
    pub from: From,
}

impl Begin {
    fn is_for(&self, stream: &str) -> bool {
        self.stream.as_deref().is_none_or(|own| own == stream)
    }
}

/// Reads one stream, again and again.
struct Reader {
    mesh: Mesh,
    wish: Wish,
    sieve: Sieve,
    stream: String,
}

impl Reader {
    async fn open(&self, from: From) -> Result<(Following, Opened), Error> {
        let following = Following::open(self.mesh.link()).await?;
        let arguments = Open {
            deliver: following.number().to_owned(),
            stream: self.stream.clone(),
            wish: self.wish.clone(),
            from,
        };
        let opened = self.mesh.control("event_open", arguments).await?;
        Ok((following, opened))
    }

    async fn follow(
        self,
        mut from: From,
        (mut following, mut opened): (Following, Opened),
        tell: mpsc::Sender<Item>,
    ) {
        loop {
            let begun = self.begin(from, &opened, &tell).await;
            if from == From::Now {
                from = From::Sequence(opened.last + 1);
            }
            let read = async {
                while let Some(sent) = following.next().await {
                    from = From::Sequence(sent.sequence + 1);
                    if tell.send(self.item(sent)).await.is_err() {
                        return false;
                    }
                }
                true
            };
            // Nobody reads any more: that ends it also while nothing comes.
            let goes_on = tokio::select! {
                goes_on = read => goes_on,
                () = tell.closed() => false,
            };
            if !begun || !goes_on {
                return;
            }
            (following, opened) = loop {
                match self.open(from).await {
                    Ok(opened) => break opened,
                    Err(error) if error.kind() == Kind::AccessDenied => {
                        drop(tell.send(Item::Failed(error)).await);
                        return;
                    }
                    Err(error) => tracing::debug!(stream = self.stream, %error, "not read now"),
                }
                if tell.is_closed() {
                    return;
                }
                sleep(AGAIN).await;
            };
        }
    }

    /// Says what a stream that was just opened holds, and lacks. Says whether somebody hears it.
    async fn begin(&self, from: From, opened: &Opened, tell: &mpsc::Sender<Item>) -> bool {
        let mut told = Vec::new();
        if let From::Sequence(wanted) = from
            && wanted < opened.first
        {
            told.push(Told::Gone {
                stream: self.stream.clone(),
                numbers: (wanted, opened.first - 1),
            });
        }
        let missing = missing(opened);
        if missing > 0 && from != From::Now {
            let stream = self.stream.clone();
            told.push(Told::Holes { stream, missing });
        }
        for told in told {
            let (at, behind) = (0, opened.pending);
            if tell.send(Item::Told { at, behind, told }).await.is_err() {
                return false;
            }
        }
        tell.send(Item::Behind(opened.pending)).await.is_ok()
    }

    fn item(&self, sent: Sent) -> Item {
        let (at, behind) = (sent.at, sent.pending);
        let cursor = || format!("{}:{}", self.stream, sent.sequence);
        let read = match subject::event_parts(&sent.subject) {
            Some((source, _)) => Event::read(&sent.body, source),
            None => return Item::Behind(behind),
        };
        let told = match read {
            Ok(event) if !self.sieve.wants(&event) => return Item::Behind(behind),
            Ok(event) => Told::Event(Box::new(Stored {
                event,
                stream: self.stream.clone(),
                sequence: sent.sequence,
                at: at / 1_000_000,
            })),
            Err(error) => Told::Unreadable {
                cursor: cursor(),
                why: error.message().to_owned(),
            },
        };
        Item::Told { at, behind, told }
    }
}

/// How many events a stream lacks between its first and its last.
const fn missing(opened: &Opened) -> u64 {
    if opened.events == 0 {
        return 0;
    }
    (opened.last + 1).saturating_sub(opened.first + opened.events)
}
