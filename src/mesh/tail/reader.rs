//! One stream's events, read by a task of their own that asks anew from where it was whenever
//! something was lost: a message, the connection, the broker.

use std::time::Duration;

use tokio::{sync::mpsc, time::sleep};

use super::{
    Stored, Told,
    lanes::{Item, Lane, QUEUE_MAX},
};
use crate::{
    bus::follow::{Following, Heard, Sent},
    error::{Error, Kind},
    event::{Event, From, Open, Opened, Sieve, Wish},
    mesh::{Beside, Mesh},
    name::subject,
    spawn::Failure,
};

/// How soon a stream that could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// So often in a row a stream may say that it has more, and send nothing.
const EMPTY_MAX: u32 = 5;

/// How far a stream is read.
#[derive(Clone, Copy, Debug)]
pub(in crate::mesh) enum Reach {
    /// On and on.
    On,
    /// To what is its last event when it is opened, and to what was stored at this time,
    /// milliseconds since 1970.
    Stored(u64),
}

/// The last of a stream that is read to its end.
#[derive(Clone, Copy)]
struct End {
    sequence: u64,
    at: u64,
}

/// Why a stream is not read on.
enum Pause {
    /// Something was lost.
    Lost,
    /// It has nothing more now.
    Idle,
    /// All that was asked for is told.
    Over,
    /// Nobody hears it.
    Unheard,
}

/// Reads one stream, again and again.
pub(super) struct Reader {
    mesh: Mesh,
    /// Where the stream sends to.
    beside: crate::bus::Link,
    wish: Wish,
    sieve: Sieve,
    stream: String,
    reach: Reach,
    /// How many events it was told to lack.
    holes: u64,
}

impl Reader {
    /// Opens a stream, and has a task read it. The first opening is awaited: what is wrong with it
    /// is for who asked to know.
    pub(super) async fn start(
        (mesh, beside): (&Mesh, &Beside),
        wish: &Wish,
        stream: String,
        (from, reach): (From, Reach),
    ) -> Result<Lane, Error> {
        let reader = Self {
            mesh: mesh.clone(),
            beside: beside.link().clone(),
            sieve: wish.sieve(),
            wish: wish.clone(),
            stream,
            reach,
            holes: 0,
        };
        let opened = reader.open(from).await?;
        let behind = opened.1.pending;
        let (tell, heard) = mpsc::channel(QUEUE_MAX);
        let run = reader.follow(from, opened, tell);
        let stop = beside.tasks().stopping();
        let task = async move {
            tokio::select! { () = stop.cancelled() => {}, () = run => {} }
        };
        let tasks = beside.tasks();
        tasks.spawn("events of a stream, read", Failure::Logged, task);
        Ok(Lane::new(heard, behind))
    }

    async fn open(&self, from: From) -> Result<(Following, Opened), Error> {
        let following = Following::open(&self.beside).await?;
        let arguments = Open {
            deliver: following.number().to_owned(),
            stream: self.stream.clone(),
            wish: self.wish.clone(),
            from,
            replay: matches!(self.reach, Reach::Stored(_)),
        };
        let opened = self.mesh.control("event_open", arguments).await?;
        Ok((following, opened))
    }

    async fn follow(
        mut self,
        mut from: From,
        (mut following, mut opened): (Following, Opened),
        tell: mpsc::Sender<Item>,
    ) {
        let end = match self.reach {
            Reach::On => None,
            Reach::Stored(at) => Some(End {
                sequence: opened.last,
                at,
            }),
        };
        let mut empty = 0;
        loop {
            if !self.begin(from, &opened, &tell).await {
                return;
            }
            let before = from;
            from = behind(from, &opened);
            if end.is_some() && (opened.pending == 0 || is_beyond(from, end)) {
                drop(tell.send(Item::Over).await);
                return;
            }
            // Nobody hears it any more: that ends it also while nothing comes.
            let pause = tokio::select! {
                pause = self.read(&mut following, &mut from, end, &tell) => pause,
                () = tell.closed() => Pause::Unheard,
            };
            empty = match pause {
                Pause::Unheard => return,
                Pause::Over => {
                    drop(tell.send(Item::Over).await);
                    return;
                }
                Pause::Idle if from == before => empty + 1,
                Pause::Idle | Pause::Lost => 0,
            };
            if empty >= EMPTY_MAX {
                let error = self.withheld(opened.pending);
                drop(tell.send(Item::Failed(error)).await);
                return;
            }
            let Some(again) = self.reopen(from, &tell).await else {
                return;
            };
            (following, opened) = again;
        }
    }

