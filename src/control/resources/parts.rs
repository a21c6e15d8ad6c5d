//! Contents in parts, on a stream of their own: `weft.v1.res.{owner}.{upload}.{part}`.
//!
//! Part 0 says what is to come; the others, from 1, are the bytes. A part that is stored is never
//! written again, so a content can't change once its digest was checked. Nobody here holds more
//! than two parts at a time.

use std::collections::BTreeSet;

use async_nats::jetstream::{
    self, context::PublishErrorKind, message::PublishMessage, stream::LastRawMessageErrorKind,
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    control::{
        connect::{REQUEST_MAX, Wire, unavailable},
        definition,
        tokens::invalid,
    },
    error::{Error, Kind},
    name::{Identity, store},
    resource::{Draft, PART_BYTES},
};

/// Where a content is: whose room it takes, and its upload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) owner: Identity,
    pub(super) upload: Uuid,
}

/// Part 0: what an upload is to become.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Who began it.
    pub(super) by: Identity,
    pub(super) draft: Draft,
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl Plan {
    pub(super) const fn parts(&self) -> u64 {
        self.size.div_ceil(PART_BYTES as u64)
    }

    /// Bytes of this part.
    const fn bytes_of(&self, part: u64) -> u64 {
        let from = (part - 1) * PART_BYTES as u64;
        let left = self.size - from;
        if left < PART_BYTES as u64 {
            left
        } else {
            PART_BYTES as u64
        }
    }
}

impl Place {
    fn subject(&self, part: impl std::fmt::Display) -> String {
        let (owner, upload) = (&self.owner, self.upload.as_simple());
        format!("{}.{owner}.{upload}.{part}", store::RESOURCE_SUBJECTS)
    }

    /// When it began, milliseconds since 1970: its name says so.
    pub(super) const fn began_ms(&self) -> u64 {
        (self.upload.as_u128() >> 80) as u64
    }

    fn of_subject(subject: &str) -> Option<Self> {
        let rest = subject.strip_prefix(store::RESOURCE_SUBJECTS)?;
        let mut words = rest.strip_prefix('.')?.split('.');
        let owner = Identity::new(words.next()?).ok()?;
        let upload = Uuid::try_parse(words.next()?).ok()?;
        Some(Self { owner, upload })
    }
}

/// The stream of parts.
#[derive(Clone, Debug)]
pub(super) struct Parts(Wire);

impl Parts {
    pub(super) async fn open(wire: Wire, replicas: usize) -> Result<Self, Error> {
        definition::reconcile(&wire, &definition::of_resource_parts(replicas)).await?;
        Ok(Self(wire))
    }

    /// Stores part 0.
    pub(super) async fn plan(&self, place: &Place, plan: &Plan) -> Result<(), Error> {
        let body = serde_json::to_vec(plan).expect("a plan is JSON");
        self.put(place.subject(0), body.into()).await.map(drop)
    }

    /// Part 0, where that began.
    pub(super) async fn planned(&self, place: &Place) -> Result<Option<Plan>, Error> {
        let body = self.get(place.subject(0)).await?;
        Ok(body.and_then(|body| serde_json::from_slice(&body).ok()))
    }

    /// Stores a part, once: it may come again, and is to be the same then.
    pub(super) async fn add(
        &self,
        place: &Place,
        plan: &Plan,
        part: u64,
        bytes: Bytes,
    ) -> Result<(), Error> {
        if part == 0 || part > plan.parts() {
            return Err(invalid(format!("argument `part`: 1 to {}", plan.parts())));
        }
        let wanted = plan.bytes_of(part);
        if bytes.len() as u64 != wanted {
            let got = bytes.len();
            return Err(invalid(format!(
                "part {part} has {wanted} bytes; these are {got}"
            )));
        }
        if self.put(place.subject(part), bytes.clone()).await? {
            return Ok(());
        }
        if self.get(place.subject(part)).await? == Some(bytes) {
            return Ok(());
        }
        Err(invalid(format!(
            "part {part} was stored before, with other bytes"
        )))
    }

    /// That all parts are there and make what was planned.
    pub(super) async fn check(&self, place: &Place, plan: &Plan) -> Result<(), Error> {
        let mut digest = Sha256::new();
        for part in 1..=plan.parts() {
            let bytes = self.get(place.subject(part)).await?;
            digest.update(bytes.ok_or_else(|| invalid(format!("part {part} is missing")))?);
        }
        let got = HEXLOWER.encode(&digest.finalize());
        if got == plan.sha256 {
            return Ok(());
        }
        Err(invalid(format!(
            "the SHA-256 of the parts is {got}, and {} was announced",
            plan.sha256
        )))
    }

