//! Tokens of the parts that run in one process with the control plane: issued without a call, and
//! renewed before they end.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::seat::Who;
use crate::{
    access::{self, exchange::Held},
    call::Permissions,
    control::{Control, Wish},
    error::{Error, Kind},
    mesh::{self, Mesh, TokenSource},
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
pub(super) async fn local(control: Arc<Control>, who: Who) -> Result<Fresh, Error> {
    let permissions = Permissions::parse(&who.permissions)
        .map_err(|error| Error::new(Kind::InvalidParams, error.to_string()))?;
    let wish = Wish {
        name: who.name,
        permissions,
        role: who.role,
        ttl: None,
    };
    let issued = control.issue_local(wish).await?;
    Ok((issued.token, issued.claims.exp))
}

/// A token under this name: the one given, where it is of that name, else one that the control
/// plane issues to whoever may ask for it.
///
/// # Errors
/// What the broker or the control plane says.
pub(super) async fn own(
    who: Who,
    joining: &mesh::Options,
    tasks: &Tasks,
) -> Result<TokenSource, Error> {
    #[derive(Deserialize)]
    struct Issued {
        token: String,
        about: About,
    }
    #[derive(Deserialize)]
    struct About {
        exp: u64,
    }
    if Held::read(&(joining.token)())?.sub == who.name {
        return Ok(Arc::clone(&joining.token));
    }
    let mesh = Mesh::connect_in(joining.clone(), tasks).await?;
    let arguments = serde_json::json!({
        "name": who.name, "permissions": who.permissions, "role": who.role,
    });
    let issue = move || {
        let (mesh, arguments) = (mesh.clone(), arguments.clone());
        async move {
            let issued: Issued = mesh.control("token_issue", arguments).await?;
            Ok((issued.token, issued.about.exp))
        }
    };
    renewed(issue, tasks).await
}

async fn stopped(stop: &CancellationToken, wait: Duration) -> bool {
    tokio::time::timeout(wait, stop.cancelled()).await.is_ok()
}
