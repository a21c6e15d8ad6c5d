//! The sessions of older clients over HTTP: by who opened them, and found by nobody else.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;

use super::{door::Scope, session::Session};
use crate::name::{Identity, id};

/// Clients whose sessions are kept.
const CLIENTS_MAX: u64 = 10_000;
/// Sessions of one client: one more ends the one that was used least lately.
pub(super) const SESSIONS_OF_ONE_MAX: u64 = 256;
/// A session that is not used for so long is over.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(3600);

/// A session and the endpoint that it was opened at.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) session: Session,
    pub(super) scope: Scope,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.session.end();
    }
}

type OfOne = Cache<String, Arc<Open>>;

/// All sessions. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    clients: Cache<Identity, OfOne>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self {
            clients: Cache::builder()
                .max_capacity(CLIENTS_MAX)
                .time_to_idle(IDLE_MAX)
                .build(),
        }
    }

    /// Keeps a session; the id is hard to guess, and useless to anybody else.
    pub(super) fn keep(&self, who: &Identity, open: Open) -> String {
        let id = id::delivery();
        let of_one = self.clients.get_with_by_ref(who, || {
            Cache::builder()
                .max_capacity(SESSIONS_OF_ONE_MAX)
                .time_to_idle(IDLE_MAX)
                .build()
        });
        of_one.insert(id.clone(), Arc::new(open));
        id
    }

    /// A session that this client opened at this endpoint.
    pub(super) fn find(&self, who: &Identity, id: &str, scope: &Scope) -> Option<Arc<Open>> {
        let open = self.clients.get(who)?.get(id)?;
        (open.scope == *scope).then_some(open)
    }

    /// Ends a session.
    pub(super) fn end(&self, who: &Identity, id: &str) {
        if let Some(of_one) = self.clients.get(who)
            && let Some(open) = of_one.remove(id)
        {
            open.session.end();
        }
    }
}