    /// Tells what comes, and remembers in `from` where to go on.
    async fn read(
        &self,
        following: &mut Following,
        from: &mut From,
        end: Option<End>,
        tell: &mpsc::Sender<Item>,
    ) -> Pause {
        loop {
            let sent = match following.heard().await {
                Some(Heard::Sent(sent)) => sent,
                // It said that there is more. Was that taken away meanwhile?
                Some(Heard::Idle) if end.is_some() => return Pause::Idle,
                Some(Heard::Idle) => continue,
                None => return Pause::Lost,
            };
            let beyond = |end: End| sent.sequence > end.sequence || sent.at_ms() > end.at;
            if end.is_some_and(beyond) {
                return Pause::Over;
            }
            *from = From::Sequence(sent.sequence + 1);
            let last = end.is_some_and(|end| sent.pending == 0 || sent.sequence == end.sequence);
            if tell.send(self.item(sent)).await.is_err() {
                return Pause::Unheard;
            }
            if last {
                return Pause::Over;
            }
        }
    }

    /// Opens anew until it goes; `None` where it will not, or nobody wants it any more.
    async fn reopen(&self, from: From, tell: &mpsc::Sender<Item>) -> Option<(Following, Opened)> {
        loop {
            match self.open(from).await {
                Ok(opened) => return Some(opened),
                Err(error) if error.kind() == Kind::AccessDenied => {
                    drop(tell.send(Item::Failed(error)).await);
                    return None;
                }
                Err(error) => tracing::debug!(stream = self.stream, %error, "not read now"),
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = tell.closed() => return None,
            }
        }
    }

    /// Says what a stream that was just opened holds, and lacks. Says whether somebody hears it.
    async fn begin(&mut self, from: From, opened: &Opened, tell: &mpsc::Sender<Item>) -> bool {
        let mut told = Vec::new();
        if let From::Sequence(wanted) = from
            && wanted.max(1) < opened.first
        {
            told.push(Told::Gone {
                stream: self.stream.clone(),
                numbers: (wanted.max(1), opened.first - 1),
            });
        }
        let missing = missing(opened);
        // Told once, and not again at each new opening.
        if missing > self.holes && from != From::Now {
            let stream = self.stream.clone();
            told.push(Told::Holes { stream, missing });
        }
        self.holes = missing;
        told.extend(opened.unreadable.iter().map(|number| Told::Unreadable {
            cursor: self.cursor(*number),
            why: "its headers would end the connection of whoever is sent them".to_owned(),
        }));
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
        let read = match subject::event_parts(&sent.subject) {
            Some((source, _)) => Event::read(&sent.body, source),
            None => return Item::Behind(behind),
        };
        let told = match read {
            Ok(event) if !self.sieve.wants(&event) => return Item::Behind(behind),
            Ok(event) => Told::Event(Box::new(Stored {
                event,
                at: sent.at_ms(),
                stream: self.stream.clone(),
                sequence: sent.sequence,
                body: sent.body,
            })),
            Err(error) => Told::Unreadable {
                cursor: self.cursor(sent.sequence),
                why: error.message().to_owned(),
            },
        };
        Item::Told { at, behind, told }
    }

    fn cursor(&self, sequence: u64) -> String {
        format!("{}:{sequence}", self.stream)
    }

    fn withheld(&self, pending: u64) -> Error {
        let stream = &self.stream;
        Error::new(
            Kind::ServerOverloaded,
            format!(
                "the stream {stream} says that it has {pending} more events, and sends none of \
                 them; the broker's log may say why"
            ),
        )
    }
}

/// Where to go on if nothing comes: behind what was passed over, and from what is now, for now.
fn behind(from: From, opened: &Opened) -> From {
    match (opened.unreadable.last(), from) {
        (Some(last), _) => From::Sequence(last + 1),
        (None, From::Now) => From::Sequence(opened.last + 1),
        (None, from) => from,
    }
}

fn is_beyond(from: From, end: Option<End>) -> bool {
    matches!((from, end), (From::Sequence(number), Some(end)) if number > end.sequence)
}

/// How many events a stream lacks between its first and its last.
const fn missing(opened: &Opened) -> u64 {
    if opened.events == 0 {
        return 0;
    }
    (opened.last + 1).saturating_sub(opened.first + opened.events)
}
