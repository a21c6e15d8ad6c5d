//! The tools about grants.

use uuid::Uuid;

use super::{
    Desk, Outcome,
    shapes::{GrantAdd, GrantAdded, GrantList, GrantPage, GrantRemove, GrantRemoved},
};
use crate::{
    access::now,
    call::{
        Principal,
        grant::{Grant, Rule, Rules},
    },
    control::{grants::Kept, kick, roles, tokens::invalid},
    error::Error,
};

impl Desk {
    pub(super) async fn grant_add(
        &self,
        by: &Principal,
        asked: GrantAdd,
    ) -> Result<Outcome, Error> {
        let grant = Grant {
            id: Uuid::now_v7(),
            who: asked.who,
            permission: asked.permission,
            deny: asked.deny,
            condition: asked.condition,
        };
        Rule::read(&grant).map_err(|error| invalid(error.to_string()))?;
        let before = self.rules();
        let kept = self.grants.add(grant, &by.identity).await?;
        let connections_cut = self.cut(&kept, &before).await;
        Ok(Outcome::new(&GrantAdded {
            kept,
            connections_cut,
        }))
    }

    pub(super) async fn grant_remove(&self, asked: &GrantRemove) -> Result<Outcome, Error> {
        let id = asked.id.parse();
        let id = id.map_err(|_| invalid("argument `id`: no grant id (a UUID)"))?;
        let before = self.rules();
        let kept = self.grants.remove(id).await?;
        let connections_cut = self.cut(&kept, &before).await;
        Ok(Outcome::new(&GrantRemoved {
            kept,
            connections_cut,
        }))
    }

    pub(super) fn grant_list(&self, asked: &GrantList) -> Outcome {
        let table = self.grants.table();
        let table = table.borrow();
        let about = |kept: &&Kept| {
            let who = asked.who.as_deref();
            let rule = Rule::read(&kept.grant);
            who.is_none_or(|who| rule.is_ok_and(|rule| rule.is_about(who)))
        };
        let grants = table.kept().iter().filter(about).cloned().collect();
        Outcome::new(&GrantPage { grants })
    }

    fn rules(&self) -> std::sync::Arc<Rules> {
        self.grants.table().borrow().rules().clone()
    }

    /// Cuts the connections that the broker still lets do what is not permitted any more; they come
    /// back with less. Says how many; nothing where the broker's own operator cuts connections, or
    /// it does not answer: adapters refuse all the same.
    async fn cut(&self, changed: &Kept, before: &Rules) -> Option<usize> {
        let kicks = self.kicks.as_ref()?;
        let rule = Rule::read(&changed.grant).ok()?;
        let (after, issuer) = (self.rules(), self.tokens.anchor().issuer);
        let narrower: Vec<Uuid> = {
            let table = self.tokens.table();
            let table = table.borrow();
            let concerned = table.iter().filter(|(_, record)| {
                rule.is_about(record.sub.as_str()) && record.check(now()).is_ok()
            });
            let loses = |claims: &crate::access::Claims| match (
                roles::lists(claims, before),
                roles::lists(claims, &after),
            ) {
                (Ok(before), Ok(after)) => before.exceeds(&after),
                (Ok(_), Err(_)) => true,
                (Err(_), _) => false,
            };
            concerned
                .filter(|(id, record)| loses(&record.claims(*id, &issuer)))
                .map(|(id, _)| id)
                .collect()
        };
        if narrower.is_empty() {
            return Some(0);
        }
        let cut = kick::kick(kicks, &narrower).await;
        cut.inspect_err(|error| {
            tracing::warn!(%error, "connections were not cut; their calls are refused all the same");
        })
        .ok()
    }
}
