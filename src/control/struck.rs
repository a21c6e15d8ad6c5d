//! Cutting the connections that were opened with tokens of a key that was struck off.

use uuid::Uuid;

use super::{connect::Wire, keyring::Keyring, kick, tokens::Tokens};
use crate::spawn::{Failure, Tasks};

/// Cuts them whenever the keys change.
pub(super) fn watch(keys: &Keyring, tokens: &Tokens, wire: Wire, tasks: &Tasks) {
    let (mut changes, stop) = (keys.changes(), tasks.stopping());
    let (keys, tokens) = (keys.clone(), tokens.clone());
    tasks.spawn("struck keys", Failure::Logged, async move {
        let cut = async {
            while changes.changed().await.is_ok() {
                let struck = struck(&keys, &tokens);
                if struck.is_empty() {
                    continue;
                }
                match kick::kick(&wire, &struck).await {
                    Ok(count) => tracing::info!(count, "connections of a struck key were cut"),
                    Err(error) => {
                        tracing::warn!(%error, "connections of a struck key were not cut; their calls are refused all the same");
                    }
                }
            }
        };
        tokio::select! { () = stop.cancelled() => {}, () = cut => {} }
    });
}

/// The tokens that no key signs for any more.
fn struck(keys: &Keyring, tokens: &Tokens) -> Vec<Uuid> {
    let public = keys.public();
    let table = tokens.table();
    let table = table.borrow();
    table
        .iter()
        .filter(|(_, record)| {
            let kid = record.kid.as_deref();
            kid.is_some_and(|kid| public.kids().all(|known| known != kid))
        })
        .map(|(id, _)| id)
        .collect()
}
