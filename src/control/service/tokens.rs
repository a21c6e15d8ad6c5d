//! The tools about tokens and trust.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Desk, Outcome,
    shapes::{
        About, TokenInspect, TokenIssue, TokenIssued, TokenList, TokenPage, TokenRevoke,
        TokensRevoked, TrustOpened,
    },
};
use crate::{
    access::{
        Lifetimes, Role, TokenError,
        exchange::{Delegate, Delegated, Deliver, Exchange, Exchanged, Vouch, Vouched},
        issuer::OUTSIDE,
        now,
        proof::Stamp,
    },
    call::{Permissions, Principal},
    control::{
        kick,
        leases::LEASE,
        tokens::{Issued, Shown, Which, Wish, invalid},
    },
    error::{Error, Kind},
    name::{Identity, id as ids},
};

/// Tokens on one page of a list: it must fit into one message.
const PAGE: usize = 100;

impl Desk {
    pub(super) async fn token_exchange(
        &self,
        by: &Principal,
        arguments: Exchange,
    ) -> Result<Outcome, Error> {
        let shown = Shown {
            jti: id("jti", &arguments.jti)?,
            stamp: Stamp {
                at: arguments.at,
                nonce: &arguments.nonce,
            },
            proof: &arguments.proof,
        };
        let issued = self.tokens.exchange(&by.identity, shown).await?;
        let said = format!(
            "A call token of {} until {}.",
            by.identity, issued.claims.exp
        );
        let exchanged = Exchanged {
            expires_at: issued.claims.exp,
            token: issued.token,
            anchor: issued.anchor,
            event_key: self.events.key(&by.identity),
            renewable: issued.renewable,
        };
        Ok(Outcome::new(&exchanged).saying(said))
    }

    /// A server gets a token to act for somebody who called it.
    pub(super) async fn token_delegate(
        &self,
        by: &Principal,
        arguments: Delegate,
    ) -> Result<Outcome, Error> {
        let own = by.connect_token().ok_or(TokenError::Missing)?;
        let (token, claims) = self.tokens.delegate(own, &arguments.subject_token).await?;
        let said = format!(
            "A call token with which {} acts for {} until {}.",
            by.identity, claims.sub, claims.exp
        );
        let delegated = Delegated {
            token,
            expires_at: claims.exp,
        };
        Ok(Outcome::new(&delegated).saying(said))
    }

    /// What the edge checked, it is believed; but it makes nobody of the mesh, and gives nothing
    /// that it was not given.
    pub(super) async fn token_vouch(
        &self,
        by: &Principal,
        arguments: Vouch,
    ) -> Result<Outcome, Error> {
        if by.identity.as_str() != ids::GATEWAY || !by.actors.is_empty() {
            return Err(denied("only the gateway vouches for somebody".to_owned()));
        }
        let name = identity("name", &arguments.name)?;
        if !name.as_str().starts_with(OUTSIDE) {
            let said = format!("argument `name`: who comes from outside begins with `{OUTSIDE}`");
            return Err(invalid(said));
        }
        let permissions = Permissions::parse(&arguments.permissions)
            .map_err(|error| invalid(format!("argument `permissions`: {error}")))?;
        let held = |asked: &_| by.permissions.iter().any(|own| own.contains(asked));
        if let Some(asked) = permissions.iter().find(|asked| !held(asked)) {
            return Err(denied(format!(
                "the gateway's own token does not permit `{asked}`, so it can't give it: issue it \
                 one that does"
            )));
        }
        let wish = Wish {
            name,
            permissions,
            role: Some(Role::Caller),
            ttl: Some(Duration::from_secs(arguments.ttl_seconds).min(Lifetimes::CALL_MAX)),
            renewable: Some(false),
        };
        let issued = self.tokens.vouch(wish).await?;
        let (who, until) = (&issued.claims.sub, issued.claims.exp);
        let said = format!("A call token of {who} until {until}.");
        let vouched = Vouched {
            expires_at: until,
            token: issued.token,
        };
        Ok(Outcome::new(&vouched).saying(said))
    }

