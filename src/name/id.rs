//! Names and ids as types: what was parsed once is not checked again.

use std::{fmt, sync::Arc};

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A name that is not one: what was given, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no {what}: {allowed}")]
pub struct NameError {
    /// What was meant to be a name, cut to 80 characters.
    pub given: String,
    /// What it was meant to be.
    pub what: &'static str,
    /// What would have been one.
    pub allowed: &'static str,
}

impl NameError {
    pub(crate) fn new(given: &str, what: &'static str, allowed: &'static str) -> Self {
        Self {
            given: given.chars().take(80).collect(),
            what,
            allowed,
        }
    }
}

/// Declares a newtype over a shared string that is checked when it is made.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(::std::sync::Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// An error that says what is allowed.
            pub fn new(name: &str) -> Result<Self, $crate::name::id::NameError> {
                let check: fn(&str) -> bool = $check;
                if check(name) {
                    Ok(Self(name.into()))
                } else {
                    Err($crate::name::id::NameError::new(name, $what, $allowed))
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::name::id::NameError;
            fn from_str(name: &str) -> Result<Self, $crate::name::id::NameError> {
                Self::new(name)
            }
        }

        impl ::std::convert::TryFrom<String> for $name {
            type Error = $crate::name::id::NameError;
            fn try_from(name: String) -> Result<Self, $crate::name::id::NameError> {
                Self::new(&name)
            }
        }

        impl ::std::convert::From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl ::std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

pub(crate) use checked;

checked!(
    /// The name of an MCP server on the mesh: 1 to 63 of `a-z 0-9 -`.
    ServerName,
    "server name",
    "1 to 63 of a-z, 0-9 and -",
    |name| (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);

checked!(
    /// Who calls: the subject of a token. 1 to 63 of `A-Z a-z 0-9 _ -`, and not `_` alone.
    Identity,
    "identity",
    "1 to 63 of A-Z, a-z, 0-9, _ and -, and not _ alone",
    |name| (1..=63).contains(&name.len())
        && name != "_"
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);

checked!(
    /// One connection of an identity: made anew each time one is built.
    Connection,
    "connection id",
    "1 to 32 of a-z and 0-9",
    |name| is_random(name)
);

checked!(
    /// One running adapter of a server.
    Instance,
    "instance id",
    "1 to 32 of a-z and 0-9",
    |name| is_random(name)
);

fn is_random(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// `bytes` random bytes in lower-case base32.
fn random<const BYTES: usize>() -> Arc<str> {
    let mut text = BASE32_NOPAD.encode(&rand::random::<[u8; BYTES]>());
    text.make_ascii_lowercase();
    text.into()
}

impl ServerName {
    /// The control plane itself, an MCP server like any other.
    #[must_use]
    pub fn weft() -> Self {
        Self(WEFT.into())
    }

    /// Whether the name is kept for Weft's own parts.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        matches!(self.as_str(), WEFT | GATEWAY)
    }

    /// A server is an identity as well: it publishes, and may call others.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity(self.0.clone())
    }
}

/// The server name of the control plane.
pub const WEFT: &str = "weft";
/// The identity of a gateway.
pub const GATEWAY: &str = "gateway";

impl Connection {
    /// A new connection id (80 random bits).
    #[must_use]
    pub fn random() -> Self {
        Self(random::<10>())
    }
}

impl Instance {
    /// A new instance id (50 random bits in 10 characters).
    #[must_use]
    pub fn random() -> Self {
        Self(random::<6>())
    }
}

/// 128 random bits that a reader chose for a delivery subject: who knows them may not publish
/// there all the same, but nobody can guess where to look.
#[must_use]
pub fn delivery() -> String {
    random::<16>().as_ref().to_owned()
}

/// The id of an event: a UUIDv7, so that it can be looked for from its time.
#[must_use]
pub fn event() -> String {
    Uuid::now_v7().to_string()
}

/// The id of one call: a UUIDv7, which carries the time it was made (milliseconds), in 32
/// lower-case hex digits. It is known to the two ends of the call and to nobody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Uuid);

impl CallId {
    /// A new id, with the time now.
    #[must_use]
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads 32 lower-case hex digits of a UUIDv7.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        (text.len() == 32
            && HEXLOWER
                .decode_mut(text.as_bytes(), &mut bytes)
                .is_ok_and(|n| n == 16))
        .then(|| Uuid::from_bytes(bytes))
        .filter(|id| id.get_version_num() == 7)
        .map(Self)
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        // The first 48 bits of a UUIDv7 are its time.
        (self.0.as_u128() >> 80) as u64
    }

    /// Appends its 32 digits.
    pub fn push_to(self, text: &mut String) {
        text.push_str(self.0.as_simple().encode_lower(&mut [0; 32]));
    }

    /// The id as a number.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// The id that is this number; `None` where that is none.
    #[must_use]
    pub const fn from_u128(number: u128) -> Option<Self> {
        let id = Uuid::from_u128(number);
        if id.get_version_num() == 7 {
            Some(Self(id))
        } else {
            None
        }
    }

    /// The sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "search-aggregator", "0", &"x".repeat(63)] {
            assert!(ServerName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "a.b",
            "a_b",
            "ä",
            "*",
            ">",
            "a b",
            "a\n",
            &"x".repeat(64),
        ] {
            assert!(ServerName::new(bad).is_err(), "{bad}");
        }
        assert!(Identity::new("_").is_err());
        assert!(Identity::new("Alice_1").is_ok());
        assert!(serde_json::from_str::<ServerName>("\"a.b\"").is_err());
    }

    #[test]
    fn a_call_id_carries_its_time_and_comes_back() {
        let before = u64::try_from(chrono::Utc::now().timestamp_millis()).expect("after 1970");
        let id = CallId::now();
        assert!((before..=before + 1000).contains(&id.unix_ms()));
        assert_eq!(CallId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn other_ids_are_refused() {
        let v4 = "00000000000040008000000000000000";
        for bad in ["", "x", v4, &CallId::now().to_string().to_uppercase()] {
            assert_eq!(CallId::parse(bad), None, "{bad}");
        }
    }
}
