//! Readers of event streams: each is pushed what it asked for, to a subject that only it knows.
//!
//! The broker ends a reader's consumer 30 s after the reader has gone. One that lost something, or
//! hears nothing more, asks anew from where it was.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
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
    connect::{REQUEST_MAX, Wire, unavailable},
    tokens::invalid,
};
use crate::{
    error::{Error, Kind},
    event::{From, Opened},
    name::{Identity, id, subject},
};

/// How long a consumer outlives its reader.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// How often a stream that has nothing to send says so.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Readers of one identity; one more ends the oldest.
const OF_ONE_MAX: usize = 64;
/// Identities whose readers are remembered.
const IDENTITIES_MAX: usize = 10_000;

/// The readers there are.
#[derive(Debug)]
pub(super) struct Readers {
    wire: Wire,
    /// Stream and consumer of each, the oldest first.
    open: Mutex<HashMap<Identity, VecDeque<(String, String)>>>,
}

impl Readers {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            open: Mutex::default(),
        }
    }

    /// Has a stream push what these filters let pass.
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
        let config = push::Config {
            name: Some(name.clone()),
            description: Some(format!("a reader of {who}")),
            deliver_subject: subject::delivery(who, deliver),
            deliver_policy: policy(from)?,
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
            let mut context = jetstream::new(self.wire.client());
            context.set_timeout(REQUEST_MAX);
            let stream = context.get_stream(stream).await;
            let stream = stream.map_err(|error| failed("is not there").source(error))?;
            let state = &stream.cached_info().state;
            let consumer = stream.create_consumer(config).await;
            let consumer = consumer.map_err(|error| failed("takes no reader").source(error))?;
            Ok::<_, Error>(Opened {
                first: state.first_sequence,
                last: state.last_sequence,
                events: state.messages,
                pending: consumer.cached_info().num_pending,
            })
        };
        let opened = timeout(REQUEST_MAX * 2, opened);
        let holds = opened.await.map_err(|_| failed("does not answer"))??;
        if let Some((stream, consumer)) = self.remember(who, stream, name)? {
            self.end(&stream, &consumer).await;
        }
        Ok(holds)
    }

    /// Remembers a reader; gives the one that has to go for it.
    fn remember(
        &self,
        who: &Identity,
        stream: &str,
        consumer: String,
    ) -> Result<Option<(String, String)>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= IDENTITIES_MAX && !open.contains_key(who) {
            return Err(Error::new(
                Kind::ServerOverloaded,
                format!("{IDENTITIES_MAX} identities read events; that is the limit"),
            ));
        }
        let own = open.entry(who.clone()).or_default();
        own.push_back((stream.to_owned(), consumer));
        Ok((own.len() > OF_ONE_MAX).then(|| own.pop_front()).flatten())
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

fn policy(from: From) -> Result<DeliverPolicy, Error> {
    Ok(match from {
        From::Now => DeliverPolicy::New,
        From::Start => DeliverPolicy::All,
        From::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
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
