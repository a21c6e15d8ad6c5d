//! One injective encoding for every subject token and bucket key.
//!
//! `A-Z a-z 0-9 _ -` stand for themselves, every other UTF-8 byte is `=XX` in upper-case hex. A
//! lone `_` is `=5F`, because a bare `_` means "no name". A name of more than 100 bytes, and every
//! resource URI, is its digest: `=h` and 26 lower-case base32 characters of its SHA-256 (130 bits);
//! the full name then stands in the body.
//!
//! ```
//! use weftbus::name::token::{decode, encode};
//! assert_eq!(encode("admin.tools.list"), "admin=2Etools=2Elist");
//! assert_eq!(decode("admin=2Etools=2Elist").as_deref(), Some("admin.tools.list"));
//! assert_eq!(encode("_"), "=5F");
//! assert_eq!(encode(&"x".repeat(101)).len(), 28);
//! ```

use std::borrow::Cow;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};

/// The token that stands where there is no name.
pub const NONE: &str = "_";

/// A name of more bytes than this is replaced by its digest.
pub const NAME_BYTES_MAX: usize = 100;

/// Characters of a digest behind `=h`.
const DIGEST_CHARS: usize = 26;

/// The token of a name. An empty name has none: callers refuse it before (`Name::parse` and
/// friends), and here it becomes `=`, which no decoder accepts.
#[must_use]
pub fn encode(name: &str) -> Cow<'_, str> {
    if name.is_empty() {
        return Cow::Borrowed("=");
    }
    if name.len() > NAME_BYTES_MAX {
        return Cow::Owned(digest(name));
    }
    if name != NONE && name.bytes().all(is_plain) {
        return Cow::Borrowed(name);
    }
    if name == NONE {
        return Cow::Borrowed("=5F");
    }
    let mut token = String::with_capacity(name.len() + 16);
    for byte in name.bytes() {
        if is_plain(byte) {
            token.push(char::from(byte));
        } else {
            token.push('=');
            token.push(hex(byte >> 4));
            token.push(hex(byte & 15));
        }
    }
    Cow::Owned(token)
}

/// The token of a resource URI, or of a name too long to stand in a subject.
#[must_use]
pub fn digest(name: &str) -> String {
    let mut text = BASE32_NOPAD.encode(&Sha256::digest(name.as_bytes()));
    text.truncate(DIGEST_CHARS);
    text.make_ascii_lowercase();
    format!("=h{text}")
}

/// The name behind a token. `None` for "no name", for a digest (the body has the name) and for
/// what [`encode`] never writes.
#[must_use]
pub fn decode(token: &str) -> Option<Cow<'_, str>> {
    if token == NONE || token.is_empty() || is_digest(token) {
        return None;
    }
    if !token.contains('=') {
        let own = token.len() <= NAME_BYTES_MAX && token.bytes().all(is_plain);
        return own.then_some(Cow::Borrowed(token));
    }
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'=' {
            let [high, low, tail @ ..] = tail else {
                return None;
            };
            bytes.push(unhex(*high)? << 4 | unhex(*low)?);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    // One name, one token: anything that encodes otherwise is not ours.
    (encode(&name) == token).then_some(Cow::Owned(name))
}

/// Whether a token stands for this name, be it spelt out or a digest.
#[must_use]
pub fn stands_for(token: &str, name: &str) -> bool {
    if is_digest(token) {
        return digest(name) == token;
    }
    encode(name) == token
}

/// Whether a token is a digest.
#[must_use]
pub fn is_digest(token: &str) -> bool {
    token.len() == DIGEST_CHARS + 2 && token.starts_with("=h")
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

const fn hex(nibble: u8) -> char {
    (if nibble < 10 {
        b'0' + nibble
    } else {
        b'A' + nibble - 10
    }) as char
}

const fn unhex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_short_name_comes_back(name in "\\PC{1,25}") {
            prop_assume!(name.len() <= NAME_BYTES_MAX);
            let token = encode(&name).into_owned();
            prop_assert!(token.bytes().all(|b| is_plain(b) || b == b'='));
            let back = decode(&token);
            prop_assert_eq!(back.as_deref(), Some(name.as_str()));
            prop_assert!(stands_for(&token, &name));
        }

        #[test]
        fn two_names_never_share_a_token(a in "[a-z._= -]{1,12}", b in "[a-z._= -]{1,12}") {
            prop_assert_eq!(a == b, encode(&a) == encode(&b));
        }

        #[test]
        fn what_decodes_encodes_to_itself(token in "[A-Za-z0-9=_-]{1,30}") {
            if let Some(name) = decode(&token) {
                prop_assert_eq!(encode(&name), token.as_str());
            }
        }
    }

    #[test]
    fn long_names_and_uris_become_digests() {
        let long = "n".repeat(101);
        let token = encode(&long);
        assert!(is_digest(&token), "{token}");
        assert_eq!(decode(&token), None);
        assert!(stands_for(&token, &long));
        assert!(!stands_for(&token, "n"));
    }

    #[test]
    fn other_spellings_are_refused() {
        for token in ["", "=", "=5", "=5f", "=41", "a.b", "a=2", "*", ">", "ä"] {
            assert_eq!(decode(token), None, "{token}");
        }
    }

    #[test]
    fn the_longest_name_is_spelt_out_and_no_longer_one() {
        let longest = "n".repeat(NAME_BYTES_MAX);
        assert_eq!(decode(&longest).as_deref(), Some(longest.as_str()));
        assert_eq!(decode(&format!("{longest}n")), None);
    }
}
