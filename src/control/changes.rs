//! Telling whoever watches that the registry changed: no content, who cares reads `server_list`.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, timeout},
};

use super::{
    connect::Wire,
    leases::{Asking, Leases, Place, Request},
};
use crate::{
    error::Error,
    name::{Identity, subject},
    registry::Servers,
    spawn::{Failure, Tasks},
};

/// How often it is said that there is nothing new: who hears nothing opens his watch anew.
const EVERY: Duration = Duration::from_secs(5);
/// Changes that come so close together are told as one.
const TOGETHER: Duration = Duration::from_millis(100);
/// How long one round may take.
const ROUND_MAX: Duration = Duration::from_secs(4);

/// A handle to who tells. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Changes(Asking<()>);

/// The one task that tells.
struct Teller {
    leases: Leases,
    servers: watch::Receiver<Servers>,
    revision: u64,
    wire: Wire,
}

impl Changes {
    /// Begins to tell.
    pub(super) fn start(servers: watch::Receiver<Servers>, wire: Wire, tasks: &Tasks) -> Self {
        let (asking, waiting) = Asking::channel();
        let revision = servers.borrow().revision();
        let mut teller = Teller {
            leases: Leases::default(),
            revision,
            servers,
            wire,
        };
        let stop = tasks.stopping();
        tasks.spawn("registry changes", Failure::Stops, async move {
            tokio::select! { () = stop.cancelled() => {}, () = teller.run(waiting) => {} }
        });
        Self(asking)
    }

    /// Opens a watch, or renews it.
    ///
    /// # Errors
    /// Those of [`Asking::open`].
    pub(super) async fn open(&self, who: &Identity, deliver: &str) -> Result<(), Error> {
        self.0.open(who, deliver).await
    }
}

impl Teller {
    async fn run(&mut self, mut requests: mpsc::Receiver<Request<()>>) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(request) = requests.recv() => self.open(request).await,
                _ = tick.tick() => self.tell_all().await,
                changed = self.servers.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let revision = self.servers.borrow_and_update().revision();
                    if revision != self.revision {
                        tokio::time::sleep(TOGETHER).await;
                        self.revision = self.servers.borrow_and_update().revision();
                        self.tell_all().await;
                    }
                }
            }
        }
    }

    async fn open(&mut self, request: Request<()>) {
        let taken = self.leases.take(&request.place);
        // Once at once: what changed before the watch was there is heard of, too.
        if taken.is_ok() {
            self.tell(&request.place).await;
        }
        // Whoever asked may have gone.
        drop(request.opened.send(taken));
    }

    async fn tell_all(&mut self) {
        let places = self.leases.live();
        let round = async {
            for place in &places {
                self.tell(place).await;
            }
        };
        if timeout(ROUND_MAX, round).await.is_err() {
            tracing::warn!("not everybody could be told in time that the registry changed");
        }
    }

    async fn tell(&self, (who, deliver): &Place) {
        let to = subject::delivery(who, deliver);
        let body = format!(r#"{{"revision":{}}}"#, self.revision);
        if let Err(error) = self.wire.publish(to, body.into_bytes()).await {
            tracing::warn!(member = %who, %error, "a change of the registry was not told");
        }
    }
}
