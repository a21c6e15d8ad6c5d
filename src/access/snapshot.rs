//! What the control plane tells an adapter, at each change and every few seconds: the keys that
//! hold now, and what was revoked. Signed, named for one adapter, and numbered.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{KeySet, SigningKey, TokenError, jws};
use crate::{call::grant::Grant, name::Identity};

/// The `typ` of a snapshot: no token passes for one, and the reverse.
pub const TYPE: &str = "weft-trust+jwt";
/// A snapshot of more bytes than this is refused: it has to fit into one message.
pub const BYTES_MAX: usize = 960 * 1024;
/// How many revoked tokens one snapshot names at most.
///
/// It names those revoked within the last [`REVOKED_FOR_S`] only: a call token ends sooner than
/// that, and nobody gets a new one for a revoked connect token.
pub const REVOKED_MAX: usize = 20_000;
/// How long a revocation is told, seconds: the longest life of a call token and a minute.
pub const REVOKED_FOR_S: u64 = 16 * 60;

/// What an adapter needs to check tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The mesh.
    pub iss: String,
    /// The adapter that it is for.
    pub aud: Identity,
    /// Increases from one to the next, also across restarts of the control plane.
    pub number: u64,
    /// When it was made, milliseconds since 1970.
    pub iat_ms: u64,
    /// The keys that sign tokens and snapshots now.
    pub keys: KeySet,
    /// What was revoked lately: ids of connect and of call tokens.
    pub revoked: Revoked,
    /// What is granted and denied beside tokens, as far as it concerns this adapter.
    pub grants: Vec<Grant>,
}

impl Snapshot {
    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(TYPE, self, key)
    }

    /// Checks the signature, and reads it.
    ///
    /// # Errors
    /// [`TokenError`]: not signed by one of these keys, or no snapshot.
    pub fn open(text: &str, keys: &KeySet) -> Result<Self, TokenError> {
        jws::open(text, TYPE, keys, BYTES_MAX)
    }
}

/// Ids of revoked tokens; on the wire 22 characters each, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(BTreeSet<Uuid>);

impl Revoked {
    /// Whether this token is among them.
    #[must_use]
    pub fn contains(&self, id: &Uuid) -> bool {
        // Nearly always there is none, and then nothing is compared.
        !self.0.is_empty() && self.0.contains(id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Uuid> for Revoked {
    fn from_iter<I: IntoIterator<Item = Uuid>>(ids: I) -> Self {
        Self(ids.into_iter().collect())
    }
}

impl Serialize for Revoked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .iter()
                .map(|id| BASE64URL_NOPAD.encode(id.as_bytes())),
        )
    }
}

impl<'de> Deserialize<'de> for Revoked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let ids = Vec::<String>::deserialize(deserializer)?;
        ids.iter()
            .map(|id| {
                let bytes = BASE64URL_NOPAD.decode(id.as_bytes()).ok()?;
                Uuid::from_slice(&bytes).ok()
            })
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| D::Error::custom("a revoked id is 22 characters of base64url"))
    }
}
