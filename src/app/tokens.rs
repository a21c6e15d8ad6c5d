//! Tokens of the parts that run in one process with the control plane: issued without a call, and
//! renewed before they end.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::{
    access,
    call::Permissions,
    control::{Control, Wish},
    error::{Error, Kind},
    mesh::TokenSource,
    name::{Identity, ServerName},
    spawn::{Failure, Tasks},
};

/// How soon a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// What whoever works on this machine calls himself.
pub const LOCAL: &str = "local";

/// A token that was issued, and when it ends (seconds since 1970).
pub type Fresh = (String, u64);

/// A token that `issue` gives, renewed by it until the tasks are stopped.
///
/// # Errors
/// What `issue` says the first time; later it is tried again.
pub async fn renewed<I, F>(issue: I, tasks: &Tasks) -> Result<TokenSource, Error>
where
    I: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<Fresh, Error>> + Send,
{
    let (first, mut expires) = issue().await?;
    let current = Arc::new(ArcSwap::from_pointee(first));
    let source: TokenSource = {
        let current = Arc::clone(&current);
        Arc::new(move || current.load().as_ref().clone())
    };
    let stop = tasks.stopping();
    tasks.spawn("connect token", Failure::Logged, async move {
        loop {
            let left = expires.saturating_sub(access::now());
            let wait = Duration::from_secs(left * 4 / 5).max(AGAIN);
            if stopped(&stop, wait).await {
                return;
            }
            match issue().await {
                Ok((token, until)) => {
                    expires = until;
                    current.store(Arc::new(token));
                }
                Err(error) => tracing::warn!(%error, "a connect token could not be renewed"),
            }
        }
    });
    Ok(source)
}

/// A connect token of the control plane in this process.
///
/// # Errors
/// A permission that is none, or what the token store says.
pub async fn local(
    control: Arc<Control>,
    name: Identity,
    permissions: Vec<String>,
) -> Result<Fresh, Error> {
    let permissions = Permissions::parse(&permissions)
        .map_err(|error| Error::new(Kind::InvalidParams, error.to_string()))?;
    let wish = Wish {
        name,
        permissions,
        role: None,
        ttl: None,
    };
    let issued = control.issue_local(wish).await?;
    Ok((issued.token, issued.claims.exp))
}

async fn stopped(stop: &CancellationToken, wait: Duration) -> bool {
    tokio::time::timeout(wait, stop.cancelled()).await.is_ok()
}

/// What a server needs to join under its name.
#[must_use]
pub fn server_permissions(server: &ServerName) -> Vec<String> {
    vec![format!("serve:tools/{server}/*")]
}
