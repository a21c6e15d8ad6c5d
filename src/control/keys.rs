//! The control plane's own secrets: one file, readable by its owner alone.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nkeys::{KeyPair, KeyPairType, XKey};
use serde::{Deserialize, Serialize};

use super::file::write_private;
use crate::access::{
    KeySet, Ring, SigningKey, now,
    ring::{Former, Next},
};

/// The file in the data folder.
pub const FILE: &str = "control.json";

/// Everything that the control plane signs with and logs in with.
pub struct Secrets {
    /// Signs tokens and snapshots.
    pub(super) ring: Ring,
    /// What the secrets of the ids of events are made from; it stays as keys come and go.
    pub(super) event_seed: String,
    /// The file; none where they are in memory alone.
    pub(super) path: Option<PathBuf>,
    /// The user that answers the broker's auth callout.
    pub(super) auth: KeyPair,
    /// The user that owns all streams and buckets.
    pub(super) store: KeyPair,
    /// The user that lists and cuts connections.
    pub(super) sys: KeyPair,
    /// The account key that signs the broker's users.
    pub(super) issuer: KeyPair,
    /// Seals the callout: a connect token passes the broker's own messages.
    pub(super) xkey: XKey,
}

/// As it stands in the file. Seeds, all of them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    signing_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_signing_key: Option<StoredNext>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former_signing_keys: Vec<StoredFormer>,
    /// The first signing key's, where it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_seed: Option<String>,
    auth_seed: String,
    store_seed: String,
    sys_seed: String,
    callout_issuer_seed: String,
    callout_xkey_seed: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNext {
    seed: String,
    from: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFormer {
    key: KeySet,
    until: u64,
}

/// Why the secrets can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Others can read them, so they are none any more.
    #[error(
        "{path}: other users can read the control plane's keys (mode {mode:o}); \
         type `chmod 600 {path}`, and if somebody may have read them, remove the file and start \
         anew: all tokens must be issued again then"
    )]
    Open {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Not what this build writes.
    #[error(
        "{path}: no file of control plane keys: {why}; restore it from a backup, or remove it and issue all tokens anew"
    )]
    Broken {
        /// The file.
        path: String,
        /// What is wrong. Never a secret.
        why: &'static str,
    },
    /// It can't be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Secrets {
    /// New ones, in memory alone.
    #[must_use]
    pub fn generate() -> Self {
        let signing = SigningKey::generate();
        Self {
            event_seed: signing.seed().to_owned(),
            ring: Ring::new(signing),
            path: None,
            auth: KeyPair::new_user(),
            store: KeyPair::new_user(),
            sys: KeyPair::new_user(),
            issuer: KeyPair::new_account(),
            xkey: XKey::new(),
        }
    }

    /// Those of this data folder; made and stored where there are none.
    ///
    /// # Errors
    /// [`SecretsError`]: others can read them, the file is broken, or the system says no.
    pub fn load_or_create(folder: &Path) -> Result<Self, SecretsError> {
        match Self::load_from(folder) {
            Err(SecretsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let path = folder.join(FILE);
                let mut secrets = Self::generate();
                secrets.path = Some(path.clone());
                secrets.store(&path).map_err(|e| failed(&path, e))?;
                Ok(secrets)
            }
            loaded => loaded,
        }
    }

    /// Those of this data folder.
    ///
    /// # Errors
    /// As [`Secrets::load_or_create`]; also where there are none.
    pub fn load_from(folder: &Path) -> Result<Self, SecretsError> {
        let path = folder.join(FILE);
        let about = fs::metadata(&path).map_err(|e| failed(&path, e))?;
        let mode = about.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = path.display().to_string();
            return Err(SecretsError::Open { path, mode });
        }
        Self::load(&path)
    }

    fn load(path: &Path) -> Result<Self, SecretsError> {
        let broken = |why| SecretsError::Broken {
            path: path.display().to_string(),
            why,
        };
        let text = fs::read(path).map_err(|e| failed(path, e))?;
        // What the reader would say may quote the text: it is not passed on.
        let stored: Stored =
            serde_json::from_slice(&text).map_err(|_| broken("it is not the JSON it should be"))?;
        let pair = |seed: &str, kind: KeyPairType, why| {
            KeyPair::from_seed(seed)
                .ok()
                .filter(|pair| pair.key_pair_type() == kind)
                .ok_or_else(|| broken(why))
        };
        let user = KeyPairType::User;
        let key = |seed: &str, why| SigningKey::from_seed(seed).map_err(|_| broken(why));
        let signing = key(&stored.signing_key, "signingKey is no seed")?;
        let next = match stored.next_signing_key {
            Some(next) => Some(Next {
                key: key(&next.seed, "nextSigningKey is no seed")?,
                from: next.from,
            }),
            None => None,
        };
        let former = stored.former_signing_keys.into_iter().map(|former| Former {
            key: former.key,
            until: former.until,
        });
        Ok(Self {
            event_seed: stored.event_seed.unwrap_or(stored.signing_key),
            ring: Ring::of(signing, next, former.collect()),
            path: Some(path.to_owned()),
            auth: pair(&stored.auth_seed, user.clone(), "authSeed is no user seed")?,
            store: pair(
                &stored.store_seed,
                user.clone(),
                "storeSeed is no user seed",
            )?,
            sys: pair(&stored.sys_seed, user, "sysSeed is no user seed")?,
            issuer: pair(
                &stored.callout_issuer_seed,
                KeyPairType::Account,
                "calloutIssuerSeed is no account seed",
            )?,
            xkey: XKey::from_seed(&stored.callout_xkey_seed)
                .map_err(|_| broken("calloutXkeySeed is no curve seed"))?,
        })
    }

    fn store(&self, path: &Path) -> io::Result<()> {
        let body = serde_json::to_vec_pretty(&self.stored()).map_err(io::Error::other)?;
        write_private(path, &body)
    }

    fn stored(&self) -> Stored {
        let (signing, next, former) = self.ring.parts();
        Stored {
            signing_key: signing.seed().to_owned(),
            next_signing_key: next.map(|next| StoredNext {
                seed: next.key.seed().to_owned(),
                from: next.from,
            }),
            former_signing_keys: former
                .iter()
                .map(|former| StoredFormer {
                    key: former.key.clone(),
                    until: former.until,
                })
                .collect(),
            event_seed: (self.event_seed != signing.seed()).then(|| self.event_seed.clone()),
            auth_seed: seed(&self.auth),
            store_seed: seed(&self.store),
            sys_seed: seed(&self.sys),
            callout_issuer_seed: seed(&self.issuer),
            callout_xkey_seed: self.xkey.seed().expect("our own key has its seed"),
        }
    }

    /// The five public keys that the broker's configuration asks for, by the names of its
    /// variables.
    #[must_use]
    pub fn public(&self) -> [(&'static str, String); 5] {
        [
            ("NATS_AUTH_NKEY", self.auth.public_key()),
            ("NATS_STORE_NKEY", self.store.public_key()),
            ("NATS_SYS_NKEY", self.sys.public_key()),
            ("NATS_CALLOUT_ISSUER", self.issuer.public_key()),
            ("NATS_CALLOUT_XKEY", self.xkey.public_key()),
        ]
    }

    /// The seed of the STORE user: with it the server `weft` is served in that account.
    #[must_use]
    pub fn store_seed(&self) -> String {
        seed(&self.store)
    }

    /// The key that signs tokens now.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        self.ring.signer(now())
    }

    /// The keys that sign tokens, over time.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Stores these keys in place of those of now; a control plane that runs with the file takes
    /// them within a second.
    ///
    /// # Errors
    /// [`SecretsError::Io`].
    pub fn set_ring(&mut self, ring: Ring) -> Result<(), SecretsError> {
        self.ring = ring;
        match &self.path {
            Some(path) => self.store(path).map_err(|error| failed(path, error)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("public", &self.public())
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}

pub(super) fn seed(pair: &KeyPair) -> String {
    pair.seed().expect("our own pair has its seed")
}

fn failed(path: &Path, source: io::Error) -> SecretsError {
    SecretsError::Io {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_kept_to_ourselves() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Secrets::load_or_create(folder.path()).expect("made");
        let path = folder.path().join(FILE);
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Secrets::load_or_create(folder.path()).expect("loaded");
        assert_eq!(again.public(), made.public());
        assert_eq!(again.signing().public(), made.signing().public());
        let shown = format!("{made:?}");
        for secret in [made.store_seed(), made.signing().seed().to_owned()] {
            assert!(!shown.contains(&secret));
            assert!(fs::read_to_string(&path).expect("text").contains(&secret));
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        Secrets::load_or_create(folder.path()).expect("made");
        let path = folder.path().join(FILE);
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            let said = Secrets::load_or_create(folder.path()).expect_err("open");
            assert!(said.to_string().contains("chmod 600"), "{said}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        Secrets::load_or_create(folder.path()).expect("the twin");
    }

    #[test]
    fn a_broken_file_is_told_without_its_secrets() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Secrets::load_or_create(folder.path()).expect("made");
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).expect("text");
        let swapped = text.replace(&made.store_seed(), &seed(&made.issuer));
        let wrong = text.replace("\"storeSeed\"", "\"other\"");
        for broken in ["", "{}", &swapped, &wrong, &text[..text.len() / 2]] {
            fs::write(&path, broken).expect("written");
            let said = Secrets::load_or_create(folder.path()).expect_err("broken");
            assert!(matches!(said, SecretsError::Broken { .. }), "{said}");
            assert!(!said.to_string().contains(&seed(&made.issuer)));
        }
    }
}
