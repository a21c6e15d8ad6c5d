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
    /// Whether the connect token may be renewed (`token_renew`).
    #[serde(default)]
    pub renewable: bool,
}

impl std::fmt::Debug for Exchanged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchanged")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Arguments of `token_delegate`: the call token that a caller was served with.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delegate {
    /// The call token that came with a call. It is a secret of the two ends.
    pub subject_token: String,
}

impl std::fmt::Debug for Delegate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Delegate(***)")
    }
}

/// The answer of `token_delegate`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delegated {
    /// The call token with which its holder acts for the subject of the one that he showed.
    pub token: String,
    /// When it ends, seconds since 1970.
    pub expires_at: u64,
}

/// The tool that gives the gateway a call token of somebody from outside.
pub const TOKEN_VOUCH: &str = "token_vouch";

/// Arguments of `token_vouch`: for whom the gateway vouches, since an outside issuer did.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vouch {
    /// Who it is: `ext-{issuer}-{subject}`.
    pub name: String,
    /// What he may do, beside what is granted to him: nothing that the gateway may not.
    pub permissions: Vec<String>,
    /// For how long at most, seconds.
    pub ttl_seconds: u64,
}

/// The answer of `token_vouch`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vouched {
    /// The call token: it stands in headers, and opens nothing.
    pub token: String,
    /// When it ends, seconds since 1970.
    pub expires_at: u64,
}

impl std::fmt::Debug for Delegated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delegated")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Vouched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vouched")
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
    /// When it was issued, seconds since 1970.
    pub iat: u64,
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

    /// Whether four fifths of its life are over.
    #[must_use]
    pub fn is_old(&self) -> bool {
        let left = self.exp.saturating_sub(now());
        left <= self.exp.saturating_sub(self.iat) / 5
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
