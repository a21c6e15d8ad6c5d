//! What an adapter knows of tokens, and the decision that it takes on every message.
//!
//! A [`Trust`] begins with an [`Anchor`] (the keys that came with the adapter's own first call
//! token) and lives on snapshots. A token is verified once and then known by its reference; its
//! end and its revocation are looked at on every message all the same. Whoever has heard no
//! snapshot for [`AGE_MAX`] lets nobody in: what was revoked meanwhile he could not know.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use moka::{policy::EvictionPolicy, sync::Cache};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Act, Audience, Claims, KeySet, Lifetimes, REFERENCE_CHARS, Snapshot, TokenError, Verifier, now,
    now_ms, reference, snapshot::Revoked, verify::check_expiry,
};
use crate::{
    call::{
        Actor, Permissions, Principal,
        context::Credential,
        grant::{Grant, Grants, Rules},
    },
    error::{Error, Kind, case},
    name::Identity,
};

/// A snapshot older than this is too old to let anybody in.
pub const AGE_MAX: Duration = Duration::from_secs(30);
/// How many tokens are known at most; the one used longest ago goes first.
pub const TOKENS_MAX: u64 = 10_000;

/// What trust begins with: it comes with the answer to a token exchange, which only the control
/// plane can give (the broker lets nobody else publish there).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anchor {
    /// The mesh.
    pub issuer: String,
    /// The keys that signed the token.
    #[schemars(with = "super::keys::Jwks")]
    pub keys: KeySet,
}

/// A cheap handle to what one adapter knows. Clones share it.
#[derive(Clone, Debug)]
pub struct Trust {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    identity: Identity,
    known: Cache<[u8; REFERENCE_CHARS], Arc<Known>>,
    state: ArcSwap<State>,
    /// What every principal that was let in here is decided by.
    grants: Grants,
    dropped: AtomicU64,
}

/// What the last snapshot said.
#[derive(Debug)]
struct State {
    number: u64,
    verifier: Verifier,
    revoked: Revoked,
    granted: Vec<Grant>,
    /// Until when it may be used; `None` before the first.
    fresh_until: Option<Instant>,
}

/// A token that was verified here.
#[derive(Debug)]
struct Known {
    principal: Arc<Principal>,
    /// Its id, and those of the tokens that it ends with.
    ids: Vec<Uuid>,
}

/// Why a snapshot was not taken. Each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// Not signed by the control plane, or none at all.
    #[error("not signed by the control plane: {0}")]
    Unsigned(TokenError),
    /// For another adapter, or of another mesh.
    #[error("for another adapter or of another mesh")]
    Foreign,
    /// Not newer than the last one.
    #[error("number {number}, not newer than {last}")]
    Older {
        /// Its number.
        number: u64,
        /// The number of the last one taken.
        last: u64,
    },
    /// Made too long ago, or in the future: by a delayed message or by another clock.
    #[error("made {0} ms from now: delayed, or the clocks of the two machines differ")]
    Stale(i64),
    /// A grant in it can't be read: nobody decides by half of the rules.
    #[error("a grant in it can't be read here")]
    Grants,
}

