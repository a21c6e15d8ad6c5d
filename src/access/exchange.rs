//! What a member and the control plane say to each other about tokens: the arguments and the
//! answers of the control plane's tools `token_exchange` and `trust_open`.

use data_encoding::BASE64URL_NOPAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Audience, TokenError, now, proof, trust::Anchor};
use crate::name::{Identity, id};

/// Arguments of `token_exchange`: a connect token's id, and the proof that the caller holds it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The connect token's `jti`.
    pub jti: String,
    /// When the proof was made, seconds since 1970.
    pub at: u64,
    /// What makes the proof one of a kind: 16 to 64 of `A-Z a-z 0-9 _ -`.
    pub nonce: String,
    /// `base64url(HMAC-SHA256(SHA-256(token), "weft:token_exchange:{sub}:{at}:{nonce}"))`.
    pub proof: String,
}

/// The answer of `token_exchange`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exchanged {
    /// The call token: it stands in headers, and opens nothing.
    pub token: String,
    /// When it ends, seconds since 1970.
    pub expires_at: u64,
    /// Whom to believe: the mesh and its public keys.
    pub anchor: Anchor,
    /// The identity's secret for the ids of its events, base64url: `Nats-Msg-Id` is
    /// `base32(HMAC-SHA256(secret, event id))`. The same each time.
    pub event_key: String,
}

impl std::fmt::Debug for Exchanged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchanged")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Arguments of the tools that deliver something, `trust_open` and `server_watch`: where to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deliver {
    /// The `{n}` of `weft.v1.dlv.{caller}.{n}`: 26 to 32 of `a-z 2-7`, at least 128 random bits,
    /// told to nobody else. Subscribe to it first.
    pub deliver: String,
}

/// What is wrong with a token that we hold.
const WHY: &str = "it is no token of Weft";

/// What the holder of a token reads in it. He need not verify it: who gets it will.
#[derive(Clone, Debug, Deserialize)]
pub struct Held {
    /// Whose token it is.
    pub sub: Identity,
    /// Its id.
    pub jti: String,
    /// When it ends, seconds since 1970.
    pub exp: u64,
    /// What it is good for.
    pub aud: Audience,
}

impl Held {
    /// Reads a token that we hold.
    ///
    /// # Errors
    /// [`TokenError::Missing`] where there is none, [`TokenError::Malformed`] where it is no token.
    pub fn read(token: &str) -> Result<Self, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        let payload = token.split('.').nth(1).ok_or(TokenError::Malformed(WHY))?;
        let json = BASE64URL_NOPAD
            .decode(payload.as_bytes())
            .map_err(|_| TokenError::Malformed(WHY))?;
        serde_json::from_slice(&json).map_err(|_| TokenError::Malformed(WHY))
    }

    /// Why nobody was let in with it, as far as it says so itself: the broker gives no reason.
    #[must_use]
    pub fn why_refused(&self) -> Option<TokenError> {
        if self.aud == Audience::Call {
            return Some(TokenError::Audience);
        }
        (self.exp <= now()).then_some(TokenError::Expired)
    }

    /// The arguments that exchange this token.
    #[must_use]
    pub fn exchange(&self, token: &str) -> Exchange {
        let (at, nonce) = (now(), id::delivery());
        Exchange {
            jti: self.jti.clone(),
            at,
            proof: proof::make(token, self.sub.as_str(), at, &nonce),
            nonce,
        }
    }
}
