//! Public keys of an issuer: a JSON Web Key Set (RFC 7517), and which of its keys are used how.

use std::{collections::BTreeMap, fmt, sync::Arc};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// Bytes of a set at most.
pub(super) const BYTES_MAX: u64 = 256 * 1024;
/// Keys of a set that are looked at.
const KEYS_MAX: usize = 64;
/// Bytes of the name of a key.
const KID_MAX: usize = 256;
/// Bytes of an RSA modulus at least and at most (RFC 7518, 3.3).
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key, and the one algorithm that it is used with.
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Keys by their names.
pub(super) type Set = BTreeMap<String, Arc<Key>>;

/// As an algorithm stands in a header.
pub(super) const fn spelt(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        _ => "ES256",
    }
}

/// Reads a set. Keys that are for something else are passed over (RFC 7517, 5).
pub(super) fn read(bytes: &[u8]) -> Result<Set, String> {
    #[derive(Deserialize)]
    struct Jwks {
        keys: Vec<Value>,
    }
    let set: Jwks = serde_json::from_slice(bytes)
        .map_err(|_| "they are no JSON Web Key Set: `{\"keys\": […]}` was expected".to_owned())?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("there are more than {KEYS_MAX} of them"));
    }
    let mut found = Set::new();
    for value in set.keys {
        // One that holds what is private shall not lie where it is read from.
        if value.get("d").is_some() || value.get("k").is_some() {
            return Err("a private key or a secret is among them: public ones only".to_owned());
        }
        let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
            continue;
        };
        let Some((kid, key)) = usable(&jwk) else {
            continue;
        };
        if found.insert(kid, Arc::new(key)).is_some() {
            return Err("two of them have one `kid`".to_owned());
        }
    }
    if found.is_empty() {
        return Err("none of them has a `kid` and is for RS256 or ES256".to_owned());
    }
    Ok(found)
}

fn usable(jwk: &Jwk) -> Option<(String, Key)> {
    let about = &jwk.common;
    let kid = about.key_id.clone().filter(|kid| kid.len() <= KID_MAX)?;
    if !matches!(&about.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = BASE64URL_NOPAD.decode(rsa.n.as_bytes()).ok()?;
            if !MODULUS.contains(&modulus.len()) {
                return None;
            }
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        _ => return None,
    };
    if about.key_algorithm.is_some_and(|said| said != named) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some((kid, Key { algorithm, key }))
}

/// An object in which no member stands twice: who reads the first and who reads the last of two
/// would see different tokens.
pub(super) struct Strict(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> de::Visitor<'de> for Members {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(de::Error::custom("a member stands twice"));
                    }
                }
                Ok(Strict(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
