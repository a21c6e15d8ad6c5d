//! What the registry says of calls to a server: asked for when it matters first, and remembered
//! for a while.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;

use super::Options;
use crate::{
    call::{CallService, permission::Pattern},
    name::ServerName,
    policy::question::Question,
};

/// Servers of which it is remembered.
const SERVERS_MAX: u64 = 1024;
/// So long what was said is taken for granted.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// Patterns of one server that are looked at.
const PATTERNS_MAX: usize = 64;

/// Which calls of a server may be repeated.
#[derive(Debug, Default)]
pub(super) struct Known {
    idempotent: Vec<Pattern>,
    /// Whether a call with a key runs at most once.
    pub(super) keys: bool,
    /// How often, where its operator says so.
    pub(super) options: Option<Options>,
}

impl Known {
    pub(super) fn is_idempotent(&self, tool: &str) -> bool {
        self.idempotent
            .iter()
            .any(|pattern| pattern.matches(&[tool]))
    }
}

/// What is known of servers. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Facts(Cache<ServerName, Arc<Known>>);

impl Default for Facts {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(SERVERS_MAX)
                .time_to_live(KEPT_FOR)
                .build(),
        )
    }
}

impl Facts {
    /// What is remembered of a server.
    pub(super) fn known(&self, server: &ServerName) -> Option<Arc<Known>> {
        // The look-up never waits; only what fills the cache does.
        futures_util::FutureExt::now_or_never(self.0.get(server)).flatten()
    }

    /// What is remembered, or else what the registry says: many who ask at once ask it once. Where
    /// it says nothing, nothing may be repeated, and it is asked again the next time.
    pub(super) async fn ask<S: CallService>(
        &self,
        question: Question,
        mesh: S,
        server: &ServerName,
    ) -> Arc<Known> {
        let asked = async {
            let said = question
                .ask(mesh, server)
                .await
                .ok_or(())?
                .map_err(|_| ())?;
            let patterns = said.calls.idempotent.iter().take(PATTERNS_MAX);
            Ok::<_, ()>(Arc::new(Known {
                idempotent: patterns.map(|text| Pattern::new(text)).collect(),
                keys: said.calls.keys,
                options: said.calls.retry.map(Options::told),
            }))
        };
        let known = self.0.try_get_with(server.clone(), asked).await;
        known.unwrap_or_default()
    }
}
