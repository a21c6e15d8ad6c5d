//! Tokens of the parts that run in one process with the control plane: issued without a call, and
//! renewed before they end.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde::Deserialize;
use tokio::sync::watch;

use super::seat::Who;
use crate::{
    access::{self, Ring, exchange::Held},
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

/// When a token is to be renewed before its time: at each change of the keys that sign. Where nobody
/// tells, never.
pub type Again = Option<watch::Receiver<Arc<Ring>>>;

/// A token that `issue` gives, renewed by it until the tasks are stopped.
///
/// # Errors
/// What `issue` says the first time; later it is tried again.
pub async fn renewed<I, F>(issue: I, mut again: Again, tasks: &Tasks) -> Result<TokenSource, Error>
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
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = told(&mut again) => {}
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
        // A new one is issued in its place.
        renewable: Some(false),
    };
    let issued = control.issue_local(wish).await?;
    Ok((issued.token, issued.claims.exp))
}

/// How to join under this name: with the token given, where it is of that name, else with one that
/// the control plane issues to whoever may ask for it.
///
/// # Errors
/// What the broker or the control plane says.
pub(super) async fn own(
    who: Who,
    joining: mesh::Options,
    tasks: &Tasks,
) -> Result<mesh::Options, Error> {
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
        return Ok(joining);
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
    Ok(mesh::Options {
        token: renewed(issue, None, tasks).await?,
        // The one given is somebody else's: this one is not to be put in its place.
        keep: None,
        ..joining
    })
}

async fn told(again: &mut Again) {
    if let Some(changes) = again
        && changes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
