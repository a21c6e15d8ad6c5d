//! Telling adapters what was revoked and which keys hold: signed snapshots to whoever watches.
//!
//! An adapter opens a watch on `weft.v1.dlv.{adapter}.{n}`, where `n` is a secret of the two ends,
//! and renews it every so often. It hears a snapshot at once, at every change, and every five
//! seconds: after thirty without one it lets nobody in. So no snapshot is sent on a hunch: only
//! while the token store's leader answers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, timeout},
};

use super::{
    connect::Wire,
    grants::{self, Grants},
    keyring::Keyring,
    leases::{Asking, Leases, Place, Request},
    tokens::{Table, Tokens},
};
use crate::{
    access::{Ring, Snapshot, Trust, now, now_ms, snapshot::Revoked},
    error::Error,
    name::{Identity, ServerName, subject},
    spawn::{Failure, Tasks},
};

/// How often a snapshot is sent where nothing changed.
const EVERY: Duration = Duration::from_secs(5);
/// The token store must have been read this lately for a snapshot to be sent.
const READ_MAX: Duration = Duration::from_secs(10);
/// How long one round of snapshots may take.
const ROUND_MAX: Duration = Duration::from_secs(4);

/// A handle to the watches. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Watches {
    /// Each hears the number of the snapshot that was sent to it at once.
    asking: Asking<u64>,
    local: Trust,
}

/// The one task that owns the watches.
struct Teller {
    /// When each watch ends.
    leases: Leases,
    table: watch::Receiver<Table>,
    grants: watch::Receiver<grants::Table>,
    ring: watch::Receiver<Arc<Ring>>,
    wire: Wire,
    keys: Keyring,
    /// The control plane's own trust: it hears without a message.
    local: Trust,
    number: u64,
    told: Revoked,
}

impl Watches {
    /// Begins to tell. The control plane's own trust has its first snapshot when this returns.
    pub(super) fn start(
        (tokens, grants): (&Tokens, &Grants),
        keys: Keyring,
        wire: Wire,
        tasks: &Tasks,
    ) -> Self {
        let local = Trust::new(ServerName::weft().identity(), tokens.anchor());
        let (asking, waiting) = Asking::channel();
        let mut teller = Teller {
            leases: Leases::default(),
            table: tokens.table(),
            grants: grants.table(),
            ring: keys.changes(),
            wire,
            keys,
            local: local.clone(),
            number: 0,
            told: Revoked::default(),
        };
        teller.tell_ourselves();
        let stop = tasks.stopping();
        tasks.spawn("trust", Failure::Stops, async move {
            tokio::select! { () = stop.cancelled() => {}, () = teller.run(waiting) => {} }
        });
        Self { asking, local }
    }

    /// The control plane's own trust.
    pub(super) const fn local(&self) -> &Trust {
        &self.local
    }

    /// Opens a watch of `who`, or renews it. Says the number of the snapshot that was sent to it.
    ///
    /// # Errors
    /// Those of [`Asking::open`].
    pub(super) async fn open(&self, who: &Identity, deliver: &str) -> Result<u64, Error> {
        self.asking.open(who, deliver).await
    }
}

impl Teller {
    async fn run(&mut self, mut requests: mpsc::Receiver<Request<u64>>) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(request) = requests.recv() => self.open(request).await,
                _ = tick.tick() => self.tell_all().await,
                changed = self.ring.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.tell_all().await;
                }
                changed = self.grants.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.tell_all().await;
                }
                changed = self.table.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let revoked = self.table.borrow_and_update().revoked(now());
                    if revoked != self.told {
                        self.tell_all().await;
                    }
                }
            }
        }
    }

    async fn open(&mut self, request: Request<u64>) {
        let Request { place, opened } = request;
        let answer = match self.leases.take(&place) {
            Err(error) => Err(error),
            Ok(()) => {
                self.number = self.next_number();
                let told = self.table.borrow().revoked(now());
                if self.may_tell() {
                    self.send(&told, std::iter::once(&place)).await;
                }
                Ok(self.number)
            }
        };
        // Whoever asked may have gone.
        drop(opened.send(answer));
    }

    /// The time in milliseconds, and always more than before: so it increases across restarts too.
    fn next_number(&self) -> u64 {
        now_ms().max(self.number + 1)
    }

    fn may_tell(&self) -> bool {
        let read = [
            self.table.borrow().read_at(),
            self.grants.borrow().read_at(),
        ];
        read.iter()
            .all(|at| at.is_some_and(|at| at.elapsed() < READ_MAX))
    }

    async fn tell_all(&mut self) {
        if !self.may_tell() {
            tracing::warn!("tokens or grants were not read lately: no snapshot is sent");
            return;
        }
        self.tell_ourselves();
        let to = self.leases.live();
        let round = self.send(&self.told, to.iter());
        if timeout(ROUND_MAX, round).await.is_err() {
            tracing::warn!("a round of snapshots took too long; the rest waits for the next");
        }
    }

    /// Makes the next snapshot, and takes it ourselves.
    fn tell_ourselves(&mut self) {
        self.number = self.next_number();
        self.told = self.table.borrow().revoked(now());
        // A key that was struck off signed what we knew so far.
        self.local.begin_again(self.keys.anchor());
        let own = self.snapshot(self.local.identity().clone(), &self.told);
        if let Err(why) = self.local.apply(&own) {
            tracing::error!(%why, "the control plane does not trust itself");
        }
    }

    fn snapshot(&self, to: Identity, revoked: &Revoked) -> String {
        Snapshot {
            iss: self.keys.issuer().to_owned(),
            grants: self.grants.borrow().told_to(&to),
            aud: to,
            number: self.number,
            iat_ms: now_ms(),
            keys: self.keys.public(),
            revoked: revoked.clone(),
        }
        .sign(self.keys.ring().signer(now()))
    }

    async fn send(&self, revoked: &Revoked, to: impl Iterator<Item = &Place>) {
        // One snapshot for each identity, however many watches it has.
        let mut signed: HashMap<&Identity, String> = HashMap::new();
        for (who, deliver) in to {
            let snapshot = signed
                .entry(who)
                .or_insert_with(|| self.snapshot(who.clone(), revoked));
            let to = subject::delivery(who, deliver);
            if let Err(error) = self.wire.publish(to, snapshot.clone().into_bytes()).await {
                tracing::warn!(adapter = %who, %error, "a snapshot was not sent");
                return;
            }
        }
    }
}
