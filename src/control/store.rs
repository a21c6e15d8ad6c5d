//! The control plane's buckets: their definitions, and the few operations that it needs.
//!
//! A definition is a file in `nats/streams/`, so that whoever runs the broker can read it. A
//! bucket that is there already is brought in line where that loses nothing, and refused with the
//! difference where it would.

use std::time::Duration;

use async_nats::jetstream::{
    self, Context,
    context::PublishErrorKind,
    message::PublishMessage,
    stream::{Config, LastRawMessageErrorKind, Stream},
};
use bytes::Bytes;
use tokio::time::timeout;

use super::connect::{REQUEST_MAX, Wire, unavailable};
use crate::{
    error::{Error, Kind},
    name::store,
};

/// How long the creation of a bucket may take: a cluster elects a leader for it first.
const CREATE_MAX: Duration = Duration::from_secs(10);

/// The buckets there are, by name, each with its definition.
const DEFINITIONS: [(&str, &str); 2] = [
    (
        store::TOKENS,
        include_str!("../../nats/streams/KV_WEFT_TOKENS.json"),
    ),
    (
        store::SERVERS,
        include_str!("../../nats/streams/KV_WEFT_SERVERS.json"),
    ),
];

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
        let wanted = definition(name, replicas);
        let bucket = Self { wire, name };
        timeout(CREATE_MAX, bucket.reconcile(&wanted))
            .await
            .map_err(|_| bucket.failed("was not made in time"))??;
        Ok(bucket)
    }

    async fn reconcile(&self, wanted: &Config) -> Result<(), Error> {
        let context = self.context();
        let there = match context.get_stream(&wanted.name).await {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(_) => {
                let made = context.get_or_create_stream(wanted.clone()).await;
                made.map_err(|error| self.failed("could not be made").source(error))?
                    .cached_info()
                    .config
                    .clone()
            }
        };
        let lossy = lossy_differences(&there, wanted);
        if !lossy.is_empty() {
            return Err(Error::new(
                Kind::InternalError,
                format!(
                    "the bucket {} exists and is not as Weft needs it ({}). That can't be changed \
                     without losing what it holds: back it up, remove the stream {}, and start \
                     again",
                    self.name,
                    lossy.join("; "),
                    wanted.name
                ),
            ));
        }
        let aligned = aligned(&there, wanted);
        if aligned != there {
            tracing::info!(bucket = self.name, "brought in line with its definition");
            context
                .update_stream(aligned)
                .await
                .map_err(|error| self.failed("could not be brought in line").source(error))?;
        }
        Ok(())
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

/// The definition of a bucket, as data.
fn definition(name: &str, replicas: usize) -> Config {
    let (_, text) = DEFINITIONS
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("every bucket that is opened has its definition");
    let mut config: Config =
        serde_json::from_str(text).expect("the definitions are checked by a test");
    config.num_replicas = replicas;
    config
}

/// What could only be changed by losing what is stored.
fn lossy_differences(there: &Config, wanted: &Config) -> Vec<String> {
    let mut all = Vec::new();
    let mut differs = |what: &str, is: String, want: String| {
        if is != want {
            all.push(format!("{what} is {is} and must be {want}"));
        }
    };
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    differs("storage", text(&there.storage), text(&wanted.storage));
    differs("retention", text(&there.retention), text(&wanted.retention));
    differs("subjects", text(&there.subjects), text(&wanted.subjects));
    let mirrors = |config: &Config| config.mirror.is_some() || config.sources.is_some();
    differs("mirrored", text(&mirrors(there)), text(&mirrors(wanted)));
    differs("sealed", text(&there.sealed), text(&wanted.sealed));
    all
}

/// What is there, with what can be changed without loss as it should be. Room is only ever added.
fn aligned(there: &Config, wanted: &Config) -> Config {
    // -1 is no limit, and that is not bounded.
    let room = |is: i64, want: i64| if is < want { want } else { is };
    Config {
        description: wanted.description.clone(),
        discard: wanted.discard,
        num_replicas: wanted.num_replicas,
        max_bytes: room(there.max_bytes, wanted.max_bytes),
        max_messages: room(there.max_messages, wanted.max_messages),
        max_message_size: wanted.max_message_size,
        max_age: wanted.max_age,
        allow_rollup: wanted.allow_rollup,
        allow_direct: wanted.allow_direct,
        ..there.clone()
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::{DiscardPolicy, StorageType};

    use super::*;

    #[test]
    fn every_bucket_is_bounded_and_never_read_stale() {
        for (name, _) in DEFINITIONS {
            let config = definition(name, 3);
            assert_eq!(config.name, format!("KV_{name}"));
            assert_eq!(config.subjects, [format!("$KV.{name}.>")]);
            assert!(config.max_bytes > 0 && config.max_messages > 0 && config.max_message_size > 0);
            assert_eq!(config.max_messages_per_subject, 1);
            assert_eq!(
                (config.storage, config.discard),
                (StorageType::File, DiscardPolicy::New)
            );
            assert!(!config.allow_direct);
            assert_eq!(config.num_replicas, 3);
        }
    }

    #[test]
    fn harmless_differences_are_mended_and_lossy_ones_told() {
        let wanted = definition(store::TOKENS, 1);
        let mut there = wanted.clone();
        there.allow_direct = true;
        there.max_bytes = 1024;
        there.max_messages = 1 << 40;
        let mended = aligned(&there, &wanted);
        assert!(!mended.allow_direct && mended.max_bytes == wanted.max_bytes);
        assert_eq!(mended.max_messages, 1 << 40, "room is never taken away");
        assert!(lossy_differences(&there, &wanted).is_empty());
        there.storage = StorageType::Memory;
        let told = lossy_differences(&there, &wanted);
        assert_eq!(told, ["storage is Memory and must be File"]);
    }
}
