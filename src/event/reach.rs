//! Which events somebody may read: what his token or a grant gives, where no grant takes it away.
//!
//! A stream pushes by subjects, and nobody looks at each event on its way. So whoever asks for
//! events must be permitted all of them, and none may be taken: a grant with a condition gives
//! nothing here, and one that denies always does.

use crate::{
    call::{Principal, grant::Rule, permission::Pattern},
    error::{Error, Kind},
    name::Identity,
};

/// Events of one source or all, as far as their types go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a> {
    pub(super) source: Option<&'a Identity>,
    pub(super) kinds: Kinds<'a>,
}

/// Types of events.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kinds<'a> {
    All,
    /// Those that begin so, with the dot.
    Below(&'a str),
    One(&'a str),
}

impl Kinds<'_> {
    /// What a permission must cover, for one that covers it covers all of these.
    fn widest(&self) -> &str {
        match self {
            Self::All => "",
            Self::Below(text) | Self::One(text) => text,
        }
    }
}

impl Reach<'_> {
    /// Whether this principal may do this with all of these events: he, and each who acts for him.
    ///
    /// # Errors
    /// `ACCESS_DENIED` with the permission that is missing, or the grant that takes some of it.
    pub(super) fn permit(&self, action: &str, by: &Principal) -> Result<(), Error> {
        let rules = by.grants.now();
        for (who, own) in by.chain() {
            let who = who.as_str();
            if let Some(taken) = rules.taken(who).find(|rule| self.is_met_by(rule, action)) {
                return Err(self.taken(taken));
            }
            let firm = rules.firm(who).map(|rule| &rule.permission);
            let covers = own.iter().chain(firm).any(|permission| {
                self.is_covered(&permission.target) && permission.action.matches(&[action])
            });
            if !covers {
                return Err(self.missing(action));
            }
        }
        Ok(())
    }

    /// A permission for `*` as source is one for every source.
    fn is_covered(&self, target: &Pattern) -> bool {
        let source = self.source.map_or("*", Identity::as_str);
        ["*", source].iter().any(|source| {
            let widest = format!("events/{source}/{}", self.kinds.widest());
            match (target, self.kinds) {
                (Pattern::All, _) => true,
                (Pattern::Prefix(prefix), _) => widest.starts_with(prefix.as_str()),
                (Pattern::Exact(exact), Kinds::One(_)) => *exact == widest,
                (Pattern::Exact(_), _) => false,
            }
        })
    }

    /// Whether a rule is about any of these events.
    fn is_met_by(&self, rule: &Rule, action: &str) -> bool {
        rule.permission.action.matches(&[action]) && self.meets(&rule.permission.target)
    }

    fn meets(&self, target: &Pattern) -> bool {
        let (text, open) = match target {
            Pattern::All => return true,
            Pattern::Prefix(text) => (text.as_str(), true),
            Pattern::Exact(text) => (text.as_str(), false),
        };
        let Some(rest) = text.strip_prefix("events/") else {
            return open && "events/".starts_with(text);
        };
        let source = self.source.map(Identity::as_str);
        let Some((of, kind)) = rest.split_once('/') else {
            return open && source.is_none_or(|source| source.starts_with(rest));
        };
        let same = of == "*" || source.is_none_or(|source| source == of);
        same && match self.kinds {
            Kinds::All => true,
            Kinds::Below(prefix) => kind.starts_with(prefix) || (open && prefix.starts_with(kind)),
            Kinds::One(one) => one == kind || (open && one.starts_with(kind)),
        }
    }

    fn missing(&self, action: &str) -> Error {
        let source = self.source.map_or("*", Identity::as_str);
        let star = if matches!(self.kinds, Kinds::One(_)) {
            ""
        } else {
            "*"
        };
        let needs = format!("{action}:events/{source}/{}{star}", self.kinds.widest());
        let said =
            format!("these events need the permission `{needs}`; --type and --source ask for less");
        Error::new(Kind::AccessDenied, said).with("needs", needs)
    }

    fn taken(&self, rule: &Rule) -> Error {
        let said = format!(
            "the grant {} denies `{}`, and some of these events are of those: --type and --source \
             ask for less",
            rule.id, rule.permission
        );
        Error::new(Kind::AccessDenied, said)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::call::{
        Permissions,
        grant::{Grant, Rules},
    };

    fn may(own: &[&str], grants: &[(&str, bool, Option<&str>)], reach: Reach<'_>) -> bool {
        let grants: Vec<Grant> = grants
            .iter()
            .map(|(permission, deny, condition)| Grant {
                id: Uuid::now_v7(),
                who: "alice".to_owned(),
                permission: (*permission).to_owned(),
                deny: *deny,
                condition: condition.map(str::to_owned),
            })
            .collect();
        let alice = Identity::new("alice").expect("a name");
        let own = Permissions::parse(own).expect("permissions");
        let alice = Principal::new(alice, own);
        alice.grants.set(Rules::read(&grants).expect("grants"));
        reach.permit("subscribe", &alice).is_ok()
    }

    #[test]
    fn what_is_taken_is_in_nothing_that_is_read() {
        let bob = Identity::new("bob").expect("a name");
        let of = |source, kinds| Reach { source, kinds };
        let task = of(None, Kinds::Below("task."));
        let own = &["subscribe:events/*"][..];
        for (taken, reach, permitted) in [
            ("subscribe:events/*/task.secret", task, false),
            (
                "subscribe:events/*/task.secret",
                of(None, Kinds::All),
                false,
            ),
            (
                "subscribe:events/*/task.secret",
                of(None, Kinds::One("task.created")),
                true,
            ),
            (
                "subscribe:events/*/task.secret",
                of(None, Kinds::One("task.secret")),
                false,
            ),
            (
                "subscribe:events/*/task.s*",
                of(None, Kinds::One("task.secret")),
                false,
            ),
            ("subscribe:events/*/research.*", task, true),
            ("subscribe:events/eve/*", task, false),
            (
                "subscribe:events/eve/*",
                of(Some(&bob), Kinds::Below("task.")),
                true,
            ),
            (
                "subscribe:events/b*",
                of(Some(&bob), Kinds::Below("task.")),
                false,
            ),
            ("replay:events/*", task, true),
            ("*", task, false),
        ] {
            assert!(may(own, &[], reach), "nothing is taken");
            assert_eq!(
                may(own, &[(taken, true, None)], reach),
                permitted,
                "{taken}"
            );
        }
    }

    #[test]
    fn a_grant_gives_what_a_token_does_and_with_a_condition_nothing() {
        let task = Reach {
            source: None,
            kinds: Kinds::Below("task."),
        };
        let give = "subscribe:events/*/task.*";
        assert!(!may(&[], &[], task));
        assert!(may(&[give], &[], task));
        assert!(may(&[], &[(give, false, None)], task));
        assert!(!may(&[], &[(give, false, Some("caller == 'alice'"))], task));
        assert!(!may(
            &[give],
            &[(give, true, Some("caller == 'eve'"))],
            task
        ));
    }
}
