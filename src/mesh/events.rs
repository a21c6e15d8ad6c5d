//! Events, as a member publishes them.
//!
//! ```no_run
//! # async fn f(mesh: weftbus::mesh::Mesh) -> Result<(), weftbus::error::Error> {
//! use serde_json::json;
//! use weftbus::event::Event;
//! let event = Event::new("research.completed", json!({"researchId": "r-4", "hits": 20}));
//! let published = mesh.events().publish(event.correlated("report-7")).await?;
//! println!("{} is number {} of {}", published.id, published.sequence, published.stream);
//! # Ok(())
//! # }
//! ```

use serde::Deserialize;
use serde_json::json;

use super::{Begin, Mesh, Outlet, Replay, Subscribe, Tail};
use crate::{
    error::Error,
    event::{Declared, Event, Published, Publisher, Receipt, Types, Wish},
};

/// The events of the mesh, for one member. A cheap handle.
#[derive(Clone, Debug)]
pub struct Events {
    mesh: Mesh,
}

impl Events {
    pub(super) const fn new(mesh: Mesh) -> Self {
        Self { mesh }
    }

    /// Publishes an event, and waits until it is stored.
    ///
    /// # Errors
    /// As [`Publisher::publish`]; at the first event also what the control plane says.
    pub async fn publish(&self, event: Event) -> Result<Published, Error> {
        self.publisher().await?.publish(event).await
    }

    /// Begins to publish an event: see [`Publisher::begin`].
    ///
    /// # Errors
    /// As [`Publisher::begin`]; at the first event also what the control plane says.
    pub async fn begin(&self, event: Event) -> Result<Receipt, Error> {
        self.publisher().await?.begin(event).await
    }

    /// Follows events: each stream from where `begin` has it, or from now.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the wish is none, `ACCESS_DENIED` where this member may not see all of
    /// it, and what kept the control plane from answering.
    pub async fn tail(&self, wish: Wish, begin: &[Begin]) -> Result<Tail, Error> {
        Tail::open(&self.mesh, &wish, begin).await
    }

    /// Tells again what is stored: each stream from where `begin` has it (nothing: from its first
    /// event), to what is its last event now, and to what was stored at `until`, milliseconds since
    /// 1970. A stream that `begin` leaves out is left out.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the wish is none or no stream is left, `ACCESS_DENIED` where this
    /// member may not replay all of it, and what kept the control plane from answering.
    pub async fn replay(
        &self,
        wish: Wish,
        begin: &[Begin],
        until: Option<u64>,
    ) -> Result<Replay, Error> {
        Replay::open(&self.mesh, &wish, begin, until).await
    }

    /// Opens a subject to which stored events are published once more: one below
    /// `weft.v1.dlv.{me}.`, or one that is not Weft's, as far as the broker lets this member.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the subject is another, and as [`Mesh::connect_beside`].
    pub async fn outlet(&self, subject: &str) -> Result<Outlet, Error> {
        Outlet::open(&self.mesh, subject).await
    }

    /// Subscribes to events of these types, `task.created`, `task.*` or `*`: each has to be
    /// answered, and comes again until it is.
    #[must_use]
    pub fn subscribe(&self, types: &str) -> Subscribe {
        Subscribe::new(self.mesh.clone(), types)
    }

    /// Has the control plane deliver these stored events of a stream once more, to one durable
    /// reader alone; 256 at most. Says how many it delivered: what is gone is not there.
    ///
    /// # Errors
    /// What the control plane says, or its silence.
    pub async fn redeliver(&self, to: &str, stream: &str, numbers: &[u64]) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Delivered {
            delivered: u64,
        }
        let arguments = json!({"to": to, "stream": stream, "numbers": numbers});
        let answer: Delivered = self.mesh.control("replay_deliver", arguments).await?;
        Ok(answer.delivered)
    }

    /// The publisher, for limits of one's own. It knows the declared domains of when it was first
    /// asked for.
    ///
    /// # Errors
    /// What the control plane says, or its silence.
    pub async fn publisher(&self) -> Result<&Publisher, Error> {
        let inner = &self.mesh.inner;
        let open = || async {
            let declared: Declared = self.mesh.control("event_types", json!({})).await?;
            let key = self.mesh.event_key()?;
            let (types, link) = (Types::new(&declared)?, inner.link.clone());
            Ok(Publisher::new(link, key, types, &inner.tasks))
        };
        inner.publisher.get_or_try_init(open).await
    }
}
