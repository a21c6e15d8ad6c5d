//! The control plane's buckets: the few operations that it needs.

use async_nats::jetstream::{
    self, Context,
    context::PublishErrorKind,
    message::PublishMessage,
    stream::{LastRawMessageErrorKind, Stream},
};
use bytes::Bytes;
use tokio::time::timeout;

use super::{
    connect::{REQUEST_MAX, Wire, unavailable},
    definition,
};
use crate::error::Error;

/// One bucket. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    wire: Wire,
    name: &'static str,
}

/// A value, and which write it came from.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) key: String,
    pub(super) value: Bytes,
    pub(super) revision: u64,
    /// When it was written, milliseconds since 1970.
    pub(super) at: u64,
}

/// What became of a write that asked for a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is stored, under this revision.
    As(u64),
    /// Somebody else wrote first.
    Lost,
}

impl Bucket {
    /// Opens a bucket, and makes it or brings it in line where need be.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` where what is there differs in a way that can't be changed without loss.
    pub(super) async fn open(
        wire: Wire,
        name: &'static str,
        replicas: usize,
    ) -> Result<Self, Error> {
        definition::reconcile(&wire, &definition::bucket(name, replicas)).await?;
        Ok(Self { wire, name })
    }

    fn context(&self) -> Context {
        let mut context = jetstream::new(self.wire.client());
        context.set_timeout(REQUEST_MAX);
        context
    }

    async fn stream(&self) -> Result<Stream<()>, Error> {
        self.context()
            .get_stream_no_info(format!("KV_{}", self.name))
            .await
            .map_err(|error| self.failed("has no stream").source(error))
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    /// The value of a key, as the leader has it: never a stale one.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Stored>, Error> {
        let read = async {
            let stream = self.stream().await?;
            match stream
                .get_last_raw_message_by_subject(&self.subject(key))
                .await
            {
                Ok(message) => Ok(self.stored(message)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(self.failed("could not be read").source(error)),
            }
        };
        self.in_time(read).await
    }

    /// The first value behind a revision, whatever its key; `None` where there is none. Markers
    /// of removed keys come with an empty value.
    pub(super) async fn after(&self, revision: u64) -> Result<Option<Stored>, Error> {
        let read = async {
            let stream = self.stream().await?;
            match stream
                .get_first_raw_message_by_subject(self.subject(">"), revision + 1)
                .await
            {
                Ok(message) => Ok(self.stored(message)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(self.failed("could not be read").source(error)),
            }
        };
        self.in_time(read).await
    }

    fn stored(&self, message: async_nats::jetstream::message::StreamMessage) -> Option<Stored> {
        let prefix = self.subject("");
        Some(Stored {
            key: message.subject.strip_prefix(&prefix)?.to_owned(),
            value: message.payload,
            revision: message.sequence,
            at: u64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0),
        })
    }

    /// The revision of the last write.
    pub(super) async fn last(&self) -> Result<u64, Error> {
        let read = async {
            let info = self.stream().await?.get_info().await;
            info.map(|info| info.state.last_sequence)
                .map_err(|error| self.failed("could not be read").source(error))
        };
        self.in_time(read).await
    }

    /// Writes a value; with a revision only where that is still the last one of the key (0: where
    /// there is none).
    pub(super) async fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: Option<u64>,
    ) -> Result<Written, Error> {
        let mut message = PublishMessage::build().payload(value.into());
        if let Some(revision) = expected {
            message = message.expected_last_subject_sequence(revision);
        }
        let write = async {
            let context = self.context();
            let sent = context.send_publish(self.subject(key), message).await;
            let failed = |error: jetstream::context::PublishError| match error.kind() {
                PublishErrorKind::WrongLastSequence => Ok(Written::Lost),
                // A lost compare-and-set has a second face in a cluster.
                _ if error.to_string().contains("10164") => Ok(Written::Lost),
                _ => Err(self.failed("could not be written").source(error)),
            };
            match sent {
                Ok(ack) => match ack.await {
                    Ok(ack) => Ok(Written::As(ack.sequence)),
                    Err(error) => failed(error),
                },
                Err(error) => failed(error),
            }
        };
        self.in_time(write).await
    }

    /// Removes a key for good, without a marker.
    pub(super) async fn remove(&self, key: &str) -> Result<(), Error> {
        let remove = async {
            let stream = self.stream().await?;
            let purged = stream.purge().filter(self.subject(key)).await;
            purged
                .map(drop)
                .map_err(|error| self.failed("could not be tidied").source(error))
        };
        self.in_time(remove).await
    }

    /// Removes what a key had up to this revision for good, and nothing that was written since.
    pub(super) async fn remove_until(&self, key: &str, revision: u64) -> Result<(), Error> {
        let remove = async {
            let stream = self.stream().await?;
            let purge = stream.purge().filter(self.subject(key));
            let purged = purge.sequence(revision + 1).await;
            purged
                .map(drop)
                .map_err(|error| self.failed("could not be tidied").source(error))
        };
        self.in_time(remove).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(REQUEST_MAX, work)
            .await
            .map_err(|_| self.failed("does not answer"))?
    }

    fn failed(&self, what: &str) -> Error {
        unavailable(&format!(
            "the bucket {} {what}; the broker's log says more",
            self.name
        ))
    }
}
