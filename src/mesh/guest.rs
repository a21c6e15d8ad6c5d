//! Calling in somebody else's name: what an edge does for its clients.
//!
//! A client shows the edge its connect token. The edge looks at it, has the control plane exchange
//! it for a call token *of that client*, and calls with that one: adapters check it as they check
//! anybody's. The connect token goes no further; the edge proves with it that it was shown one.

use std::{fmt, sync::Arc};

use moka::future::Cache;
use sha2::{Digest as _, Sha256};

use super::{
    Mesh,
    kept::{Kept, Renewal},
    session,
};
use crate::{
    access::{
        self, Audience, Trust,
        exchange::{TOKEN_VOUCH, Vouch, Vouched},
        issuer::Outside,
    },
    call::{Principal, context::Credential},
    error::Error,
    name::Identity,
};

/// Clients that are remembered. Another one is exchanged anew.
const GUESTS_MAX: u64 = 10_000;

/// Somebody in whose name a call is made.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Who he is, and what he may do.
    pub principal: Arc<Principal>,
    pub(super) credential: Credential,
}

impl Guest {
    /// His name.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.principal.identity
    }
}

/// The clients of an edge. A cheap handle.
#[derive(Clone)]
pub struct Guests {
    mesh: Mesh,
    trust: Trust,
    known: Cache<[u8; 32], Arc<Kept>>,
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guests").finish_non_exhaustive()
    }
}

impl Guests {
    /// The clients of a member that may call in their names (the role gateway), or of one that
    /// calls in its own alone.
    ///
    /// # Errors
    /// As [`Mesh::trust`].
    pub async fn open(mesh: &Mesh) -> Result<Self, Error> {
        Ok(Self {
            trust: mesh.trust().await?,
            mesh: mesh.clone(),
            known: Cache::builder()
                .max_capacity(GUESTS_MAX)
                .expire_after(Renewal)
                .build(),
        })
    }

    /// Lets somebody in by the connect token that he shows. What was revoked a second ago is
    /// refused, however well it is remembered.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED`, or what kept the control plane from answering.
    pub async fn admit(&self, token: &str) -> Result<Guest, Error> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = match self.known.get(&key).await {
            Some(known) => known,
            None => self
                .known
                .try_get_with(key, self.exchange(token))
                .await
                .map_err(|error| again(&error))?,
        };
        self.guest(&known.identity, known.credential.clone())
    }

    /// Lets somebody in whose token an outside issuer made, and who was checked. The token goes no
    /// further: only who he is does.
    ///
    /// # Errors
    /// As [`Guests::admit`].
    pub async fn admit_outside(&self, token: &str, outside: &Outside) -> Result<Guest, Error> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = match self.known.get(&key).await {
            Some(known) => known,
            None => self
                .known
                .try_get_with(key, self.vouch(outside))
                .await
                .map_err(|error| again(&error))?,
        };
        self.guest(&known.identity, known.credential.clone())
    }

    async fn vouch(&self, outside: &Outside) -> Result<Arc<Kept>, Error> {
        let left = outside.expires.saturating_sub(access::now());
        let vouch = Vouch {
            name: outside.identity.to_string(),
            permissions: outside.permissions.to_strings(),
            // The leeway of two clocks may be all that is left.
            ttl_seconds: left.max(1),
        };
        let vouched: Vouched = self.mesh.control(TOKEN_VOUCH, vouch).await?;
        let credential = session::credential(vouched.token);
        let identity = outside.identity.clone();
        Ok(Kept::new(identity, credential, vouched.expires_at)?)
    }

    /// The member itself.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED` where its token was revoked.
    pub fn own(&self) -> Result<Guest, Error> {
        self.guest(self.mesh.identity(), self.mesh.session().credential())
    }

    /// Whether what was revoked is known.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.trust.is_fresh()
    }

    fn guest(&self, who: &Identity, credential: Credential) -> Result<Guest, Error> {
        let principal = self.trust.authenticate(Some(&credential), who.as_str())?;
        Ok(Guest {
            principal,
            credential,
        })
    }

    async fn exchange(&self, token: &str) -> Result<Arc<Kept>, Error> {
        // Before anybody is asked: what anybody could make up costs the control plane nothing.
        let claims = self.trust.open(token, Audience::Connect)?;
        let caller = (claims.sub != *self.mesh.identity()).then(|| claims.sub.clone());
        let state = session::exchange(token, caller, self.mesh.stack()).await?;
        Ok(Kept::new(claims.sub, state.credential, state.expires)?)
    }
}

/// An error that several waited for, for each of them.
pub(super) fn again(error: &Error) -> Error {
    Error::from_fault(&error.to_fault())
        .unwrap_or_else(|| Error::new(error.kind(), error.message()))
}
