//! Tokens: issued, listed, revoked, exchanged.
//!
//! A connect token has a record in the bucket `WEFT_TOKENS`, under its id: whose it is, what it
//! permits, until when, its SHA-256, and when it was revoked. The token itself is kept nowhere. A
//! call token has none: it names the connect token that it was made from, and ends with it.
//!
//! Decisions (may this connection open, may this token be exchanged) read the record from the
//! bucket's leader. Lists and the set of revoked tokens come from a [`Table`] in memory.

mod derive;
mod record;
mod table;

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub use self::{record::Record, table::Table};
use super::{
    connect::unavailable,
    keyring::Keyring,
    roles,
    store::{Bucket, Stored, Written},
};
use crate::{
    access::{Anchor, Audience, Claims, Role, TokenError, claims::Term, digest, now, proof},
    call::Permissions,
    error::{Error, Kind},
    name::Identity,
    spawn::Tasks,
};

/// More records than this are not kept: what has expired goes first, then no token is issued.
pub const TOKENS_MAX: usize = 20_000;
/// A token permits at most so many things.
pub const PERMISSIONS_MAX: usize = 512;
/// Permissions of one token have at most so many bytes together: the token must stay below 8 KiB.
const PERMISSIONS_BYTES_MAX: usize = 4096;
/// Tries of a change that somebody else's change got in the way of.
const TRIES_MAX: usize = 4;
/// How long the reader of the table may need to see what was just written.
const SEEN_MAX: Duration = Duration::from_secs(2);

/// A handle to the tokens of the mesh. Clones share it.
#[derive(Clone, Debug)]
pub struct Tokens {
    bucket: Bucket,
    table: watch::Receiver<Table>,
    nudge: Arc<Notify>,
    keys: Keyring,
    /// Proofs that were used, so that none is used twice.
    used: Cache<String, ()>,
}

/// What a new token shall be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Whose it is.
    pub name: Identity,
    /// What it permits.
    pub permissions: Permissions,
    /// What he is to the broker; where nothing is said, it follows from the permissions.
    pub role: Option<Role>,
    /// How long it lives; where nothing is said, 24 h.
    pub ttl: Option<Duration>,
    /// Whether its holder may have it renewed; where nothing is said, servers and gateways may.
    pub renewable: Option<bool>,
}

/// A token that was issued, told once.
#[derive(Clone)]
pub struct Issued {
    /// The token. A secret.
    pub token: String,
    /// What it says.
    pub claims: Claims,
    /// Whether the connect token may be renewed.
    pub renewable: bool,
    /// What it is to remember of its keys.
    pub anchor: Anchor,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// Which tokens to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// One, and those that it was renewed from or by.
    Id(Uuid),
    /// All of an identity.
    Of(Identity),
}

/// How a caller shows which of his tokens he holds.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The id of the token.
    pub jti: Uuid,
    /// When the proof was made, and its nonce.
    pub stamp: proof::Stamp<'a>,
    /// The proof.
    pub proof: &'a str,
}

impl Tokens {
    /// Reads all records, and follows their changes from then on.
    pub(super) async fn start(bucket: Bucket, keys: Keyring, tasks: &Tasks) -> Result<Self, Error> {
        let nudge = Arc::new(Notify::new());
        let table = table::follow(bucket.clone(), Arc::clone(&nudge), tasks).await?;
        let used = Cache::builder()
            .max_capacity(100_000)
            .time_to_live(Duration::from_secs(2 * proof::WINDOW_S + 1))
            .build();
        Ok(Self {
            bucket,
            table,
            nudge,
            keys,
            used,
        })
    }

    /// The records as they were last read.
    #[must_use]
    pub fn table(&self) -> watch::Receiver<Table> {
        self.table.clone()
    }

