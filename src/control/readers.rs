//! Readers of event streams: each is pushed what it asked for, to a subject that only it knows.
//!
//! The broker ends a reader's consumer 30 s after the reader has gone. One that lost something, or
//! hears nothing more, asks anew from where it was.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, push},
};
use chrono::{DateTime, SecondsFormat};
use serde_json::json;
use tokio::time::timeout;

use super::{
    ahead,
    connect::{REQUEST_MAX, Wire, unavailable},
    raw::RawReader,
    tokens::invalid,
};
use crate::{
    error::Error,
    event::{From, Opened},
    name::{Identity, id, subject},
};

/// How long a consumer outlives its reader.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// How often a stream that has nothing to send says so.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Readers of one identity; one more ends the oldest.
const OF_ONE_MAX: usize = 64;
/// Identities whose readers are remembered; one more, and who opened none for longest is forgotten.
/// His readers go on, and he may open as many again.
const IDENTITIES_MAX: usize = 10_000;

/// The readers there are.
#[derive(Debug)]
pub(super) struct Readers {
    wire: Wire,
    known: Mutex<Known>,
}

/// Who opened which.
#[derive(Debug, Default)]
struct Known {
    of: HashMap<Identity, Own>,
    /// How many were ever opened.
    opened: u64,
}

/// The readers of one identity.
#[derive(Debug, Default)]
struct Own {
    /// Stream and consumer of each, the oldest first.
    open: VecDeque<(String, String)>,
    /// Which of all that were ever opened was its last.
    last: u64,
}

impl Readers {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            known: Mutex::default(),
        }
    }

    /// Has a stream push what these filters let pass, but for what would end the reader's
    /// connection at once.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where the broker does not do it.
    pub(super) async fn open(
        &self,
        (who, deliver): (&Identity, &str),
        stream: &str,
        filters: Vec<String>,
        from: From,
    ) -> Result<Opened, Error> {
        let failed = |what: &str| unavailable(&format!("the stream {stream} {what}"));
        let name = format!("r_{who}_{}", id::delivery());
        let raw = RawReader::new(self.wire.clone());
        let start = ahead::look(&raw, stream, &filters, from).await?;
        let config = push::Config {
            name: Some(name.clone()),
            description: Some(format!("a reader of {who}")),
            deliver_subject: subject::delivery(who, deliver),
            deliver_policy: policy(start.from)?,
            ack_policy: AckPolicy::None,
            filter_subjects: filters,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: GONE_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..push::Config::default()
        };
        let opened = async {
            let stream = self.wire.stream(stream).await?;
            let state = &stream.cached_info().state;
            let consumer = stream.create_consumer(config).await;
            let consumer = consumer.map_err(|error| failed("takes no reader").source(error))?;
            Ok::<_, Error>(Opened {
                first: state.first_sequence,
                last: state.last_sequence,
                events: state.messages,
                pending: consumer.cached_info().num_pending,
                unreadable: start.unreadable,
            })
        };
        let opened = timeout(REQUEST_MAX * 2, opened);
        let holds = opened.await.map_err(|_| failed("does not answer"))??;
        let excess = self.known().remember(who, (stream, name));
        if let Some((stream, consumer)) = excess {
            self.end(&stream, &consumer).await;
        }
        Ok(holds)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn end(&self, stream: &str, consumer: &str) {
        let context = jetstream::new(self.wire.client());
        let ended = context.delete_consumer_from_stream(consumer, stream);
        // It may have gone long ago.
        if let Ok(Err(error)) = timeout(REQUEST_MAX, ended).await {
            tracing::debug!(consumer, %error, "an old reader was not there");
        }
    }
}

impl Known {
    /// Remembers a reader; gives the one that has to go for it.
    fn remember(
        &mut self,
        who: &Identity,
        (stream, consumer): (&str, String),
    ) -> Option<(String, String)> {
        if self.of.len() >= IDENTITIES_MAX && !self.of.contains_key(who) {
            let idle = self.of.iter().min_by_key(|(_, own)| own.last);
            if let Some(idle) = idle.map(|(who, _)| who.clone()) {
                self.of.remove(&idle);
            }
        }
        self.opened += 1;
        let own = self.of.entry(who.clone()).or_default();
        own.last = self.opened;
        own.open.push_back((stream.to_owned(), consumer));
        (own.open.len() > OF_ONE_MAX)
            .then(|| own.open.pop_front())
            .flatten()
    }
}

pub(super) fn policy(from: From) -> Result<DeliverPolicy, Error> {
    Ok(match from {
        From::Now => DeliverPolicy::New,
        From::Start => DeliverPolicy::All,
        From::Sequence(number) => DeliverPolicy::ByStartSequence {
            // Numbers begin with 1, and the broker takes no other.
            start_sequence: number.max(1),
        },
        From::Time(ms) => {
            let wrong = || invalid(format!("argument `from`: {ms} is no time"));
            let at = i64::try_from(ms)
                .ok()
                .and_then(DateTime::from_timestamp_millis);
            let at = at
                .ok_or_else(wrong)?
                .to_rfc3339_opts(SecondsFormat::Millis, true);
            // The library's own type of a time depends on who else uses it.
            let policy = json!({"deliver_policy": "by_start_time", "opt_start_time": at});
            serde_json::from_value(policy).map_err(|_| wrong())?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_ends_the_oldest_of_the_same_identity_and_no_other() {
        let mut known = Known::default();
        let name = |name: &str| Identity::new(name).expect("a name");
        for n in 0..OF_ONE_MAX {
            let reader = ("WEFT_TASKS", format!("r{n}"));
            assert_eq!(known.remember(&name("one"), reader), None);
        }
        let reader = |consumer: &str| ("WEFT_TASKS", consumer.to_owned());
        assert_eq!(known.remember(&name("other"), reader("x")), None);
        let excess = known.remember(&name("one"), reader("y"));
        assert_eq!(excess, Some(("WEFT_TASKS".to_owned(), "r0".to_owned())));
    }

    #[test]
    fn who_comes_last_of_too_many_is_let_in() {
        let mut known = Known::default();
        let name = |n: usize| Identity::new(&format!("who-{n}")).expect("a name");
        let mut open = |n| known.remember(&name(n), ("WEFT_TASKS", format!("r{n}")));
        for n in 0..IDENTITIES_MAX {
            assert_eq!(open(n), None);
        }
        // The first opens another; so the second is who opened none for longest.
        assert_eq!(open(0), None);
        assert_eq!(open(IDENTITIES_MAX), None);
        assert_eq!(known.of.len(), IDENTITIES_MAX);
        assert!(known.of.contains_key(&name(0)) && !known.of.contains_key(&name(1)));
    }
}