    /// A range of a content of `size` bytes; it lies within two parts.
    pub(super) async fn range(
        &self,
        place: &Place,
        (from, until): (u64, u64),
    ) -> Result<Vec<u8>, Error> {
        let part_bytes = PART_BYTES as u64;
        let mut found = Vec::new();
        if from >= until {
            return Ok(found);
        }
        for index in from / part_bytes..=(until - 1) / part_bytes {
            let bytes = self.get(place.subject(index + 1)).await?;
            let bytes = bytes.ok_or_else(changed)?;
            let within = |at: u64| {
                let at = at.saturating_sub(index * part_bytes);
                usize::try_from(at).unwrap_or(PART_BYTES).min(bytes.len())
            };
            found.extend_from_slice(&bytes[within(from)..within(until)]);
        }
        Ok(found)
    }

    /// Removes an upload with all of its parts.
    pub(super) async fn remove(&self, place: &Place) -> Result<(), Error> {
        let stream = self.0.stream(store::RESOURCE_PARTS).await?;
        let purge = async { stream.purge().filter(place.subject("*")).await };
        let failed = || unavailable("the parts of a resource could not be removed");
        let purged = timeout(REQUEST_MAX, purge).await.map_err(|_| failed())?;
        purged.map(drop).map_err(|error| failed().source(error))
    }

    /// All uploads there are, of one owner or of everybody.
    pub(super) async fn places(&self, owner: Option<&Identity>) -> Result<BTreeSet<Place>, Error> {
        let owner = owner.map_or("*", Identity::as_str);
        let filter = format!("{}.{owner}.*.*", store::RESOURCE_SUBJECTS);
        let failed = || unavailable("the stream of resources' parts can't be read");
        let read = async {
            use futures_util::TryStreamExt as _;
            let stream = self.0.stream(store::RESOURCE_PARTS).await?;
            let info = stream.info_with_subjects(filter).await;
            let subjects = info.map_err(|error| failed().source(error))?;
            let places = subjects.try_fold(BTreeSet::new(), async |mut all, (subject, _)| {
                all.extend(Place::of_subject(&subject));
                Ok(all)
            });
            places.await.map_err(|error| failed().source(error))
        };
        // Once more than other requests: there may be 50,000 of them.
        let read = timeout(2 * REQUEST_MAX, read).await;
        read.map_err(|_| failed())?
    }

    async fn get(&self, subject: String) -> Result<Option<Bytes>, Error> {
        let failed = || unavailable("a part of a resource can't be read");
        let read = async {
            let mut context = jetstream::new(self.0.client());
            context.set_timeout(REQUEST_MAX);
            let stream = context.get_stream_no_info(store::RESOURCE_PARTS).await;
            let stream = stream.map_err(|error| failed().source(error))?;
            match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => Ok(Some(message.payload)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(failed().source(error)),
            }
        };
        timeout(REQUEST_MAX, read).await.map_err(|_| failed())?
    }

    /// Says whether it was stored: there may be one already.
    async fn put(&self, subject: String, body: Bytes) -> Result<bool, Error> {
        let failed = || {
            unavailable("a part of a resource could not be stored: is there no room for contents?")
        };
        let write = async {
            let mut context = jetstream::new(self.0.client());
            context.set_timeout(REQUEST_MAX);
            let message = PublishMessage::build()
                .payload(body)
                .expected_last_subject_sequence(0);
            let sent = context.send_publish(subject, message).await;
            let stored = match sent {
                Ok(ack) => ack.await,
                Err(error) => Err(error),
            };
            match stored {
                Ok(_) => Ok(true),
                Err(error)
                    if error.kind() == PublishErrorKind::WrongLastSequence
                        // It has a second face in a cluster.
                        || error.to_string().contains("10164") =>
                {
                    Ok(false)
                }
                Err(error) => Err(failed().source(error)),
            }
        };
        timeout(REQUEST_MAX, write).await.map_err(|_| failed())?
    }
}

/// What was being read is not there any more.
pub(super) fn changed() -> Error {
    Error::new(
        Kind::ResourceNotFound,
        "the resource was changed or removed while it was read: begin again",
    )
}
