//! How streams and buckets are defined, and how the broker's are brought in line with that.
//!
//! A definition is a file in `nats/streams/`, so that whoever runs the broker can read it. What is
//! there already is brought in line where that loses nothing, and refused with the difference where
//! it would.

use std::time::Duration;

use async_nats::jetstream::{self, stream::Config};
use tokio::time::timeout;

use super::connect::{REQUEST_MAX, Wire, unavailable};
use crate::{
    error::{Error, Kind},
    event::{Domain, STREAMS},
    name::store,
};

/// How long the creation of one may take: a cluster elects a leader for it first.
const CREATE_MAX: Duration = Duration::from_secs(10);

/// The definitions there are.
const DEFINITIONS: [&str; 16] = [
    include_str!("../../nats/streams/KV_WEFT_GRANTS.json"),
    include_str!("../../nats/streams/KV_WEFT_TOKENS.json"),
    include_str!("../../nats/streams/KV_WEFT_SERVERS.json"),
    include_str!("../../nats/streams/KV_WEFT_TOOLS.json"),
    include_str!("../../nats/streams/KV_WEFT_ONCE.json"),
    include_str!("../../nats/streams/KV_WEFT_RESOURCES.json"),
    include_str!("../../nats/streams/WEFT_RESOURCE_PARTS.json"),
    include_str!("../../nats/streams/WEFT_TASKS.json"),
    include_str!("../../nats/streams/WEFT_RESEARCH.json"),
    include_str!("../../nats/streams/WEFT_SWARM.json"),
    include_str!("../../nats/streams/WEFT_CONTEXT.json"),
    include_str!("../../nats/streams/WEFT_SYSTEM.json"),
    include_str!("../../nats/streams/WEFT_EVT_DOMAIN.json"),
    include_str!("../../nats/streams/WEFT_DLQ.json"),
    include_str!("../../nats/streams/WEFT_REPLAYS.json"),
    include_str!("../../nats/streams/WEFT_AUDIT.json"),
];
/// What a declared domain's is made from.
const TEMPLATE: &str = "WEFT_EVT_DOMAIN";

/// The definition of a bucket.
pub(super) fn bucket(name: &str, replicas: usize) -> Config {
    read(&format!("KV_{name}"), replicas)
}

/// The definitions of the streams that go with durable subscriptions.
pub(super) fn of_durables(replicas: usize) -> [Config; 2] {
    [store::LETTERS, store::REPLAYS].map(|name| read(name, replicas))
}

/// The definition of the stream of what was decided.
pub(super) fn of_audit(replicas: usize) -> Config {
    read(store::AUDIT, replicas)
}

/// The definition of the stream of resources' contents.
pub(super) fn of_resource_parts(replicas: usize) -> Config {
    read(store::RESOURCE_PARTS, replicas)
}

/// The definitions of all event streams, those of these declared domains among them.
pub(super) fn events(declared: &[Domain], replicas: usize) -> Vec<Config> {
    let own = STREAMS.iter().map(|(name, _)| read(name, replicas));
    let declared = declared.iter().map(|domain| {
        let mut config = read(TEMPLATE, replicas);
        config.name = domain.stream();
        config.subjects = vec![format!("{}.*.{domain}.>", store::EVENTS)];
        config.description = config
            .description
            .map(|text| text.replace("one declared domain", &format!("the domain {domain}")));
        config
    });
    own.chain(declared).collect()
}

fn read(name: &str, replicas: usize) -> Config {
    let mut all = DEFINITIONS.iter().map(|text| {
        serde_json::from_str::<Config>(text).expect("the definitions are checked by a test")
    });
    let mut config = all
        .find(|config| config.name == name)
        .expect("every stream that is opened has its definition");
    config.num_replicas = replicas;
    config
}

