//! What the broker is told of a durable: its consumers, and what they say of themselves.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, pull};
use serde::{Deserialize, Serialize};

use crate::event::{Handing, UNNAMED_GONE_AFTER, Wish};

/// Where a consumer says what it is.
const ABOUT: &str = "weft";
/// Pulls of one consumer that wait at the broker.
const PULLS_MAX: i64 = 512;

/// What a consumer says of its durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) wish: Wish,
    pub(super) handing: Handing,
}

impl About {
    /// What this consumer says; nothing where it is none of a durable.
    pub(super) fn of(config: &consumer::Config) -> Option<Self> {
        serde_json::from_str(config.metadata.get(ABOUT)?).ok()
    }
}

/// What a consumer is to be.
pub(super) struct Wanted<'a> {
    pub(super) consumer: &'a str,
    pub(super) about: &'a About,
    /// Without a name it is gone some time after the last of its readers.
    pub(super) named: bool,
}

impl Wanted<'_> {
    /// As the broker is told it.
    pub(super) fn config(&self, filter_subjects: Vec<String>, from: DeliverPolicy) -> pull::Config {
        let about = serde_json::to_string(self.about).expect("a durable is JSON");
        pull::Config {
            durable_name: Some(self.consumer.to_owned()),
            name: Some(self.consumer.to_owned()),
            deliver_policy: from,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.about.handing.wait(),
            // Without a limit: the broker would drop it in silence. Who reads counts, and writes
            // the dead letter.
            max_deliver: -1,
            filter_subjects,
            max_waiting: PULLS_MAX,
            max_ack_pending: i64::try_from(self.about.handing.in_flight).unwrap_or(i64::MAX),
            inactive_threshold: if self.named {
                Duration::ZERO
            } else {
                UNNAMED_GONE_AFTER
            },
            metadata: HashMap::from([(ABOUT.to_owned(), about)]),
            ..pull::Config::default()
        }
    }
}

/// A pull consumer's configuration; nothing where it is another kind's.
pub(super) fn config_of(config: &consumer::Config) -> Option<pull::Config> {
    use consumer::FromConsumer as _;
    pull::Config::try_from_consumer_config(config.clone()).ok()
}