    pub(super) async fn token_issue(&self, arguments: TokenIssue) -> Result<Outcome, Error> {
        let wish = Wish {
            name: identity("name", &arguments.name)?,
            permissions: Permissions::parse(&arguments.permissions)
                .map_err(|error| invalid(format!("argument `permissions`: {error}")))?,
            role: arguments.role,
            ttl: arguments.ttl_seconds.map(Duration::from_secs),
            renewable: arguments.renewable,
        };
        Ok(told(&self.tokens.issue(wish).await?))
    }

    /// Somebody who runs for long gets the next token.
    pub(super) async fn token_renew(&self, by: &Principal) -> Result<Outcome, Error> {
        let own = by.connect_token().ok_or(TokenError::Missing)?;
        Ok(told(&self.tokens.renew(own).await?))
    }

    pub(super) async fn token_revoke(&self, arguments: TokenRevoke) -> Result<Outcome, Error> {
        let which = match (&arguments.jti, &arguments.name) {
            (Some(jti), None) => Which::Id(id("jti", jti)?),
            (None, Some(name)) => Which::Of(identity("name", name)?),
            _ => return Err(invalid("arguments: give `jti` or `name`, one of the two")),
        };
        let revoked = self.tokens.revoke(&which).await?;
        let ids: Vec<Uuid> = revoked.iter().map(|(id, _)| *id).collect();
        let connections_cut = match &self.kicks {
            // An existing broker with one account: its own operator cuts connections.
            None => None,
            Some(wire) => match kick::kick(wire, &ids).await {
                Ok(count) => Some(count),
                Err(error) => {
                    tracing::warn!(%error, "connections of revoked tokens were not cut; their calls are refused all the same");
                    None
                }
            },
        };
        Ok(Outcome::new(&TokensRevoked {
            tokens: revoked
                .iter()
                .map(|(id, record)| About::record(id, record))
                .collect(),
            connections_cut,
        }))
    }

    pub(super) fn token_list(&self, arguments: &TokenList) -> Result<Outcome, Error> {
        let name = arguments
            .name
            .as_deref()
            .map(|name| identity("name", name))
            .transpose()?;
        let after = arguments
            .after
            .as_deref()
            .map(|after| id("after", after))
            .transpose()?;
        let (table, now) = (self.tokens.table(), now());
        let table = table.borrow();
        let mut found = table
            .iter()
            .filter(|(id, _)| after.is_none_or(|after| *id > after))
            .filter(|(_, record)| name.as_ref().is_none_or(|name| record.sub == *name))
            .filter(|(_, record)| arguments.all || record.check(now).is_ok());
        let tokens: Vec<About> = found
            .by_ref()
            .take(PAGE)
            .map(|(id, record)| About::record(id, record))
            .collect();
        let next = found
            .next()
            .and_then(|_| tokens.last().map(|last| last.jti.clone()));
        Ok(Outcome::new(&TokenPage { tokens, next }))
    }

    pub(super) fn token_inspect(&self, arguments: &TokenInspect) -> Result<Outcome, Error> {
        let jti = id("jti", &arguments.jti)?;
        let table = self.tokens.table();
        let table = table.borrow();
        let record = table.get(&jti).ok_or_else(|| {
            invalid("argument `jti`: there is no such token: `token_list` shows them")
        })?;
        Ok(Outcome::new(&About::record(jti, record)))
    }

    pub(super) async fn trust_open(
        &self,
        by: &Principal,
        arguments: Deliver,
    ) -> Result<Outcome, Error> {
        let number = self.watches.open(&by.identity, &arguments.deliver).await?;
        Ok(Outcome::new(&TrustOpened {
            lease_seconds: LEASE.as_secs(),
            number,
        }))
    }
}

/// A new connect token, told once.
fn told(issued: &Issued) -> Outcome {
    let said = format!(
        "Token {} of {} until {}; it stands in structuredContent, once.",
        issued.claims.jti, issued.claims.sub, issued.claims.exp
    );
    let answer = TokenIssued {
        about: About::claims(&issued.claims),
        token: issued.token.clone(),
    };
    Outcome::new(&answer).saying(said)
}

fn denied(why: String) -> Error {
    Error::new(Kind::AccessDenied, why)
}

fn id(field: &str, text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| invalid(format!("argument `{field}`: no token id (a UUID)")))
}

pub(super) fn identity(field: &str, text: &str) -> Result<Identity, Error> {
    Identity::new(text).map_err(|error| invalid(format!("argument `{field}`: {error}")))
}
