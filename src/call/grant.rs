//! Grants: what somebody may do, or may not, beside what his token says; changed at run time.
//!
//! One that denies wins over every one that permits and over the token. A condition that can't be
//! decided permits nothing, and denies: in doubt the answer is no.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    condition::{Asked, Condition, ConditionError, Facts, Outcome},
    permission::{Pattern, Permission, PermissionError, Permissions},
};
use crate::name::Identity;

/// A grant, as it is stored and told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: Uuid,
    /// Whom it is for: a name, `prefix*`, or `*` for everybody.
    pub who: String,
    /// What it is about, `action:target`.
    pub permission: String,
    /// Whether it takes away instead of giving.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deny: bool,
    /// When it counts, in CEL; always, where there is none.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// A grant that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Nobody can be called so.
    #[error("`{0}` is nobody: a name, `prefix*`, or `*` for everybody")]
    Who(String),
    /// What it is about.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// When it counts.
    #[error(transparent)]
    Condition(#[from] ConditionError),
}

/// A grant that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id.
    pub id: Uuid,
    /// Whom it is for.
    pub who: Pattern,
    /// What it is about.
    pub permission: Permission,
    /// Whether it takes away.
    pub deny: bool,
    /// When it counts.
    pub condition: Option<Condition>,
}

impl Rule {
    /// Reads a grant.
    ///
    /// # Errors
    /// [`GrantError`]: what of it can't be read.
    pub fn read(grant: &Grant) -> Result<Self, GrantError> {
        let who = Pattern::new(&grant.who);
        let nobody = || GrantError::Who(grant.who.chars().take(80).collect());
        match &who {
            Pattern::All => {}
            // What can follow is a name's as well.
            Pattern::Prefix(text) | Pattern::Exact(text) => {
                Identity::new(text).map_err(|_| nobody())?;
            }
        }
        Ok(Self {
            id: grant.id,
            who,
            permission: Permission::parse(&grant.permission)?,
            deny: grant.deny,
            condition: grant
                .condition
                .as_deref()
                .map(Condition::parse)
                .transpose()?,
        })
    }

    /// Whether it is about this identity.
    #[must_use]
    pub fn is_about(&self, who: &str) -> bool {
        self.who.matches(&[who])
    }

    fn outcome(&self, asked: Asked<'_>, facts: Facts<'_>) -> Outcome {
        let condition = self.condition.as_ref();
        condition.map_or(Outcome::Holds, |condition| condition.decide(asked, facts))
    }
}

/// All grants, by whom they are for.
#[derive(Debug, Default)]
pub struct Rules {
    of: HashMap<String, Vec<Rule>>,
    of_many: Vec<Rule>,
}

impl Rules {
    /// Reads grants.
    ///
    /// # Errors
    /// That of the first that can't be read.
    pub fn read(grants: &[Grant]) -> Result<Self, GrantError> {
        let mut rules = Self::default();
        for grant in grants {
            let rule = Rule::read(grant)?;
            match &rule.who {
                Pattern::Exact(who) => rules.of.entry(who.clone()).or_default().push(rule),
                Pattern::All | Pattern::Prefix(_) => rules.of_many.push(rule),
            }
        }
        Ok(rules)
    }

    /// Those about an identity.
    pub fn about<'a>(&'a self, who: &'a str) -> impl Iterator<Item = &'a Rule> {
        let own = self.of.get(who).into_iter().flatten();
        own.chain(self.of_many.iter().filter(move |rule| rule.is_about(who)))
    }

