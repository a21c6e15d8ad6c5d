//! The broker's own kind of JWT (version 2 of NATS claims): what the auth callout reads and
//! writes. Not our tokens: another algorithm name, other claims, other readers.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512_256};

const HEADER: &[u8] = br#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// Signs claims with a key of the broker's kind. `iss`, `iat` and `jti` are filled in.
pub(super) fn sign(mut claims: Value, key: &KeyPair, now: u64) -> String {
    claims["iss"] = json!(key.public_key());
    claims["iat"] = json!(now);
    // The id is the digest of the claims with an empty id.
    claims["jti"] = json!("");
    let digest = Sha512_256::digest(claims.to_string().as_bytes());
    claims["jti"] = json!(BASE32_NOPAD.encode(&digest));
    let body = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
    let text = format!("{}.{body}", BASE64URL_NOPAD.encode(HEADER));
    let signature = key
        .sign(text.as_bytes())
        .expect("our own pair has its seed");
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// Reads claims that the key they name has signed.
pub(super) fn open(text: &str) -> Option<Value> {
    let (signed, signature) = text.rsplit_once('.')?;
    let (_, body) = signed.split_once('.')?;
    let claims = BASE64URL_NOPAD.decode(body.as_bytes()).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    KeyPair::from_public_key(claims["iss"].as_str()?)
        .ok()?
        .verify(signed.as_bytes(), &signature)
        .ok()?;
    Some(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_read_and_what_was_changed_is_not() {
        let key = KeyPair::new_account();
        let text = sign(json!({"sub": "U", "nats": {"version": 2}}), &key, 7);
        let claims = open(&text).expect("our own");
        assert_eq!((&claims["sub"], &claims["iat"]), (&json!("U"), &json!(7)));
        let other = sign(json!({"sub": "V"}), &key, 7);
        let (head, _) = text.rsplit_once('.').expect("three parts");
        let (_, mark) = other.rsplit_once('.').expect("three parts");
        assert!(open(&format!("{head}.{mark}")).is_none());
        assert!(open("garbage").is_none());
    }
}
