//! The tools about durable subscriptions.

use std::collections::BTreeMap;

use super::{Desk, Outcome};
use crate::{
    call::Principal,
    control::tokens::invalid,
    error::{Error, Kind},
    event::{
        ConsumerMend, ConsumerMended, ConsumerNamed, ConsumerOpen, ConsumerPage, ConsumerRemoved,
        consumer_name, consumer_parts, domains_of,
    },
    name::Identity,
};

impl Desk {
    pub(super) async fn consumer_open(
        &self,
        by: &Principal,
        asked: ConsumerOpen,
    ) -> Result<Outcome, Error> {
        let declared = &self.events.declared().domains;
        let mut filters = BTreeMap::new();
        for stream in asked.wish.streams(declared)? {
            let domains = domains_of(&stream, declared);
            let own = asked.wish.filters(&domains, "subscribe", by)?;
            if !own.is_empty() {
                filters.insert(stream, own);
            }
        }
        if filters.is_empty() {
            return Err(invalid(
                "argument `wish`: no stream keeps events of these types",
            ));
        }
        let opened = self.durables.open(&by.identity, asked, filters).await?;
        Ok(Outcome::new(&opened))
    }

    pub(super) async fn consumer_list(&self, by: &Principal) -> Result<Outcome, Error> {
        let all = by.may("read", &["mesh/consumers"]);
        let of = (!all).then_some(&by.identity);
        let consumers = self.durables.list(of).await?;
        Ok(Outcome::new(&ConsumerPage { consumers }))
    }

    pub(super) async fn consumer_remove(
        &self,
        by: &Principal,
        asked: ConsumerNamed,
    ) -> Result<Outcome, Error> {
        let consumer = consumer_name(&by.identity, &asked.name);
        let streams = self.durables.remove(&consumer).await?;
        Ok(Outcome::new(&ConsumerRemoved { consumer, streams }))
    }

    pub(super) async fn consumer_mend(
        &self,
        by: &Principal,
        asked: ConsumerMend,
    ) -> Result<Outcome, Error> {
        let (consumer, stream) = (asked.consumer.as_str(), asked.stream.as_str());
        if self.durables.get(consumer).is_none() {
            return Err(crate::control::durables::absent(consumer));
        }
        self.own(by, consumer, "admin")?;
        let of = consumer_parts(consumer).map_or_else(|| by.identity.clone(), |(of, _)| of);
        let place = (stream, consumer);
        let unreadable = self.letters.mend(&of, place, &self.durables, &self.events);
        let unreadable = unreadable.await?;
        Ok(Outcome::new(&ConsumerMended { unreadable }))
    }

    /// That a durable is the caller's own, or that he may do that with any.
    pub(super) fn own(&self, by: &Principal, consumer: &str, action: &str) -> Result<(), Error> {
        if is_of(&by.identity, consumer) || by.may(action, &["mesh/dlq"]) {
            return Ok(());
        }
        let shown: String = consumer.chars().take(100).collect();
        let needs = format!("{action}:mesh/dlq");
        Err(Error::new(
            Kind::AccessDenied,
            format!("`{shown}` is no durable of `{}`, and for others' the permission `{needs}` is needed", by.identity),
        )
        .with("needs", needs))
    }
}

/// Whether a durable is this identity's.
pub(super) fn is_of(who: &Identity, consumer: &str) -> bool {
    consumer_parts(consumer).is_some_and(|(of, _)| of == *who)
}
