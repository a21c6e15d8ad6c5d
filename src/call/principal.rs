//! Who calls, once it is proven, and what he may do.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Permissions,
    condition::{Asked, Facts},
    context::Credential,
    grant::{Decision, Grants},
};
use crate::name::Identity;

/// A caller whose token was verified.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The subject of the token, in whose name all is done.
    pub identity: Identity,
    /// What the token permits.
    pub permissions: Permissions,
    /// Who acts for him, the one that calls last. Nothing is permitted that one of them may not.
    pub actors: Vec<Actor>,
    /// What the token says of him, a JSON object: for conditions.
    pub claims: Arc<str>,
    /// The grants of the mesh.
    pub grants: Grants,
    /// When the token ends, seconds since 1970.
    pub expires: u64,
    /// The id of the call token, of the connect token that it was made from, and of those of the
    /// actors: each may be revoked.
    pub tokens: Vec<String>,
    /// The call token that he showed: with it a server may act for him. It is never told on.
    pub shown: Option<Credential>,
}

/// Somebody who acts for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub identity: Identity,
    /// What he may do himself.
    pub permissions: Permissions,
}

impl Principal {
    /// Somebody with these permissions, without a token and without grants.
    #[must_use]
    pub fn new(identity: Identity, permissions: Permissions) -> Self {
        Self {
            identity,
            permissions,
            actors: Vec::new(),
            claims: "{}".into(),
            grants: Grants::default(),
            expires: u64::MAX,
            tokens: Vec::new(),
            shown: None,
        }
    }

    /// Who sends: the last that acts, or he himself. The broker vouches for this name.
    #[must_use]
    pub fn sender(&self) -> &Identity {
        self.actors
            .last()
            .map_or(&self.identity, |actor| &actor.identity)
    }

    /// The connect token that his call token was made from.
    #[must_use]
    pub fn connect_token(&self) -> Option<Uuid> {
        self.tokens.get(1)?.parse().ok()
    }

    /// He, and each who acts for him, with what the token permits them.
    pub fn chain(&self) -> impl Iterator<Item = (&Identity, &Permissions)> {
        let actors = self
            .actors
            .iter()
            .map(|actor| (&actor.identity, &actor.permissions));
        std::iter::once((&self.identity, &self.permissions)).chain(actors)
    }

    /// Decides whether he may do this with the target that `target`'s parts make together: he, and
    /// each who acts for him.
    #[must_use]
    pub fn decide(&self, action: &str, target: &[&str], facts: Facts<'_>) -> Decision {
        let mut first = None;
        for (_, decision) in self.decisions(action, target, facts) {
            if !decision.is_permitted() {
                return decision;
            }
            first.get_or_insert(decision);
        }
        first.expect("the chain begins with the principal")
    }

    /// What is decided of him, and of each who acts for him.
    fn decisions<'a>(
        &'a self,
        action: &'a str,
        target: &'a [&'a str],
        facts: Facts<'a>,
    ) -> impl Iterator<Item = (&'a Identity, Decision)> {
        let rules = self.grants.now();
        self.chain().map(move |(who, own)| {
            let asked = Asked {
                caller: who.as_str(),
                action,
                target,
                claims: &self.claims,
            };
            (who, rules.decide(own, asked, facts))
        })
    }

    /// Whether he may do this with something that has rules of its own: `own` says what they give,
    /// to him and to each who acts for him. A grant that denies it goes before them.
    #[must_use]
    pub fn may_or(&self, action: &str, target: &[&str], own: impl Fn(&Identity) -> bool) -> bool {
        self.decisions(action, target, Facts::NONE)
            .all(|(who, decision)| decision.is_permitted() || (!decision.is_taken() && own(who)))
    }

    /// Whether he may do this where nothing is called: conditions on a call's arguments are in
    /// doubt, and in doubt he may not.
    #[must_use]
    pub fn may(&self, action: &str, target: &[&str]) -> bool {
        self.decide(action, target, Facts::NONE).is_permitted()
    }

    /// Whether he might do one of these to anything that begins so.
    #[must_use]
    pub fn might(&self, actions: &[&str], prefix: &str) -> bool {
        let rules = self.grants.now();
        self.chain()
            .all(|(who, own)| rules.might(own, who.as_str(), actions, prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acts_for_another_may_do_what_both_may() {
        let who = |name| Identity::new(name).expect("a name");
        let may = |list: &[&str]| Permissions::parse(list).expect("permissions");
        let alice = Principal::new(who("alice"), may(&["call:tools/gh/*", "call:tools/pay/*"]));
        let by_agent = Principal {
            actors: vec![Actor {
                identity: who("agent"),
                permissions: may(&["call:tools/gh/*", "call:tools/jira/*"]),
            }],
            ..alice.clone()
        };
        for (target, alone, together) in [
            ("tools/gh/x", true, true),
            ("tools/pay/x", true, false),
            ("tools/jira/x", false, false),
        ] {
            assert_eq!(alice.may("call", &[target]), alone, "{target}");
            assert_eq!(by_agent.may("call", &[target]), together, "{target}");
            assert_eq!(by_agent.might(&["call"], target), together, "{target}");
            assert!(by_agent.may_or("call", &[target], |_| true), "{target}");
            let own = |who: &Identity| who.as_str() == "alice";
            let agent_may = target != "tools/pay/x";
            assert_eq!(
                by_agent.may_or("call", &[target], own),
                agent_may,
                "{target}"
            );
        }
        assert_eq!(alice.sender().as_str(), "alice");
        assert_eq!(by_agent.sender().as_str(), "agent");
    }
}
