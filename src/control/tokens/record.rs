//! What is kept of a connect token.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    access::{Audience, Claims, Role, TokenError},
    name::Identity,
};

/// The record of one connect token, under its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Whose it is.
    pub sub: Identity,
    /// What he is to the broker.
    pub role: Role,
    /// What it permits.
    pub permissions: Vec<String>,
    /// When it was issued, seconds since 1970.
    pub iat: u64,
    /// Until when it holds, seconds since 1970.
    pub exp: u64,
    /// When it was revoked, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    /// SHA-256 of the token, hex.
    pub digest: String,
    /// The key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Whether its holder may have it renewed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renewable: bool,
    /// The first token of its family, where it was renewed from another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Uuid>,
}

impl Record {
    /// Of a token with these claims and this digest.
    pub(super) fn of(claims: &Claims, digest: String, kid: String) -> Self {
        Self {
            sub: claims.sub.clone(),
            role: claims.role,
            permissions: claims.permissions.clone(),
            iat: claims.iat,
            exp: claims.exp,
            revoked_at: None,
            digest,
            kid: Some(kid),
            renewable: false,
            root: None,
        }
    }

    /// The family of the token of this id.
    pub(super) fn root(&self, id: Uuid) -> Option<Uuid> {
        Some(self.root.unwrap_or(id))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is JSON")
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// The claims of the token again.
    pub(in crate::control) fn claims(&self, jti: Uuid, issuer: &str) -> Claims {
        Claims {
            sub: self.sub.clone(),
            server_name: self.sub.clone(),
            permissions: self.permissions.clone(),
            role: self.role,
            iss: issuer.to_owned(),
            aud: Audience::Connect,
            jti,
            iat: self.iat,
            nbf: self.iat,
            exp: self.exp,
            par: None,
            act: None,
        }
    }

    /// Whether it is good at `now`.
    pub(in crate::control) fn check(&self, now: u64) -> Result<(), TokenError> {
        if self.revoked_at.is_some() {
            return Err(TokenError::Revoked);
        }
        if now >= self.exp {
            return Err(TokenError::Expired);
        }
        Ok(())
    }
}
