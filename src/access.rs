//! Who may do what: tokens, the keys that sign them, and what an adapter knows of both.
//!
//! Everything here is pure or nearly so: no broker, and no file but the keys of an outside
//! [`issuer`]. A token of ours is a JWT signed with Ed25519 by the control plane. There are two audiences, and no token serves both: a *connect* token
//! opens a connection to the broker and never stands in a message; a *call* token stands in
//! messages, lives for minutes and opens nothing ([`proof`] is how one is had for the other).
//!
//! Whoever checks tokens holds a [`Trust`]: public keys, and what was revoked, both from the
//! control plane, both at most [`trust::AGE_MAX`] old.

pub mod act;
pub mod claims;
pub mod exchange;
pub mod issuer;
mod jws;
pub mod keys;
pub mod proof;
pub mod ring;
pub mod snapshot;
pub mod trust;
pub mod verify;

pub use self::{
    act::Act,
    claims::{Audience, Claims, Lifetimes, Role},
    keys::{KeySet, SigningKey},
    ring::Ring,
    snapshot::Snapshot,
    trust::{Anchor, Trust},
    verify::{TokenError, Verifier},
};

use std::sync::Arc;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};

use crate::{
    call::{Permissions, Principal},
    name::Identity,
};

/// Characters of a [`reference()`].
pub const REFERENCE_CHARS: usize = 22;

/// What names a token to those who saw it before: the first 128 bits of its SHA-256, base64url.
///
/// ```
/// assert_eq!(weftbus::access::reference("token"), "PEaenWxYddN6Q_NT1PiOYQ");
/// ```
#[must_use]
pub fn reference(token: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(token.as_bytes())[..16])
}

/// The SHA-256 of a token in lower-case hex: what the token store keeps in place of the token.
#[must_use]
pub fn digest(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}

/// A caller whose name the broker vouches for, without a token: his connection was opened with
/// one, and nobody else may publish under his name. It permits nothing by itself; only the tools
/// by which a caller gets his first call token are open to it.
#[must_use]
pub fn vouched(caller: &Identity) -> Arc<Principal> {
    Arc::new(Principal::new(caller.clone(), Permissions::default()))
}

/// Seconds since 1970, by the clock of this machine.
#[must_use]
pub fn now() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0)
}

/// Milliseconds since 1970, by the clock of this machine.
#[must_use]
pub fn now_ms() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0)
}
