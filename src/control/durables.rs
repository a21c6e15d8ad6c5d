//! Durable subscriptions: a consumer of the same name on each stream that keeps events of its wish.
//!
//! The broker's consumers are the record; what is known here is a copy of it, for the callout: who
//! connects may pull from, and answer to, exactly the consumers that are his and whose events his
//! token still lets him see.

mod wanted;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::jetstream::{
    self,
    consumer::{self, DeliverPolicy, pull},
};
use futures_util::TryStreamExt as _;
use tokio::time::timeout;

use self::wanted::{About, Wanted, config_of};
use super::{
    connect::{Listener, REQUEST_MAX, Wire, unavailable},
    readers,
    tokens::invalid,
};
use crate::{
    call::Principal,
    error::{Error, Kind},
    event::{
        ConsumerEntry, ConsumerOpen, ConsumerOpened, DURABLES_MAX, DurableName, Event,
        consumer_name, consumer_parts,
    },
    name::{Identity, id, store},
    spawn::{Failure, Tasks},
};

/// Where the broker says that a consumer came or went.
const NEWS: &str = "$JS.EVENT.ADVISORY.CONSUMER.*.*.*";
/// How long the consumers of one durable, or the list of all of one stream, may take.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// The durables there are. Clones are handles to the same.
#[derive(Clone, Debug)]
pub(super) struct Durables {
    wire: Wire,
    known: Arc<Mutex<BTreeMap<String, Durable>>>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Durable {
    pub(super) identity: Identity,
    pub(super) name: DurableName,
    about: About,
    streams: BTreeSet<String>,
}

impl Durable {
    /// Whether it is one of its events.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.about.wish.sieve().wants(event)
    }
}

