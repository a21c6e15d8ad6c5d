//! Following events: what is stored already, then what comes, without a gap between the two.
//!
//! Each stream has a task of its own that asks anew from where it was whenever something was lost:
//! a message, the connection, the broker. Of several streams history comes in the order in which it
//! was stored, and news as it comes.

mod lanes;
mod reader;

use bytes::Bytes;
use serde_json::json;

use self::reader::Reader;
pub(super) use self::{lanes::Lanes, reader::Reach};
use super::{Beside, Mesh};
use crate::{
    error::{Error, Kind},
    event::{Declared, Event, From, Wish},
};

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
    /// Its body, byte by byte.
    pub body: Bytes,
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
    lanes: Lanes,
    _beside: Beside,
}

impl Tail {
    /// Follows the events of a wish.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the wish is none, `ACCESS_DENIED` where this member may not see all of
    /// it, and what kept the control plane from answering.
    pub(super) async fn open(mesh: &Mesh, wish: &Wish, begin: &[Begin]) -> Result<Self, Error> {
        let begins = |stream: &str| {
            let begin = begin.iter().find(|begin| begin.is_for(stream));
            begin.map_or(From::Now, |begin| begin.from)
        };
        let streams = streams(mesh, wish).await?.into_iter();
        let streams = streams.map(|stream| (begins(&stream), stream)).collect();
        let (lanes, beside) = read(mesh, wish, streams, Reach::On).await?;
        Ok(Self {
            lanes,
            _beside: beside,
        })
    }

    /// What comes next.
    ///
    /// # Errors
    /// What ended it: the permission was lost, or this member left.
    pub async fn next(&mut self) -> Result<Told, Error> {
        let told = self.lanes.next().await?;
        told.ok_or_else(|| Error::new(Kind::InternalError, "a tail of no stream"))
    }

    /// Whether everything that was stored has been told: what comes now is new.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.lanes.is_live()
    }
}

/// Reads these streams over a connection of their own: what is in them may end it.
pub(super) async fn read(
    mesh: &Mesh,
    wish: &Wish,
    streams: Vec<(From, String)>,
    reach: Reach,
) -> Result<(Lanes, Beside), Error> {
    let beside = mesh.connect_beside("events").await?;
    let mut lanes = Vec::new();
    for (from, stream) in streams {
        let on = (mesh, &beside);
        lanes.push(Reader::start(on, wish, stream, (from, reach)).await?);
    }
    Ok((Lanes::new(lanes), beside))
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
    pub(super) fn is_for(&self, stream: &str) -> bool {
        self.stream.as_deref().is_none_or(|own| own == stream)
    }
}

/// The streams that a wish is about.
pub(super) async fn streams(mesh: &Mesh, wish: &Wish) -> Result<Vec<String>, Error> {
    let declared: Declared = mesh.control("event_types", json!({})).await?;
    wish.streams(&declared.domains)
}
