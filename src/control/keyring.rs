//! The keys that sign, as the file of secrets has them now: whoever changes it need not stop us.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::keys::Secrets;
use crate::{
    access::{Anchor, Claims, KeySet, Lifetimes, Ring, Verifier, now, verify},
    spawn::{Failure, Tasks},
};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A handle to the keys. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Keyring {
    ring: watch::Receiver<Arc<Ring>>,
    issuer: Arc<str>,
    lifetimes: Lifetimes,
}

impl Keyring {
    /// The keys of these secrets, and of their file from then on.
    pub(super) fn start(
        secrets: &Secrets,
        issuer: &str,
        lifetimes: Lifetimes,
        tasks: &Tasks,
    ) -> Self {
        let (told, ring) = watch::channel(Arc::new(secrets.ring.clone()));
        let keyring = Self {
            ring,
            issuer: issuer.into(),
            lifetimes,
        };
        let stop = tasks.stopping();
        let path = secrets.path.clone();
        tasks.spawn("signing keys", Failure::Stops, async move {
            tokio::select! { () = stop.cancelled() => {}, () = follow(path, &told) => {} }
        });
        keyring
    }

    /// Signs what a token says; also the name of the key.
    pub(super) fn sign(&self, claims: &Claims) -> (String, String) {
        let ring = self.ring();
        let key = ring.signer(now());
        (verify::sign(claims, key), key.kid().to_owned())
    }

    /// The keys of now.
    pub(super) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.borrow())
    }

    /// To hear of changes.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Ring>> {
        self.ring.clone()
    }

    /// The public ones.
    pub(super) fn public(&self) -> KeySet {
        self.ring.borrow().public(now())
    }

    /// What tokens are checked against.
    pub(super) fn verifier(&self) -> Verifier {
        Verifier {
            keys: self.public(),
            issuer: self.issuer.as_ref().to_owned(),
            lifetimes: self.lifetimes,
        }
    }

    /// What trust in this mesh begins with.
    pub(super) fn anchor(&self) -> Anchor {
        Anchor {
            issuer: self.issuer.as_ref().to_owned(),
            keys: self.public(),
        }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) const fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }
}

/// Tells the keys of the file whenever it is another one.
async fn follow(path: Option<PathBuf>, told: &watch::Sender<Arc<Ring>>) {
    let Some(path) = path else {
        // In memory alone: they stay as they are.
        return std::future::pending().await;
    };
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = stamp(&path).await;
    loop {
        tick.tick().await;
        let now = stamp(&path).await;
        if now == seen {
            continue;
        }
        seen = now;
        let folder = path.parent().unwrap_or(&path).to_owned();
        let read = tokio::task::spawn_blocking(move || Secrets::load_from(&folder)).await;
        match read {
            Ok(Ok(secrets)) => {
                tracing::info!(
                    kid = secrets.signing().kid(),
                    "the signing keys were read again"
                );
                told.send_replace(Arc::new(secrets.ring));
            }
            Ok(Err(error)) => tracing::warn!(%error, "the signing keys stay as they were"),
            Err(error) => tracing::warn!(%error, "the signing keys stay as they were"),
        }
    }
}

/// What tells one version of a file from another: it is always replaced, never written over.
async fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let about = tokio::fs::metadata(path).await.ok()?;
    Some((about.ino(), about.modified().ok()?))
}