    /// The keys that sign them.
    pub(super) const fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// What trust in this mesh begins with.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        self.keys.anchor()
    }

    /// Issues a connect token.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with what is wrong with the wish, `SERVER_OVERLOADED` where there are too
    /// many tokens or the store does not answer.
    pub async fn issue(&self, wish: Wish) -> Result<Issued, Error> {
        self.issue_as(wish, None).await
    }

    /// Issues one of the family that begins with `root`, or the first of one.
    async fn issue_as(&self, wish: Wish, root: Option<Uuid>) -> Result<Issued, Error> {
        let lifetimes = *self.keys.lifetimes();
        let role = wish
            .role
            .unwrap_or_else(|| Role::of(&wish.name, &wish.permissions));
        roles::check(&wish.name, role, &wish.permissions)
            .map_err(|refusal| invalid(refusal.to_string()))?;
        check_size(&wish.permissions)?;
        let ttl = wish.ttl.unwrap_or(lifetimes.connect);
        let max = lifetimes.max(Audience::Connect);
        if ttl > max || ttl.as_secs() == 0 {
            return Err(invalid(format!(
                "ttl: {} s; a token lives 1 s to {} s",
                ttl.as_secs(),
                max.as_secs()
            )));
        }
        let held = self.table.borrow().len();
        if held >= TOKENS_MAX {
            return Err(Error::new(
                Kind::ServerOverloaded,
                format!("there are {held} tokens, and no more are kept: wait until some expire"),
            ));
        }
        let from = now();
        let term = Term {
            from,
            until: from + ttl.as_secs(),
        };
        let claims = Claims::connect(
            &wish.name,
            &wish.permissions,
            role,
            self.keys.issuer(),
            term,
        );
        let (token, kid) = self.keys.sign(&claims);
        let renewable = wish.renewable.unwrap_or_else(|| role.is_long_running());
        let record = Record {
            renewable,
            root,
            ..Record::of(&claims, digest(&token), kid)
        };
        let key = claims.jti.to_string();
        match self.bucket.put(&key, record.encode(), Some(0)).await? {
            Written::As(revision) => self.seen(revision).await?,
            Written::Lost => return Err(unavailable("two tokens got the same id: try again")),
        }
        Ok(Issued {
            token,
            claims,
            renewable,
            anchor: self.anchor(),
        })
    }

    /// Revokes tokens, and says which. Nobody connects or gets a call token with them from now
    /// on; adapters hear of it by the next snapshot, which is sent at once.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where there is no such token, `SERVER_OVERLOADED` where the store does not
    /// answer: then nothing is known of what was not yet revoked.
    pub async fn revoke(&self, which: &Which) -> Result<Vec<(Uuid, Record)>, Error> {
        let ids: Vec<Uuid> = match which {
            Which::Id(id) => self.table.borrow().family(id),
            Which::Of(name) => self.table.borrow().of(name).map(|(id, _)| id).collect(),
        };
        let mut revoked = Vec::with_capacity(ids.len());
        let mut last = 0;
        for id in ids {
            let (record, revision) = self.revoke_one(id).await?;
            last = last.max(revision);
            revoked.push((id, record));
        }
        if revoked.is_empty() {
            return Err(invalid("there is no such token: `token_list` shows them"));
        }
        self.seen(last).await?;
        Ok(revoked)
    }

    async fn revoke_one(&self, id: Uuid) -> Result<(Record, u64), Error> {
        let key = id.to_string();
        for _ in 0..TRIES_MAX {
            let stored = self.bucket.get(&key).await?;
            let (mut record, revision) = stored
                .and_then(|stored| Some((Record::decode(&stored.value)?, stored.revision)))
                .ok_or_else(|| invalid("there is no such token: `token_list` shows them"))?;
            if record.revoked_at.is_some() {
                return Ok((record, revision));
            }
            record.revoked_at = Some(now());
            let put = self.bucket.put(&key, record.encode(), Some(revision));
            if let Written::As(revision) = put.await? {
                return Ok((record, revision));
            }
        }
        Err(unavailable("the token changes all the time: try again"))
    }

    /// The claims of a connect token that may open a connection now.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED`: none of ours, another use, over, revoked. `SERVER_OVERLOADED`
    /// where the store does not answer: then nobody is let in.
    pub async fn admit(&self, token: &str) -> Result<Claims, Error> {
        let now = now();
        let claims = self.keys.verifier().verify(token, Audience::Connect, now)?;
        let record = self.record(claims.jti).await?;
        if record.digest != digest(token) {
            return Err(TokenError::Signature.into());
        }
        record.check(now)?;
        Ok(claims)
    }

    /// The record of a token, from the store's leader.
    async fn record(&self, id: Uuid) -> Result<Record, Error> {
        let stored: Option<Stored> = self.bucket.get(&id.to_string()).await?;
        stored
            .and_then(|stored| Record::decode(&stored.value))
            // One that the store does not know was never issued, or forgotten long after its end.
            .ok_or_else(|| TokenError::Malformed("no record").into())
    }

    /// Waits until the table has what was just written.
    async fn seen(&self, revision: u64) -> Result<(), Error> {
        self.nudge.notify_one();
        let mut table = self.table.clone();
        let seen = table.wait_for(|table| table.revision() >= revision);
        match tokio::time::timeout(SEEN_MAX, seen).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(unavailable(
                "the change is stored, but was not read back in time: look with `token_list`",
            )),
        }
    }
}

fn check_size(permissions: &Permissions) -> Result<(), Error> {
    let texts = permissions.to_strings();
    let bytes: usize = texts.iter().map(|text| text.len() + 3).sum();
    if texts.len() > PERMISSIONS_MAX || bytes > PERMISSIONS_BYTES_MAX {
        return Err(invalid(format!(
            "permissions: {} of {bytes} bytes; at most {PERMISSIONS_MAX} of {PERMISSIONS_BYTES_MAX} \
             bytes fit into a token: use patterns (`call:tools/gh/*`)",
            texts.len()
        )));
    }
    Ok(())
}

/// What was asked for can't be.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidParams, message)
}
