//! Everything about a call that is not in its request.

use std::{fmt, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Notify, Principal, grant::Reason};
use crate::{
    error::{Error, Kind},
    name::{CallId, Identity},
};

/// Who calls, until when, as part of what.
#[derive(Clone, Debug)]
pub struct Context {
    /// The id of this one call.
    pub id: CallId,
    /// What ties it to other calls and events.
    pub correlation: Correlation,
    /// When it was made, or came to this side of the bus.
    pub began: Instant,
    /// When it must have ended.
    pub deadline: Instant,
    /// Which attempt this is, from 1.
    pub attempt: u8,
    /// Who the subject says calls; the broker let him publish there, or it has one account.
    pub caller: Option<Identity>,
    /// Who calls; `None` until somebody proved it.
    pub principal: Option<Arc<Principal>>,
    /// By what he may, once that is decided.
    pub permitted: Option<Reason>,
    /// The token that proves it, on its way to who checks it.
    pub credential: Option<Credential>,
    /// The idempotency key, where the caller gave one.
    pub key: Option<Arc<str>>,
    /// Where what the server says meanwhile goes.
    pub notify: Option<Notify>,
    /// Whether it may be made again by itself, where that does no harm. What is a part of another
    /// call is not: whoever made that one does it.
    pub repeats: bool,
    /// How long nobody may say that he took it. Who waits longer gives the call up as one that
    /// may have begun; `None`: as long as the call may take.
    pub patience: Option<Duration>,
}

impl Context {
    /// A new call that may take so long.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let (id, began) = (CallId::now(), Instant::now());
        Self {
            id,
            correlation: Correlation::Derived(id),
            began,
            deadline: began + timeout,
            attempt: 1,
            caller: None,
            principal: None,
            permitted: None,
            credential: None,
            key: None,
            notify: None,
            repeats: true,
            patience: None,
        }
    }

    /// What is left of the time; zero when it is over.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// How a caller proves who he is.
#[derive(Clone)]
pub enum Credential {
    /// The call token itself.
    Bearer(Arc<str>),
    /// 22 characters of its digest: for those who saw the token before.
    Reference(Arc<str>),
    /// Both: on the caller's side, where the bus sends the shorter one to whom it can.
    Either {
        /// The call token itself.
        bearer: Arc<str>,
        /// 22 characters of its digest.
        reference: Arc<str>,
    },
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(***)",
            Self::Reference(_) => "Reference(***)",
            Self::Either { .. } => "Either(***)",
        })
    }
}

/// Characters of an idempotency key.
const KEY_MAX: usize = 128;

/// Takes an idempotency key that a caller gave.
///
/// # Errors
/// `INVALID_PARAMS` where it is none: 1 to 128 visible characters of ASCII but `;`.
pub fn key(text: &str) -> Result<Arc<str>, Error> {
    let plain = |b: u8| b.is_ascii_graphic() && b != b';';
    if (1..=KEY_MAX).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.into());
    }
    let shown: String = text.escape_debug().take(40).collect();
    Err(Error::new(
        Kind::InvalidParams,
        format!(
            "`{shown}` is no idempotency key: 1 to {KEY_MAX} visible characters of ASCII but `;`"
        ),
    ))
}

/// The correlation id: given, or made from the call id.
///
/// The derived one has the call's time and bits of SHA-256 of its id: whoever reads it in a log
/// learns when the call was, and nothing that would let him answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Correlation {
    /// From the call id; worked out only where somebody asks.
    Derived(CallId),
    /// Given by the caller: 1 to 64 of `A-Z a-z 0-9 _ - .`.
    Given(Arc<str>),
}

impl Correlation {
    /// Takes an id that a caller gave.
    #[must_use]
    pub fn given(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        ((1..=64).contains(&text.len()) && text.bytes().all(plain))
            .then(|| Self::Given(text.into()))
    }
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(text) => f.write_str(text),
            Self::Derived(call) => {
                let digest = Sha256::digest(call.as_bytes());
                let mut bytes = *call.as_bytes();
                bytes[6..].copy_from_slice(&digest[..10]);
                // Version 7 and the variant of RFC 9562.
                bytes[6] = 0x70 | (bytes[6] & 0x0f);
                bytes[8] = 0x80 | (bytes[8] & 0x3f);
                Uuid::from_bytes(bytes).hyphenated().fmt(f)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_correlation_has_the_time_and_hides_the_id() {
        let call = CallId::now();
        let correlation = Correlation::Derived(call).to_string();
        let id = Uuid::parse_str(&correlation).expect("a UUID");
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(u128::from(call.unix_ms()), id.as_u128() >> 80);
        assert_ne!(id.as_bytes(), call.as_bytes());
        assert_eq!(correlation, Correlation::Derived(call).to_string());
    }

    #[test]
    fn given_ids_are_checked() {
        assert!(Correlation::given("order-7.a_b").is_some());
        for bad in ["", "a b", "a;b", "ä", "a\n", &"x".repeat(65)] {
            assert!(Correlation::given(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn keys_are_checked() {
        assert!(key("order-7/attempt:1").is_ok() && key(&"x".repeat(128)).is_ok());
        for bad in ["", "a b", "a;b", "ä", "a\n", &"x".repeat(129)] {
            let error = key(bad).expect_err("it is none");
            assert_eq!(error.kind(), Kind::InvalidParams, "{bad}");
        }
    }

    #[test]
    fn a_credential_never_shows_itself() {
        let shown = format!("{:?}", Credential::Bearer("secret".into()));
        assert!(!shown.contains("secret"));
    }
}
