//! The streams of events: made and kept as they are defined, and the secrets under whose ids
//! members publish to them.

use super::{connect::Wire, definition, life::Voice};
use crate::{
    error::Error,
    event::{Declared, EventKey, Types, streams_with},
    name::{Identity, ServerName},
};

/// What the control plane knows of events.
#[derive(Debug)]
pub(super) struct Events {
    declared: Declared,
    /// What only this mesh knows.
    secret: Box<[u8]>,
}

impl Events {
    /// Makes the streams of the catalogue's domains and of the declared ones, or brings those that
    /// are there in line.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the declaration contradicts itself; `INTERNAL_ERROR` where a stream
    /// differs in a way that can't be changed without loss.
    pub(super) async fn start(
        wire: &Wire,
        declared: Declared,
        secret: &[u8],
        replicas: usize,
    ) -> Result<Self, Error> {
        Types::new(&declared)?;
        let durables = definition::of_durables(replicas);
        for wanted in definition::events(&declared.domains, replicas)
            .iter()
            .chain(&durables)
        {
            definition::reconcile(wire, wanted).await?;
        }
        Ok(Self {
            declared,
            secret: secret.into(),
        })
    }

    /// What there is beyond the catalogue.
    pub(super) const fn declared(&self) -> &Declared {
        &self.declared
    }

    /// The streams that keep events.
    pub(super) fn streams(&self) -> Vec<String> {
        streams_with(&self.declared.domains)
    }

    /// What the control plane's own events are told with.
    pub(super) fn voice(&self, wire: &Wire) -> Voice {
        let source = ServerName::weft().identity();
        Voice {
            wire: wire.clone(),
            key: self.event_key(&source),
            source,
        }
    }

    /// With what this identity's ids are made.
    pub(super) fn event_key(&self, who: &Identity) -> EventKey {
        EventKey::read(&self.key(who)).expect("a secret that was derived is one")
    }

    /// The secret under whose ids this identity publishes.
    pub(super) fn key(&self, who: &Identity) -> String {
        EventKey::derived(&self.secret, who)
    }
}