/// Makes a stream, or brings the one that is there in line.
///
/// # Errors
/// `INTERNAL_ERROR` where what is there differs in a way that can't be changed without loss,
/// `SERVER_OVERLOADED` where the broker does not do it in time.
pub(super) async fn reconcile(wire: &Wire, wanted: &Config) -> Result<(), Error> {
    let failed = |what: &str| {
        let name = &wanted.name;
        unavailable(&format!(
            "the stream {name} {what}; the broker's log says more"
        ))
    };
    let reconciled = async {
        let mut context = jetstream::new(wire.client());
        context.set_timeout(REQUEST_MAX);
        let there = match context.get_stream(&wanted.name).await {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(_) => {
                let made = context.get_or_create_stream(wanted.clone()).await;
                let made = made.map_err(|error| failed("could not be made").source(error))?;
                made.cached_info().config.clone()
            }
        };
        let lossy = lossy_differences(&there, wanted);
        if !lossy.is_empty() {
            return Err(lossy_error(&wanted.name, &lossy));
        }
        let aligned = aligned(&there, wanted);
        if aligned != there {
            tracing::info!(stream = wanted.name, "brought in line with its definition");
            let updated = context.update_stream(aligned).await;
            updated.map_err(|error| failed("could not be brought in line").source(error))?;
        }
        Ok(())
    };
    timeout(CREATE_MAX, reconciled)
        .await
        .map_err(|_| failed("was not made in time"))?
}

fn lossy_error(name: &str, lossy: &[String]) -> Error {
    Error::new(
        Kind::InternalError,
        format!(
            "the stream {name} exists and is not as Weft needs it ({}). That can't be changed \
             without losing what it holds: back it up, remove it, and start again",
            lossy.join("; ")
        ),
    )
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

/// What is there, with what can be changed without loss as it should be. Room and time are only
/// ever added.
fn aligned(there: &Config, wanted: &Config) -> Config {
    // -1 is no limit, and that is not bounded.
    let room = |is: i64, want: i64| if is < want { want } else { is };
    // Zero is for ever.
    let time = |is: Duration, want: Duration| {
        if is.is_zero() || want.is_zero() {
            Duration::ZERO
        } else {
            is.max(want)
        }
    };
    Config {
        description: wanted.description.clone(),
        discard: wanted.discard,
        num_replicas: wanted.num_replicas,
        max_bytes: room(there.max_bytes, wanted.max_bytes),
        max_messages: room(there.max_messages, wanted.max_messages),
        max_message_size: wanted.max_message_size,
        max_consumers: wanted.max_consumers,
        max_age: time(there.max_age, wanted.max_age),
        duplicate_window: wanted.duplicate_window,
        allow_rollup: wanted.allow_rollup,
        allow_direct: wanted.allow_direct,
        allow_atomic_publish: wanted.allow_atomic_publish,
        ..there.clone()
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::{DiscardPolicy, StorageType};

    use super::*;

    #[test]
    fn every_bucket_is_bounded_and_never_read_stale() {
        for name in [
            store::TOKENS,
            store::GRANTS,
            store::SERVERS,
            store::RESOURCES,
        ] {
            let config = bucket(name, 3);
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
        let wanted = bucket(store::TOKENS, 1);
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

    #[test]
    fn every_event_stream_is_bounded_and_loses_nothing() {
        let domain = Domain::new("my-order").expect("a domain");
        let all = events(&[domain], 3);
        assert_eq!(all.len(), STREAMS.len() + 1);
        for config in &all {
            assert!(
                config.max_bytes > 0 && config.max_message_size > 0 && config.max_consumers > 0
            );
            assert!(config.allow_atomic_publish && config.deny_delete && !config.allow_rollup);
            assert_eq!(
                (config.storage, config.discard, config.num_replicas),
                (StorageType::File, DiscardPolicy::New, 3)
            );
            // A publisher gives up before half of it.
            assert_eq!(config.duplicate_window, Duration::from_secs(600));
        }
        for ((name, domains), config) in STREAMS.iter().zip(&all) {
            let subjects = domains
                .iter()
                .map(|domain| format!("weft.v1.evt.*.{domain}.>"));
            assert_eq!(&config.name, name);
            assert_eq!(config.subjects, subjects.collect::<Vec<_>>());
        }
        let declared = all.last().expect("the declared one");
        assert_eq!(declared.name, "WEFT_EVT_MY-ORDER");
        assert_eq!(declared.subjects, ["weft.v1.evt.*.my-order.>"]);
    }

    #[test]
    fn events_are_never_kept_for_a_shorter_time_than_before() {
        let wanted = events(&[], 1).remove(0);
        let mut there = wanted.clone();
        there.max_age = Duration::from_secs(1);
        assert_eq!(aligned(&there, &wanted).max_age, wanted.max_age);
        there.max_age = wanted.max_age * 2;
        assert_eq!(aligned(&there, &wanted).max_age, there.max_age);
        there.max_age = Duration::ZERO;
        assert_eq!(aligned(&there, &wanted).max_age, Duration::ZERO);
    }
}
