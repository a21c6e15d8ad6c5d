//! Following the control plane's snapshots of tokens: what was revoked is refused within a second.

use std::time::Duration;

use super::{Mesh, feed::Feed};
use crate::{
    access::{Trust, trust::Dropped},
    error::{Error, Kind},
    spawn::{Failure, Tasks},
};

/// How long the first snapshot may take.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// Trust that is kept up to date until the tasks are stopped.
pub(super) async fn follow(mesh: &Mesh, tasks: &Tasks) -> Result<Trust, Error> {
    let trust = Trust::new(mesh.identity().clone(), mesh.session().anchor());
    let mut feed = Feed::open(mesh, "trust_open").await?;
    let first = tokio::time::timeout(FIRST_MAX, async {
        while !trust.is_fresh() {
            take(mesh, &trust, &feed.next().await).await;
        }
    });
    if first.await.is_err() {
        return Err(Error::new(
            Kind::InternalError,
            "the control plane sent no snapshot of tokens; without one nobody can be let in",
        ));
    }
    let (mesh, following, stop) = (mesh.clone(), trust.clone(), tasks.stopping());
    tasks.spawn("token snapshots", Failure::Stops, async move {
        let keep = async {
            loop {
                take(&mesh, &following, &feed.next().await).await;
            }
        };
        tokio::select! { () = stop.cancelled() => {}, () = keep => {} }
    });
    Ok(trust)
}

async fn take(mesh: &Mesh, trust: &Trust, signed: &[u8]) {
    let applied = match std::str::from_utf8(signed) {
        Ok(text) => match trust.apply(text) {
            Err(dropped @ Dropped::Unsigned(_)) => {
                by_new_keys(mesh, trust, text).await.or(Err(dropped))
            }
            applied => applied,
        }
        .map_err(|dropped| dropped.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(why) = applied {
        tracing::warn!(
            why,
            dropped = trust.dropped(),
            "a snapshot of tokens was dropped"
        );
    }
}

/// Whoever was away when a key was replaced does not know the new one. The control plane tells it
/// with each call token, by a way that is not signed but the broker's own: once for each snapshot.
async fn by_new_keys(mesh: &Mesh, trust: &Trust, text: &str) -> Result<(), Error> {
    mesh.session().renew_now().await?;
    trust.begin_again(mesh.session().anchor());
    trust
        .apply(text)
        .map_err(|dropped| Error::new(Kind::InternalError, dropped.to_string()))
}
