//! Signed JSON: the compact form of RFC 7515, read as strictly as it can be.
//!
//! One algorithm, one way to name a key, one spelling. The header is read by this module and not
//! by the JWT library, because the library passes over what it does not know (`crit`, `jku`,
//! a second `alg`); the signature itself is the library's.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, crypto};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{KeySet, SigningKey, TokenError};

/// The header, exactly this: an unknown member (`crit`, `jku`, `jwk`, `x5u`, …) is refused, and
/// so is one that stands twice.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

const ALG: &str = "EdDSA";

/// Signs `body` under a type.
pub(super) fn sign(typ: &str, body: &impl Serialize, key: &SigningKey) -> String {
    let header = Header {
        alg: ALG.to_owned(),
        typ: typ.to_owned(),
        kid: key.kid().to_owned(),
    };
    let part = |json: Vec<u8>| BASE64URL_NOPAD.encode(&json);
    let header = serde_json::to_vec(&header).expect("three strings are JSON");
    let body = serde_json::to_vec(body).expect("claims and snapshots are JSON");
    let mut text = format!("{}.{}", part(header), part(body));
    let signature = crypto::sign(text.as_bytes(), &key.signer, Algorithm::EdDSA)
        .expect("an Ed25519 key signs anything");
    text.push('.');
    text.push_str(&signature);
    text
}

/// Checks a signed text of this type, at most `bytes_max` long, and reads its body.
pub(super) fn open<T: DeserializeOwned>(
    text: &str,
    typ: &str,
    keys: &KeySet,
    bytes_max: usize,
) -> Result<T, TokenError> {
    if text.len() > bytes_max {
        return Err(TokenError::Malformed("too long"));
    }
    let (signed, signature) = text
        .rsplit_once('.')
        .ok_or(TokenError::Malformed("not three parts"))?;
    let (header, body) = signed
        .split_once('.')
        .filter(|(_, body)| !body.contains('.'))
        .ok_or(TokenError::Malformed("not three parts"))?;
    let header: Header = read(header, "header")?;
    if header.alg != ALG {
        return Err(TokenError::Malformed("another algorithm"));
    }
    if header.typ != typ {
        return Err(TokenError::Malformed("another type"));
    }
    let key = is_kid(&header.kid)
        .then(|| keys.get(&header.kid))
        .flatten()
        .ok_or(TokenError::Signature)?;
    // Decoded here first, so that a signature has one spelling and a token one reference.
    BASE64URL_NOPAD
        .decode(signature.as_bytes())
        .ok()
        .filter(|bytes| bytes.len() == 64)
        .ok_or(TokenError::Malformed("no signature"))?;
    match crypto::verify(signature, signed.as_bytes(), &key, Algorithm::EdDSA) {
        Ok(true) => read(body, "claims"),
        _ => Err(TokenError::Signature),
    }
}

/// Reads one part: base64url without padding, an object, nothing twice, nothing unknown.
fn read<T: DeserializeOwned>(part: &str, what: &'static str) -> Result<T, TokenError> {
    let bytes = BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| TokenError::Malformed("not base64url"))?;
    // A derived reader would take an array for an object.
    if bytes.first() != Some(&b'{') {
        return Err(TokenError::Malformed("not an object"));
    }
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed(what))
}

fn is_kid(kid: &str) -> bool {
    (1..=64).contains(&kid.len())
        && kid
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
