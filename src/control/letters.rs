//! Dead letters: kept, shown with their events, delivered once more, dropped; and those written for
//! readers that died of an event.
//!
//! An event goes to a durable once more as a copy on the stream of replays, which that durable alone
//! pulls from its own subject. The letter is removed when the copy is stored.

use async_nats::HeaderMap;
use tokio::time::timeout;

use super::{
    connect::{REQUEST_MAX, Wire, unavailable},
    durables::Durables,
    events::Events,
    raw::{Raw, RawReader},
};
use crate::{
    error::{Error, Kind},
    event::{Event, LETTERS_MAX, Letter, LetterEntry, LetterList, LetterPage, LetterShown},
    name::{Identity, header, store, subject},
};

/// Messages that are looked at for one page, or after one lost connection.
const LOOKS_MAX: usize = 4096;

/// The dead letters.
#[derive(Debug)]
pub(super) struct Letters {
    wire: Wire,
    raw: RawReader,
}

impl Letters {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            raw: RawReader::new(wire.clone()),
            wire,
        }
    }

    /// Its eyes on single messages.
    pub(super) const fn raw(&self) -> &RawReader {
        &self.raw
    }

    /// A page of them, as far as `may_see` lets: of a consumer.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where the broker does not show them.
    pub(super) async fn list(
        &self,
        asked: &LetterList,
        may_see: impl Fn(&str) -> bool,
    ) -> Result<LetterPage, Error> {
        let limit = asked.limit.unwrap_or(LETTERS_MAX).min(LETTERS_MAX);
        let stream = asked.stream.as_deref().unwrap_or("*");
        let consumer = asked.consumer.as_deref().unwrap_or("*");
        let filter = subject::dead_letter(stream, consumer);
        let mut page = LetterPage {
            letters: Vec::new(),
            next: None,
        };
        let mut from = asked.after + 1;
        for _ in 0..LOOKS_MAX {
            let Some(raw) = self.raw.next(store::LETTERS, from, &filter).await? else {
                return Ok(page);
            };
            if page.letters.len() == limit {
                break;
            }
            from = raw.sequence + 1;
            let entry = read(&raw).filter(|entry| may_see(&entry.says.consumer));
            page.letters.extend(entry);
        }
        page.next = Some(from - 1);
        Ok(page)
    }

    /// The letter of this number.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` where there is none.
    pub(super) async fn get(&self, letter: u64) -> Result<LetterEntry, Error> {
        let raw = self.raw.get(store::LETTERS, letter).await?;
        raw.as_ref().and_then(read).ok_or_else(|| {
            let said =
                format!("there is no dead letter {letter}: `weft dlq list` shows those there are");
            Error::new(Kind::ResourceNotFound, said)
        })
    }

    /// A letter with its event, where the reader may see that.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where the broker does not show it.
    pub(super) async fn show(
        &self,
        entry: LetterEntry,
        may_see: impl Fn(&Event) -> bool,
    ) -> Result<LetterShown, Error> {
        let found = self.original(&entry.says).await?;
        let event = found.and_then(|raw| event_of(&raw)).and_then(|event| {
            let hidden = || format!("no permission subscribe:events/…/{}", event.kind);
            may_see(&event)
                .then_some(&event)
                .cloned()
                .ok_or_else(hidden)
        });
        let (event, lost) = match event {
            Ok(event) => (Some(event), None),
            Err(why) => (None, Some(why)),
        };
        Ok(LetterShown { entry, event, lost })
    }

    async fn original(&self, letter: &Letter) -> Result<Result<Raw, String>, Error> {
        let raw = self.raw.get(&letter.stream, letter.seq).await?;
        let gone = || format!("{}:{} is no longer there", letter.stream, letter.seq);
        Ok(raw.ok_or_else(gone))
    }

    /// Delivers the event of a letter to its durable once more, and removes the letter.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` where event or durable are no longer there, and what the broker says.
    pub(super) async fn redrive(
        &self,
        entry: &LetterEntry,
        durables: &Durables,
    ) -> Result<(), Error> {
        let letter = &entry.says;
        let gone = |why: String| Error::new(Kind::ResourceNotFound, why);
        let durable = durables.get(&letter.consumer);
        let durable = durable.ok_or_else(|| super::durables::absent(&letter.consumer))?;
        let raw = self.original(letter).await?.map_err(gone)?;
        let event = event_of(&raw).map_err(gone)?;
        // Who wrote the letter named any number of the stream that he liked.
        if !durable.wants(&event) {
            return Err(gone(format!("{} is no event of that durable", letter.seq)));
        }
        let id = format!("redrive-{}", entry.letter);
        self.deliver(&letter.consumer, &letter.stream, &raw, id)
            .await?;
        self.remove(entry.letter).await
    }

    /// Stores a copy of an event for a durable alone, once for an id.
    ///
    /// # Errors
    /// What the broker says.
    pub(super) async fn deliver(
        &self,
        consumer: &str,
        stream: &str,
        raw: &Raw,
        id: String,
    ) -> Result<(), Error> {
        let Some((source, kind)) = subject::event_parts(&raw.subject) else {
            return Err(unavailable("what is no event is delivered to nobody"));
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::REPLAY, format!("{stream}:{}", raw.sequence));
        headers.insert("Nats-Msg-Id", id);
        let to = subject::replay(consumer, source, kind);
        self.wire.keep(to, headers, raw.body.clone().into()).await
    }

    /// Removes a letter.
    ///
    /// # Errors
    /// What the broker says.
    pub(super) async fn remove(&self, letter: u64) -> Result<(), Error> {
        let failed = || unavailable(&format!("the dead letter {letter} could not be removed"));
        let stream = self.wire.stream(store::LETTERS).await?;
        let removed = timeout(REQUEST_MAX, stream.delete_message(letter)).await;
        let removed = removed.map_err(|_| failed())?;
        removed.map(drop).map_err(|error| failed().source(error))
    }

    /// Looks through what a durable was handed and did not answer. What no client can read becomes
    /// a dead letter of it, and is given up for it.
    ///
    /// # Errors
    /// What the broker says.
    pub(super) async fn mend(
        &self,
        of: &Identity,
        (stream, consumer): (&str, &str),
        durables: &Durables,
        events: &Events,
    ) -> Result<Vec<u64>, Error> {
        let Some(info) = durables.info(stream, consumer).await? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let last = info.delivered.stream_sequence;
        let mut from = info.ack_floor.stream_sequence + 1;
        for _ in 0..LOOKS_MAX {
            let Some(raw) = self.raw.next(stream, from, ">").await? else {
                break;
            };
            if raw.sequence > last {
                break;
            }
            from = raw.sequence + 1;
            if let Some(why) = raw.breaks() {
                let letter = Letter::new(stream, raw.sequence, consumer, 1, why);
                self.bury(of, &letter, events).await?;
                found.push(raw.sequence);
            }
        }
        Ok(found)
    }

    async fn bury(&self, of: &Identity, letter: &Letter, events: &Events) -> Result<(), Error> {
        let (stream, consumer, sequence) = (&letter.stream, &letter.consumer, letter.seq);
        let key = events.event_key(of);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", key.message_id(&letter.key(None)));
        let body = serde_json::to_vec(letter).expect("a letter is JSON");
        let to = subject::dead_letter(stream, consumer);
        self.wire.keep(to, headers, body.into()).await?;
        // As the reader would: the broker goes by the stream's number alone.
        let term = format!("$JS.ACK.{stream}.{consumer}.1.{sequence}.{sequence}.0.0");
        self.wire.publish(term, b"+TERM".to_vec()).await
    }
}

/// A letter as it is kept. Whose it is and of which stream, its subject says: the broker let nobody
/// else write there.
fn read(raw: &Raw) -> Option<LetterEntry> {
    let (stream, consumer) = subject::dead_letter_parts(&raw.subject)?;
    let says: Letter = serde_json::from_slice(&raw.body).ok()?;
    Some(LetterEntry {
        letter: raw.sequence,
        at: raw.at,
        says: Letter::new(stream, says.seq, consumer, says.attempts, &says.reason),
    })
}

/// The event in a message.
pub(super) fn event_of(raw: &Raw) -> Result<Event, String> {
    let (source, _) =
        subject::event_parts(&raw.subject).ok_or("its subject is none of an event")?;
    Event::read(&raw.body, source).map_err(|error| error.message().to_owned())
}