impl Durables {
    /// Reads which there are, and hears of new ones from then on.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where the broker does not say.
    pub(super) async fn start(
        wire: Wire,
        streams: Vec<String>,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        // First the news, so that nothing comes between them and the list.
        let mut news = Listener::open(wire.clone(), NEWS, None).await?;
        let durables = Self {
            wire,
            known: Arc::default(),
        };
        for stream in streams.iter().map(String::as_str).chain([store::REPLAYS]) {
            durables.read(stream).await?;
        }
        let (own, stop) = (durables.clone(), tasks.stopping());
        tasks.spawn("durables", Failure::Logged, async move {
            let hear = async {
                loop {
                    let message = news.next().await;
                    own.hear(&message.subject).await;
                }
            };
            tokio::select! { () = stop.cancelled() => {}, () = hear => {} }
        });
        Ok(durables)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Durable>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The durable of this name, as the broker calls it.
    pub(super) fn get(&self, consumer: &str) -> Option<Durable> {
        self.known().get(consumer).cloned()
    }

    /// The streams and consumers that this identity may pull from.
    pub(super) fn of(&self, who: &Principal) -> Vec<(String, String)> {
        let known = self.known();
        let own = known.iter().filter(|(_, durable)| {
            let wish = &durable.about.wish;
            durable.identity == who.identity && wish.permitted("subscribe", who).is_ok()
        });
        own.flat_map(|(consumer, durable)| {
            let streams = durable.streams.iter();
            streams.map(|stream| (stream.clone(), consumer.clone()))
        })
        .collect()
    }

    /// Opens a durable, or brings the one that is there in line. `filters` are those of its streams.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where it can't be changed so, `SERVER_OVERLOADED` where there are too many
    /// or the broker does not do it.
    pub(super) async fn open(
        &self,
        who: &Identity,
        asked: ConsumerOpen,
        filters: BTreeMap<String, Vec<String>>,
    ) -> Result<ConsumerOpened, Error> {
        asked.handing.check()?;
        let named = asked.name.is_some();
        let name = match asked.name {
            Some(name) => name,
            None => {
                DurableName::new(&id::delivery()).map_err(|error| invalid(error.to_string()))?
            }
        };
        let consumer = consumer_name(who, &name);
        self.may_open(who, &consumer, &filters)?;
        let about = About {
            wish: asked.wish,
            handing: asked.handing,
        };
        let wanted = Wanted {
            consumer: &consumer,
            about: &about,
            named,
        };
        let mut streams = Vec::new();
        for (stream, filters) in filters {
            let from = readers::policy(asked.from)?;
            self.make(&wanted, &stream, filters, from).await?;
            streams.push(stream);
        }
        // What was delivered to another that had this name is not its business.
        let own = vec![format!("{}.{consumer}.>", store::REPLAY_SUBJECTS)];
        self.make(&wanted, store::REPLAYS, own, DeliverPolicy::New)
            .await?;
        streams.push(store::REPLAYS.to_owned());
        let durable = Durable {
            identity: who.clone(),
            name,
            about: about.clone(),
            streams: streams.iter().cloned().collect(),
        };
        self.known().insert(consumer.clone(), durable);
        Ok(ConsumerOpened {
            consumer,
            streams,
            handing: about.handing,
        })
    }

    fn may_open(
        &self,
        who: &Identity,
        consumer: &str,
        filters: &BTreeMap<String, Vec<String>>,
    ) -> Result<(), Error> {
        let known = self.known();
        if let Some(there) = known.get(consumer) {
            let read =
                |stream: &&String| *stream != store::REPLAYS && !filters.contains_key(*stream);
            return match there.streams.iter().find(read) {
                None => Ok(()),
                Some(stream) => Err(invalid(format!(
                    "the durable `{}` reads {stream}, and would lose its place there: remove it first \
                     (consumer_remove), or give the new one another name",
                    there.name
                ))),
            };
        }
        let own = known.values().filter(|durable| durable.identity == *who);
        if own.count() >= DURABLES_MAX {
            return Err(Error::new(
                Kind::ServerOverloaded,
                format!(
                    "`{who}` has {DURABLES_MAX} durables; that is the limit: remove one (consumer_remove)"
                ),
            ));
        }
        Ok(())
    }

    async fn make(
        &self,
        wanted: &Wanted<'_>,
        stream: &str,
        filters: Vec<String>,
        from: DeliverPolicy,
    ) -> Result<(), Error> {
        let name = wanted.consumer;
        let failed = |what: &str| unavailable(&format!("the stream {stream} {what}"));
        let refused = || failed("takes no durable subscriber");
        let make = async {
            let stream = self.wire.stream(stream).await?;
            match stream.get_consumer::<pull::Config>(name).await {
                Ok(there) => {
                    let there = &there.cached_info().config;
                    let before = config_of(there)
                        .ok_or_else(|| failed("has another consumer of that name"))?;
                    let after = wanted.config(filters, before.deliver_policy);
                    let made = stream.update_consumer(after).await;
                    made.map(drop).map_err(|error| refused().source(error))
                }
                Err(_) => {
                    let new = wanted.config(filters, from);
                    let made = stream.create_consumer(new).await;
                    made.map(drop).map_err(|error| refused().source(error))
                }
            }
        };
        timeout(OPEN_MAX, make)
            .await
            .map_err(|_| failed("does not answer"))?
    }

    /// Removes a durable; gives the streams that it was on.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` where there is none, and what the broker says.
    pub(super) async fn remove(&self, consumer: &str) -> Result<Vec<String>, Error> {
        let Some(durable) = self.get(consumer) else {
            return Err(absent(consumer));
        };
        for stream in &durable.streams {
            let context = jetstream::new(self.wire.client());
            let removed = context.delete_consumer_from_stream(consumer, stream);
            let failed = || unavailable(&format!("the stream {stream} did not let it go"));
            // Another control plane may have been first.
            if timeout(REQUEST_MAX, removed)
                .await
                .map_err(|_| failed())?
                .is_err()
            {
                tracing::debug!(consumer, stream, "it was gone already");
            }
        }
        self.known().remove(consumer);
        Ok(durable.streams.into_iter().collect())
    }

    /// How far they are: those of one identity, or all.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where the broker does not say.
    pub(super) async fn list(&self, of: Option<&Identity>) -> Result<Vec<ConsumerEntry>, Error> {
        let known: Vec<_> = self.known().clone().into_iter().collect();
        let mut all = Vec::new();
        for (consumer, durable) in known {
            if of.is_some_and(|of| *of != durable.identity) {
                continue;
            }
            for stream in &durable.streams {
                let info = self.info(stream, &consumer).await?;
                all.extend(info.map(|info| entry(&durable, stream, &info)));
            }
        }
        Ok(all)
    }

    /// What the broker says of a consumer; nothing where it has gone.
    pub(super) async fn info(
        &self,
        stream: &str,
        consumer: &str,
    ) -> Result<Option<consumer::Info>, Error> {
        let asked = async {
            let stream = self.wire.stream(stream).await?;
            Ok::<_, Error>(stream.consumer_info(consumer).await.ok())
        };
        timeout(REQUEST_MAX, asked)
            .await
            .map_err(|_| unavailable(&format!("the stream {stream} does not answer")))?
    }

    async fn read(&self, stream: &str) -> Result<(), Error> {
        let failed = || unavailable(&format!("the stream {stream} does not list its consumers"));
        let list = async {
            let opened = self.wire.stream(stream).await?;
            opened
                .consumers()
                .try_collect::<Vec<_>>()
                .await
                .map_err(|error| failed().source(error))
        };
        let all = timeout(OPEN_MAX, list).await.map_err(|_| failed())??;
        for info in all {
            self.note(stream, &info);
        }
        Ok(())
    }

    /// `$JS.EVENT.ADVISORY.CONSUMER.{CREATED|DELETED|…}.{stream}.{consumer}`
    async fn hear(&self, subject: &str) {
        let parts: Vec<_> = subject.split('.').collect();
        let [.., what, stream, consumer] = parts[..] else {
            return;
        };
        if consumer_parts(consumer).is_none() {
            return;
        }
        match what {
            "CREATED" => match self.info(stream, consumer).await {
                Ok(info) => info.iter().for_each(|info| self.note(stream, info)),
                Err(error) => tracing::warn!(consumer, %error, "a new durable is not known yet"),
            },
            "DELETED" => self.forget(stream, consumer),
            _ => {}
        }
    }

    fn note(&self, stream: &str, info: &consumer::Info) {
        let about = About::of(&info.config);
        let (Some(about), Some((identity, name))) = (about, consumer_parts(&info.name)) else {
            return;
        };
        let mut known = self.known();
        let durable = known.entry(info.name.clone()).or_insert(Durable {
            identity,
            name,
            about,
            streams: BTreeSet::new(),
        });
        durable.streams.insert(stream.to_owned());
    }

    fn forget(&self, stream: &str, consumer: &str) {
        let mut known = self.known();
        if let Some(durable) = known.get_mut(consumer) {
            durable.streams.remove(stream);
            if durable.streams.is_empty() {
                known.remove(consumer);
            }
        }
    }
}

fn entry(durable: &Durable, stream: &str, info: &consumer::Info) -> ConsumerEntry {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    ConsumerEntry {
        identity: durable.identity.clone(),
        name: durable.name.clone(),
        stream: stream.to_owned(),
        pending: info.num_pending,
        unanswered: count(info.num_ack_pending),
        repeated: count(info.num_redelivered),
        done_to: info.ack_floor.stream_sequence,
    }
}

/// There is no such durable.
pub(super) fn absent(consumer: &str) -> Error {
    let shown: String = consumer.chars().take(100).collect();
    Error::new(
        Kind::ResourceNotFound,
        format!("there is no durable `{shown}`: consumer_list shows those there are"),
    )
}