impl Trust {
    /// Trust of this adapter, from an anchor on. It lets nobody in before the first snapshot.
    #[must_use]
    pub fn new(identity: Identity, anchor: Anchor) -> Self {
        let known = Cache::builder()
            .max_capacity(TOKENS_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let verifier = Verifier {
            keys: anchor.keys,
            issuer: anchor.issuer,
            lifetimes: Lifetimes::default(),
        };
        let state = State {
            number: 0,
            verifier,
            revoked: Revoked::default(),
            granted: Vec::new(),
            fresh_until: None,
        };
        Self {
            inner: Arc::new(Inner {
                identity,
                known,
                state: ArcSwap::from_pointee(state),
                grants: Grants::default(),
                dropped: AtomicU64::new(0),
            }),
        }
    }

    /// Who calls: the principal of this credential, which must be `caller`'s own. `caller` is the
    /// token of the subject, which the broker vouches for.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED` with its case: no token, none of ours, over, revoked, not known by
    /// this reference ([`case::TOKEN_UNKNOWN`]: send the bearer), or of somebody else than
    /// `caller` ([`case::TOKEN_WRONG_CALLER`]: whoever is not proven is not authenticated, so it
    /// is not `ACCESS_DENIED`). `INTERNAL_ERROR` where the last snapshot is too old.
    pub fn authenticate(
        &self,
        credential: Option<&Credential>,
        caller: &str,
    ) -> Result<Arc<Principal>, Error> {
        let state = self.inner.state.load();
        if state.fresh_until.is_none_or(|until| Instant::now() > until) {
            return Err(stale());
        }
        let now = now();
        let known = match credential {
            None => return Err(TokenError::Missing.into()),
            Some(Credential::Reference(reference)) => self
                .look_up(reference)
                .ok_or_else(|| Error::from(TokenError::Unknown))?,
            Some(Credential::Bearer(token) | Credential::Either { bearer: token, .. }) => {
                match self.look_up(&reference(token)) {
                    Some(known) => known,
                    None => self.verify(&state, token, now)?,
                }
            }
        };
        if known.principal.sender().as_str() != caller {
            return Err(TokenError::Caller.into());
        }
        check_expiry(known.principal.expires, now)?;
        if known.ids.iter().any(|id| state.revoked.contains(id)) {
            return Err(TokenError::Revoked.into());
        }
        Ok(Arc::clone(&known.principal))
    }

    /// Reads a token that is shown at a door: signed, of this audience, neither expired nor
    /// revoked as far as is known here.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED` with its case, `INTERNAL_ERROR` (TRUST_STALE).
    pub fn open(&self, token: &str, audience: Audience) -> Result<Claims, Error> {
        let state = self.inner.state.load();
        if state.fresh_until.is_none_or(|until| Instant::now() > until) {
            return Err(stale());
        }
        let claims = state.verifier.verify(token, audience, now())?;
        if state.revoked.contains(&claims.jti) {
            return Err(TokenError::Revoked.into());
        }
        Ok(claims)
    }

    fn look_up(&self, reference: &str) -> Option<Arc<Known>> {
        let key: &[u8; REFERENCE_CHARS] = reference.as_bytes().try_into().ok()?;
        self.inner.known.get(key)
    }

    /// Verifies a token and remembers it.
    fn verify(&self, state: &State, token: &Arc<str>, now: u64) -> Result<Arc<Known>, Error> {
        let claims = state.verifier.verify(token, Audience::Call, now)?;
        let reference = reference(token);
        let shown = Credential::Either {
            bearer: Arc::clone(token),
            reference: reference.as_str().into(),
        };
        let known = Arc::new(Known::new(claims, shown, self.inner.grants.clone())?);
        if let Ok(key) = reference.as_bytes().try_into() {
            self.inner.known.insert(key, Arc::clone(&known));
        }
        Ok(known)
    }

    /// Believes these keys from now on, as the control plane itself told them to us just now: where
    /// a key was struck off, no snapshot could tell the next one. Says whether that is news.
    pub fn begin_again(&self, anchor: Anchor) -> bool {
        let last = self.inner.state.load();
        if anchor.keys == last.verifier.keys || anchor.issuer != last.verifier.issuer {
            return false;
        }
        let state = State {
            verifier: Verifier {
                keys: anchor.keys,
                ..last.verifier.clone()
            },
            revoked: last.revoked.clone(),
            granted: last.granted.clone(),
            ..**last
        };
        self.inner.state.store(Arc::new(state));
        self.inner.known.invalidate_all();
        true
    }

    /// Takes a snapshot that the control plane delivered.
    ///
    /// # Errors
    /// [`Dropped`]: unsigned, foreign, older or stale. Nothing changes then but the count.
    pub fn apply(&self, signed: &str) -> Result<(), Dropped> {
        self.take(signed).inspect_err(|_| {
            self.inner.dropped.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn take(&self, signed: &str) -> Result<(), Dropped> {
        let last = self.inner.state.load();
        let snapshot = Snapshot::open(signed, &last.verifier.keys).map_err(Dropped::Unsigned)?;
        if snapshot.aud != self.inner.identity || snapshot.iss != last.verifier.issuer {
            return Err(Dropped::Foreign);
        }
        if snapshot.number <= last.number {
            return Err(Dropped::Older {
                number: snapshot.number,
                last: last.number,
            });
        }
        let age_ms = now_ms().cast_signed() - snapshot.iat_ms.cast_signed();
        if age_ms.unsigned_abs() > AGE_MAX.as_millis() as u64 {
            return Err(Dropped::Stale(age_ms));
        }
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        if snapshot.grants != last.granted {
            let rules = Rules::read(&snapshot.grants).map_err(|_| Dropped::Grants)?;
            self.inner.grants.set(rules);
        }
        let keys_changed = snapshot.keys != last.verifier.keys;
        let state = State {
            number: snapshot.number,
            verifier: Verifier {
                keys: snapshot.keys,
                ..last.verifier.clone()
            },
            revoked: snapshot.revoked,
            granted: snapshot.grants,
            fresh_until: Some(Instant::now() + AGE_MAX.saturating_sub(age)),
        };
        self.inner.state.store(Arc::new(state));
        if keys_changed {
            // What an abandoned key signed must show itself again.
            self.inner.known.invalidate_all();
        }
        Ok(())
    }

    /// Whether it may let anybody in.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let until = self.inner.state.load().fresh_until;
        until.is_some_and(|until| Instant::now() <= until)
    }

    /// Number of the last snapshot taken; 0 before the first.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.inner.state.load().number
    }

    /// How many snapshots were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// The grants of now.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.inner.grants
    }

    /// The adapter that it belongs to.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }
}

impl Known {
    fn new(claims: Claims, shown: Credential, grants: Grants) -> Result<Self, TokenError> {
        let permissions = Permissions::parse(&claims.permissions)
            .map_err(|_| TokenError::Malformed("permissions"))?;
        let ids: Vec<Uuid> = std::iter::once(claims.jti)
            .chain(claims.parents())
            .collect();
        let actor = |act: &Act| {
            let permissions = Permissions::parse(&act.permissions)
                .map_err(|_| TokenError::Malformed("act: permissions"))?;
            let identity = act.sub.clone();
            Ok(Actor {
                identity,
                permissions,
            })
        };
        let mut actors: Vec<Actor> = claims.actors().map(actor).collect::<Result<_, _>>()?;
        actors.reverse();
        let told = serde_json::to_string(&claims).expect("claims are JSON");
        Ok(Self {
            principal: Arc::new(Principal {
                permissions,
                claims: told.into(),
                grants,
                expires: claims.exp,
                tokens: ids.iter().map(Uuid::to_string).collect(),
                actors,
                shown: Some(shown),
                ..Principal::new(claims.sub, Permissions::default())
            }),
            ids,
        })
    }
}

fn stale() -> Error {
    Error::new(
        Kind::InternalError,
        "no word from the control plane for 30 s: what was revoked meanwhile is not known here, \
         so nobody is let in (`weft health` says why)",
    )
    .case(case::TRUST_STALE)
}

#[cfg(test)]
mod tests;
