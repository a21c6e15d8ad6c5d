//! Tokens that come from tokens: a call token for a connect token, one to act with for a call token,
//! and a new connect token for one that ends soon.

use std::time::Duration;

use uuid::Uuid;

use super::{Issued, Shown, Tokens, Which, Wish, invalid};
use crate::{
    access::{Audience, Claims, TokenError, act::ACTORS_MAX, now, proof, verify::BYTES_MAX},
    call::Permissions,
    error::{Error, Kind},
    name::Identity,
};

impl Tokens {
    /// A call token for who shows that he holds a connect token.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED` where he does not, or it is over or revoked.
    pub async fn exchange(&self, caller: &Identity, shown: Shown<'_>) -> Result<Issued, Error> {
        let record = self.record(shown.jti).await?;
        let now = now();
        if record.sub != *caller {
            return Err(TokenError::Proof.into());
        }
        proof::check(
            &record.digest,
            caller.as_str(),
            shown.stamp,
            shown.proof,
            now,
        )?;
        if !self
            .used
            .entry(shown.proof.to_owned())
            .or_insert(())
            .is_fresh()
        {
            return Err(TokenError::Proof.into());
        }
        record.check(now)?;
        let connect = record.claims(shown.jti, self.keys.issuer());
        let claims = connect.call(self.keys.lifetimes(), now);
        Ok(Issued {
            token: self.keys.sign(&claims).0,
            claims,
            renewable: record.renewable,
            anchor: self.anchor(),
        })
    }

    /// A call token with which the holder of the connect token `own` acts for the subject of a call
    /// token that he was sent.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED` where that token or one that it ends with is none of ours, over or
    /// revoked; `ACCESS_DENIED` where too many act already; `INVALID_PARAMS` where what they may all
    /// together does not fit into a token.
    pub async fn delegate(&self, own: Uuid, subject: &str) -> Result<(String, Claims), Error> {
        let now = now();
        let subject = self.keys.verifier().verify(subject, Audience::Call, now)?;
        for id in subject.parents() {
            self.record(id).await?.check(now)?;
        }
        let record = self.record(own).await?;
        record.check(now)?;
        let own = record.claims(own, self.keys.issuer());
        let claims = subject
            .for_actor(&own, self.keys.lifetimes(), now)
            .ok_or_else(|| {
                let said = format!(
                    "{ACTORS_MAX} act for `{}` already: no more may",
                    subject.sub
                );
                Error::new(Kind::AccessDenied, said)
            })?;
        let (token, _) = self.keys.sign(&claims);
        if token.len() > BYTES_MAX {
            return Err(invalid(format!(
                "what `{}` and those who act may is too much for one token ({} bytes, at most \
                 {BYTES_MAX}): use patterns (`call:tools/gh/*`)",
                claims.sub,
                token.len()
            )));
        }
        Ok((token, claims))
    }

    /// A call token of somebody who has no connect token: its record is kept like that of one, so
    /// that it is listed and can be revoked.
    ///
    /// # Errors
    /// As [`Tokens::issue`].
    pub async fn vouch(&self, wish: Wish) -> Result<Issued, Error> {
        let connect = self.issue(wish).await?;
        let claims = connect.claims.call(self.keys.lifetimes(), now());
        Ok(Issued {
            token: self.keys.sign(&claims).0,
            claims,
            renewable: false,
            anchor: connect.anchor,
        })
    }

    /// A new connect token like this one, which its holder still has: for as long as that one was
    /// for. They are one family: with one of them all are revoked.
    ///
    /// # Errors
    /// `ACCESS_DENIED` where it was not issued to be renewed, `AUTHENTICATION_FAILED` where it is
    /// over or revoked, and those of [`Tokens::issue`].
    pub async fn renew(&self, own: Uuid) -> Result<Issued, Error> {
        let record = self.record(own).await?;
        record.check(now())?;
        if !record.renewable {
            return Err(Error::new(
                Kind::AccessDenied,
                "this token was not issued to be renewed (`weft token issue --renewable`): its \
                 holder needs a new one",
            ));
        }
        let permissions = Permissions::parse(&record.permissions)
            .map_err(|_| Error::from(TokenError::Malformed("permissions")))?;
        let wish = Wish {
            name: record.sub.clone(),
            permissions,
            role: Some(record.role),
            ttl: Some(Duration::from_secs(record.exp - record.iat)),
            renewable: Some(true),
        };
        let issued = self.issue_as(wish, record.root(own)).await?;
        // Revoked meanwhile: whoever did that saw no token of this id yet.
        if self.record(own).await?.revoked_at.is_some() {
            self.revoke(&Which::Id(issued.claims.jti)).await?;
            return Err(TokenError::Revoked.into());
        }
        Ok(issued)
    }
}
