//! Ed25519 keys: the one that signs, and the public ones that check.

use std::{collections::BTreeMap, fmt};

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use nkeys::{KeyPair, KeyPairType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// More keys than this in one set are refused: a rotation needs two.
pub const KEYS_MAX: usize = 16;

/// PKCS#8 (RFC 8410) in front of the 32 bytes of an Ed25519 seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A key that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A stored seed is none.
    #[error("the stored signing key can't be read: it is no nkey seed of a user (SU…)")]
    Seed,
    /// A public key of a set is none.
    #[error("the key `{0}` is no Ed25519 public key (kty OKP, crv Ed25519, 32 bytes)")]
    Public(String),
    /// Too many.
    #[error("a set of {0} keys; at most {KEYS_MAX}")]
    Many(usize),
}

/// The private key that signs tokens and snapshots.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    seed: String,
    public: [u8; 32],
    pub(super) signer: EncodingKey,
}

impl SigningKey {
    /// A new key.
    #[must_use]
    pub fn generate() -> Self {
        let pair = KeyPair::new_user();
        let seed = pair.seed().expect("a new pair has its seed");
        Self::from_seed(&seed).expect("a new seed is one")
    }

    /// Reads a stored key, spelt as a user's nkey seed (`SU…`): checked by its checksum.
    ///
    /// # Errors
    /// [`KeyError::Seed`].
    pub fn from_seed(seed: &str) -> Result<Self, KeyError> {
        let pair = KeyPair::from_seed(seed).map_err(|_| KeyError::Seed)?;
        if pair.key_pair_type() != KeyPairType::User {
            return Err(KeyError::Seed);
        }
        let (_, raw) = nkeys::decode_seed(seed).map_err(|_| KeyError::Seed)?;
        let public = BASE32_NOPAD
            .decode(pair.public_key().as_bytes())
            .ok()
            // One byte of prefix before the key, two of checksum behind it.
            .and_then(|bytes| <[u8; 32]>::try_from(bytes.get(1..33)?).ok())
            .ok_or(KeyError::Seed)?;
        let signer = EncodingKey::from_ed_der(&[&PKCS8_PREFIX[..], &raw].concat());
        Ok(Self {
            kid: kid(&public),
            seed: seed.to_owned(),
            public,
            signer,
        })
    }

    /// The seed, to be stored where nobody else can read it.
    #[must_use]
    pub fn seed(&self) -> &str {
        &self.seed
    }

    /// The name under which the public key stands in a [`KeySet`].
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The set of this one public key.
    #[must_use]
    pub fn public(&self) -> KeySet {
        KeySet {
            keys: BTreeMap::from([(self.kid.clone(), self.public)]),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The name of a key follows from it: 72 bits of its SHA-256.
fn kid(public: &[u8; 32]) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(public)[..9])
}

/// Public keys by their names: a small JWKS (RFC 7517, RFC 8037) on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Jwks", into = "Jwks")]
pub struct KeySet {
    keys: BTreeMap<String, [u8; 32]>,
}

impl KeySet {
    /// The key of this name.
    pub(super) fn get(&self, kid: &str) -> Option<DecodingKey> {
        self.keys
            .get(kid)
            .map(|public| DecodingKey::from_ed_der(public))
    }

    /// Both sets together: what is trusted while keys are exchanged.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.keys.extend(other.keys.clone());
        self
    }

    /// Their names.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// A JSON Web Key Set of Ed25519 keys.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Jwks {
    /// The keys.
    keys: Vec<Jwk>,
}

/// One Ed25519 public key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Jwk {
    /// `OKP`.
    kty: String,
    /// `Ed25519`.
    crv: String,
    /// Its name.
    kid: String,
    /// Its 32 bytes, base64url.
    x: String,
}

impl From<KeySet> for Jwks {
    fn from(set: KeySet) -> Self {
        let keys = set.keys.into_iter().map(|(kid, public)| Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            kid,
            x: BASE64URL_NOPAD.encode(&public),
        });
        Self {
            keys: keys.collect(),
        }
    }
}

impl TryFrom<Jwks> for KeySet {
    type Error = KeyError;

    fn try_from(set: Jwks) -> Result<Self, KeyError> {
        if set.keys.len() > KEYS_MAX {
            return Err(KeyError::Many(set.keys.len()));
        }
        let mut keys = BTreeMap::new();
        for jwk in set.keys {
            let public = BASE64URL_NOPAD
                .decode(jwk.x.as_bytes())
                .ok()
                .and_then(|x| <[u8; 32]>::try_from(x).ok())
                // The name follows from the key, so two keys can't fight over one name.
                .filter(|x| jwk.kty == "OKP" && jwk.crv == "Ed25519" && jwk.kid == kid(x));
            let Some(public) = public else {
                return Err(KeyError::Public(jwk.kid.chars().take(64).collect()));
            };
            keys.insert(jwk.kid, public);
        }
        Ok(Self { keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_stored_and_comes_back() {
        let key = SigningKey::generate();
        let back = SigningKey::from_seed(key.seed()).expect("its own seed");
        assert_eq!(back.public(), key.public());
        assert!(!format!("{key:?}").contains(key.seed()));
        for bad in ["", "SUAB", &KeyPair::new_account().seed().expect("a seed")] {
            assert_eq!(SigningKey::from_seed(bad).err(), Some(KeyError::Seed));
        }
    }

    #[test]
    fn a_set_goes_over_the_wire_and_lies_are_refused() {
        let (one, two) = (SigningKey::generate(), SigningKey::generate());
        let set = one.public().with(&two.public());
        assert_eq!(set.len(), 2);
        let text = serde_json::to_string(&set).expect("JSON");
        assert_eq!(serde_json::from_str::<KeySet>(&text).expect("a set"), set);
        for (from, to) in [
            ("OKP", "RSA"),
            ("Ed25519", "X25519"),
            (one.kid(), two.kid()),
        ] {
            let lie = text.replace(from, to);
            assert!(serde_json::from_str::<KeySet>(&lie).is_err(), "{lie}");
        }
    }
}