    /// What this identity may do by grants, whatever their conditions: for who decides coarsely.
    pub fn given<'a>(&'a self, who: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.about(who).filter(|rule| !rule.deny)
    }

    /// What it may do by grants, without any condition.
    pub fn firm<'a>(&'a self, who: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.given(who).filter(|rule| rule.condition.is_none())
    }

    /// What it may not do, whatever the conditions.
    pub fn taken<'a>(&'a self, who: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.about(who).filter(|rule| rule.deny)
    }

    /// Whether the token or a grant permits one of these actions on anything that begins so, and
    /// no grant takes all of it away: what may be seen in a list.
    #[must_use]
    pub fn might(&self, own: &Permissions, who: &str, actions: &[&str], prefix: &str) -> bool {
        actions.iter().any(|action| {
            let mut of_grants = self.given(who);
            let given = own.touches(&[action], prefix)
                || of_grants.any(|rule| rule.permission.touches(action, prefix));
            given
                && !self
                    .taken(who)
                    .any(|rule| rule.condition.is_none() && rule.permission.covers(action, prefix))
        })
    }

    /// Decides by the grants, and by what the token permits.
    #[must_use]
    pub fn decide(&self, own: &Permissions, asked: Asked<'_>, facts: Facts<'_>) -> Decision {
        let by_token = own.permitting(asked.action, asked.target).is_some();
        let mut decision = if by_token {
            Decision::Permitted(Reason::Token)
        } else {
            Decision::Refused(Reason::Nothing)
        };
        for rule in self.about(asked.caller) {
            if !rule.permission.permits(asked.action, asked.target) {
                continue;
            }
            match (rule.deny, rule.outcome(asked, facts)) {
                (true, Outcome::Holds) => return Decision::Refused(Reason::Grant(rule.id)),
                (true, Outcome::Doubt) => {
                    return Decision::Refused(Reason::DoubtfulDenial(rule.id));
                }
                (false, Outcome::Holds | Outcome::Depends) if !decision.is_permitted() => {
                    decision = Decision::Permitted(Reason::Grant(rule.id));
                }
                (false, Outcome::Fails) if decision == Decision::Refused(Reason::Nothing) => {
                    decision = Decision::Refused(Reason::Condition(rule.id));
                }
                (false, Outcome::Doubt) if !decision.is_permitted() => {
                    decision = Decision::Refused(Reason::Doubt(rule.id));
                }
                _ => {}
            }
        }
        decision
    }
}

/// The grants of now. A cheap handle: whoever holds one sees each change.
#[derive(Clone, Debug, Default)]
pub struct Grants(Arc<ArcSwap<Rules>>);

impl Grants {
    /// These from now on.
    pub fn set(&self, rules: impl Into<Arc<Rules>>) {
        self.0.store(rules.into());
    }

    /// Those of this moment.
    #[must_use]
    pub fn now(&self) -> Arc<Rules> {
        self.0.load_full()
    }
}

/// Whether somebody may, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// He may.
    Permitted(Reason),
    /// He may not.
    Refused(Reason),
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By his token.
    Token,
    /// By this grant.
    Grant(Uuid),
    /// This grant would permit it, and its condition does not hold.
    Condition(Uuid),
    /// The condition of this grant, that would permit it, can't be decided.
    Doubt(Uuid),
    /// The condition of this grant, that would deny it, can't be decided.
    DoubtfulDenial(Uuid),
    /// Neither his token nor a grant permits it.
    Nothing,
}

impl Decision {
    /// Whether he may.
    #[must_use]
    pub const fn is_permitted(self) -> bool {
        matches!(self, Self::Permitted(_))
    }

    /// Whether a grant takes it away, whatever else may give it.
    #[must_use]
    pub const fn is_taken(self) -> bool {
        matches!(
            self,
            Self::Refused(Reason::Grant(_) | Reason::DoubtfulDenial(_))
        )
    }

    /// Why.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Permitted(reason) | Self::Refused(reason) => reason,
        }
    }
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, self.reason()) {
            (Self::Permitted(_), Reason::Grant(id)) => write!(f, "permitted by the grant {id}"),
            (Self::Permitted(_), _) => f.write_str("permitted by the token"),
            (Self::Refused(_), Reason::Grant(id)) => write!(f, "denied by the grant {id}"),
            (Self::Refused(_), Reason::Condition(id)) => {
                write!(f, "the condition of the grant {id} does not hold")
            }
            (Self::Refused(_), Reason::Doubt(id) | Reason::DoubtfulDenial(id)) => {
                write!(f, "the condition of the grant {id} can't be decided")
            }
            (Self::Refused(_), _) => f.write_str("neither the token nor a grant permits it"),
        }
    }
}

#[cfg(test)]
mod tests;
