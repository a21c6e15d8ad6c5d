//! Acting for somebody: a call token that says whose call it is and who makes it (RFC 8693, `act`).
//!
//! A server that needs another one to answer its caller shows the control plane the call token that
//! came with the call, and gets one of its own in which it stands as the actor. What such a token
//! permits is what each of them may, decided one by one where it is used: so both lists travel.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Audience, Claims, Lifetimes, TokenError};
use crate::{call::Permissions, name::Identity};

/// So many may act for somebody, one for the other.
pub const ACTORS_MAX: usize = 4;

/// Who acts: the one that calls now, and in `act` the one that he was called by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Act {
    /// Who.
    pub sub: Identity,
    /// What he may do himself.
    pub permissions: Vec<String>,
    /// His connect token: he acts for nobody once it is revoked.
    pub par: Uuid,
    /// Who acted before him.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Self>>,
}

impl Act {
    /// He, and those before him.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |act| act.act.as_deref())
    }
}

impl Claims {
    /// Who acts for the subject, the one that calls now first.
    pub fn actors(&self) -> impl Iterator<Item = &Act> {
        self.act.iter().flat_map(|act| act.chain())
    }

    /// Who sends with this token: the broker must vouch for him.
    #[must_use]
    pub fn sender(&self) -> &Identity {
        self.act.as_ref().map_or(&self.sub, |act| &act.sub)
    }

    /// The connect tokens that this token ends with.
    pub fn parents(&self) -> impl Iterator<Item = Uuid> {
        self.par.into_iter().chain(self.actors().map(|act| act.par))
    }

    /// That nobody acts where nobody may, nor more than may.
    pub(super) fn check_actors(&self) -> Result<(), TokenError> {
        if self.act.is_some() && self.aud != Audience::Call {
            return Err(TokenError::Malformed("act in a connect token"));
        }
        if self.actors().count() > ACTORS_MAX {
            return Err(TokenError::Malformed("act: too deep"));
        }
        let read = |act: &Act| Permissions::parse(&act.permissions).is_ok();
        if !self.actors().all(read) {
            return Err(TokenError::Malformed("act: permissions"));
        }
        Ok(())
    }

    /// The claims of a call token with which the holder of the connect token `own` acts for the
    /// subject of this call token. It ends with the first of the two. Nothing where
    /// [`ACTORS_MAX`] act already.
    #[must_use]
    pub fn for_actor(&self, own: &Self, lifetimes: &Lifetimes, now: u64) -> Option<Self> {
        if self.actors().count() >= ACTORS_MAX {
            return None;
        }
        let until = now + lifetimes.call.as_secs();
        Some(Self {
            jti: Uuid::now_v7(),
            iat: now,
            nbf: now,
            exp: self.exp.min(own.exp).min(until),
            act: Some(Box::new(Act {
                sub: own.sub.clone(),
                permissions: own.permissions.clone(),
                par: own.jti,
                act: self.act.clone(),
            })),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Role, claims::Term};

    fn connect(name: &str, until: u64) -> Claims {
        let term = Term { from: 1000, until };
        let name = Identity::new(name).expect("a name");
        Claims::connect(&name, &Permissions::default(), Role::Caller, "mesh", term)
    }

    #[test]
    fn four_act_at_most_the_last_one_outermost() {
        let lifetimes = Lifetimes::default();
        let mut token = connect("alice", 9000).call(&lifetimes, 1000);
        assert_eq!(token.sender().as_str(), "alice");
        for name in ["a", "b", "c", "d"] {
            let own = connect(name, 9000);
            token = token.for_actor(&own, &lifetimes, 1000).expect("at most 4");
            assert_eq!(token.sender().as_str(), name);
            assert_eq!(token.check_actors(), Ok(()));
        }
        let names: Vec<&str> = token.actors().map(|act| act.sub.as_str()).collect();
        assert_eq!(
            (token.sub.as_str(), names),
            ("alice", vec!["d", "c", "b", "a"])
        );
        assert_eq!(token.parents().count(), 5);
        let own = connect("e", 9000);
        assert!(token.for_actor(&own, &lifetimes, 1000).is_none());
        let innermost = Act {
            sub: own.sub,
            permissions: Vec::new(),
            par: own.jti,
            act: token.act.take(),
        };
        token.act = Some(Box::new(innermost));
        let refused = token.check_actors().expect_err("five");
        assert_eq!(refused, TokenError::Malformed("act: too deep"));
    }

    #[test]
    fn it_ends_with_the_first_of_the_two() {
        let lifetimes = Lifetimes::default();
        let token = connect("alice", 1500).call(&lifetimes, 1000);
        for (own, exp) in [(1400, 1400), (9000, 1500)] {
            let acting = token.for_actor(&connect("a", own), &lifetimes, 1100);
            assert_eq!(acting.expect("one").exp, exp);
        }
    }

    #[test]
    fn nobody_acts_in_a_connect_token() {
        let lifetimes = Lifetimes::default();
        let call = connect("alice", 1500).call(&lifetimes, 1000);
        let mut claims = call
            .for_actor(&connect("a", 1500), &lifetimes, 1000)
            .expect("one");
        assert_eq!(claims.check_actors(), Ok(()));
        claims.aud = Audience::Connect;
        assert!(claims.check_actors().is_err());
        claims.aud = Audience::Call;
        claims.act.as_mut().expect("one").permissions = vec!["nonsense".into()];
        assert!(claims.check_actors().is_err());
    }
}
