//! The ids under which the broker tells an event from its repeat.
//!
//! Streams look at the id alone, and not at who sent it: with ids that anybody can make, one could
//! use another's beforehand, and the other's event would pass for a repeat. So each identity has a
//! secret, the same in all its processes.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::name::Identity;

/// Bytes of a secret.
const BYTES: usize = 32;

/// The secret of an identity.
#[derive(Clone)]
pub struct EventKey(Hmac<Sha256>);

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventKey")
    }
}

impl EventKey {
    /// The secret that a mesh gives this identity: what only the mesh knows, and the name.
    #[must_use]
    pub fn derived(mesh: &[u8], who: &Identity) -> String {
        let mut mac = keyed(mesh);
        mac.update(b"weft:event_key:");
        mac.update(who.as_str().as_bytes());
        BASE64URL_NOPAD.encode(&mac.finalize().into_bytes())
    }

    /// Reads a secret; `None` where it is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        (bytes.len() == BYTES).then(|| Self(keyed(&bytes)))
    }

    /// `Nats-Msg-Id` of an event: `base32(HMAC-SHA256(secret, id))`, without padding.
    #[must_use]
    pub fn message_id(&self, event: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(event.as_bytes());
        BASE32_NOPAD.encode(&mac.finalize().into_bytes())
    }

    /// What stands for `text` where it must not be read: 128 bits of HMAC-SHA256 under the secret.
    #[must_use]
    pub fn digest(&self, text: &[u8]) -> String {
        let mut mac = self.0.clone();
        // No id of an event begins so.
        mac.update(b"weft:digest:\0");
        mac.update(text);
        BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()[..16])
    }
}

fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_one_secret_and_an_event_one_id() {
        let who = |name| Identity::new(name).expect("a name");
        let alice = EventKey::derived(b"mesh", &who("alice"));
        assert_eq!(alice, EventKey::derived(b"mesh", &who("alice")));
        assert_ne!(alice, EventKey::derived(b"mesh", &who("bob")));
        assert_ne!(alice, EventKey::derived(b"other", &who("alice")));
        let key = EventKey::read(&alice).expect("a secret");
        assert_eq!(key.message_id("e1"), key.message_id("e1"));
        assert_ne!(key.message_id("e1"), key.message_id("e2"));
        assert!(EventKey::read("").is_none() && EventKey::read("c2hvcnQ").is_none());
    }

    #[test]
    fn the_vector_of_the_protocol() {
        let secret = BASE64URL_NOPAD.encode(&[7; BYTES]);
        let id = EventKey::read(&secret)
            .expect("a secret")
            .message_id("01890a5d-ac96-774b-bcce-b302099a8057");
        insta::assert_snapshot!(id, @"OK3RI5VC2FHK5ZPC67CLNKYGIBSIHCMTFSF7MGGEFUIWVD2SSBVQ");
    }
}
