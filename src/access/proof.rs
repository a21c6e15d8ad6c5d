//! How somebody shows that he holds a connect token without sending it.
//!
//! A connect token never stands in a message: whoever carries messages could open connections
//! with it. The broker vouches for the name of the caller, but not for which of his tokens opened
//! the connection; so he names it by its id, and proves it with a keyed digest.
//!
//! `key = SHA-256(token)`, `proof = base64url(HMAC-SHA256(key, "weft:token_exchange:{sub}:{at}:{nonce}"))`.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use super::TokenError;

/// How far the time in a proof may lie from now, seconds, either way.
pub const WINDOW_S: u64 = 60;

/// Characters of a nonce: 16 to 64 of `A-Z a-z 0-9 _ -`.
pub const NONCE_CHARS: std::ops::RangeInclusive<usize> = 16..=64;

/// Makes the proof that `sub` holds `token` at `at` (seconds since 1970).
#[must_use]
pub fn make(token: &str, sub: &str, at: u64, nonce: &str) -> String {
    let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    BASE64URL_NOPAD.encode(&keyed(&key, sub, at, nonce).finalize().into_bytes())
}

/// Checks a proof against the SHA-256 of the token (lower-case hex, as the store keeps it).
///
/// # Errors
/// [`TokenError::Proof`], whatever is wrong with it: a wrong key, another caller, a time too far
/// from `now`, a nonce that is none.
pub fn check(
    digest: &str,
    sub: &str,
    stamp: Stamp<'_>,
    proof: &str,
    now: u64,
) -> Result<(), TokenError> {
    let mut key = [0; 32];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let sound = stamp.at.abs_diff(now) <= WINDOW_S
        && NONCE_CHARS.contains(&stamp.nonce.len())
        && stamp.nonce.bytes().all(plain)
        && digest.len() == 64
        && HEXLOWER.decode_mut(digest.as_bytes(), &mut key).is_ok();
    let given = BASE64URL_NOPAD
        .decode(proof.as_bytes())
        .map_err(|_| TokenError::Proof)?;
    // In constant time: how much of a guess was right must not show.
    keyed(&key, sub, stamp.at, stamp.nonce)
        .verify_slice(&given)
        .ok()
        .filter(|()| sound)
        .ok_or(TokenError::Proof)
}

/// When a proof was made, and what makes it one of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Seconds since 1970.
    pub at: u64,
    /// Random, and never used again.
    pub nonce: &'a str,
}

fn keyed(key: &[u8; 32], sub: &str, at: u64, nonce: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("weft:token_exchange:{sub}:{at}:{nonce}").as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_the_token_proves_it() {
        let digest = super::super::digest("token");
        let nonce = "n".repeat(16);
        let proof = make("token", "alice", 1000, &nonce);
        let check = |digest: &str, sub: &str, at, nonce: &str, now| {
            check(digest, sub, Stamp { at, nonce }, &proof, now)
        };
        assert_eq!(check(&digest, "alice", 1000, &nonce, 1060), Ok(()));
        assert_eq!(check(&digest, "alice", 1000, &nonce, 940), Ok(()));
        let other = super::super::digest("other");
        let bad = Err(TokenError::Proof);
        assert_eq!(check(&digest, "alice", 1000, &nonce, 1061), bad, "too old");
        assert_eq!(check(&digest, "alice", 1000, &nonce, 939), bad, "ahead");
        assert_eq!(check(&other, "alice", 1000, &nonce, 1000), bad, "token");
        assert_eq!(check(&digest, "bob", 1000, &nonce, 1000), bad, "caller");
        assert_eq!(check(&digest, "alice", 1001, &nonce, 1000), bad, "time");
        assert_eq!(check(&digest, "alice", 1000, "n", 1000), bad, "nonce");
        assert_eq!(check("", "alice", 1000, &nonce, 1000), bad, "digest");
    }
}
