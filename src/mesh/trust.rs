//! Following the control plane's snapshots of tokens: what was revoked is refused within a second.

use std::time::Duration;

use tokio::time::Instant;

use super::Mesh;
use crate::{
    access::{Trust, exchange::TrustOpen},
    bus::Deliveries,
    error::{Error, Kind},
    spawn::{Failure, Tasks},
};

/// How long the first snapshot may take.
const FIRST_MAX: Duration = Duration::from_secs(5);
/// How often the lease at the control plane is renewed; it lasts 60 s.
const LEASE_EVERY: Duration = Duration::from_secs(20);
/// A snapshot comes every 5 s: after so long a silence the subject is opened anew.
const SILENCE_MAX: Duration = Duration::from_secs(12);
/// How soon an opening that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Trust that is kept up to date until the tasks are stopped.
pub(super) async fn follow(mesh: &Mesh, tasks: &Tasks) -> Result<Trust, Error> {
    let trust = Trust::new(mesh.identity().clone(), mesh.session().anchor());
    let mut deliveries = open(mesh).await?;
    let first = tokio::time::timeout(FIRST_MAX, async {
        while !trust.is_fresh() {
            take(&trust, deliveries.next().await?);
        }
        Some(())
    });
    if !matches!(first.await, Ok(Some(()))) {
        return Err(Error::new(
            Kind::InternalError,
            "the control plane sent no snapshot of tokens; without one nobody can be let in",
        ));
    }
    let (following, mesh, stop) = (trust.clone(), mesh.clone(), tasks.stopping());
    tasks.spawn("token snapshots", Failure::Stops, async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep(following, mesh, deliveries) => {}
        }
    });
    Ok(trust)
}

/// Takes what is delivered, for ever, over one subject after the other.
async fn keep(trust: Trust, mesh: Mesh, mut deliveries: Deliveries) {
    loop {
        read(&trust, &mesh, &mut deliveries).await;
        deliveries = loop {
            match open(&mesh).await {
                Ok(next) => break next,
                Err(error) => {
                    tracing::warn!(%error, "token snapshots do not come; next try in 1 s")
                }
            }
            tokio::time::sleep(AGAIN).await;
        };
    }
}

/// Reads until nothing comes any more.
async fn read(trust: &Trust, mesh: &Mesh, deliveries: &mut Deliveries) {
    let mut lease_until = Instant::now() + LEASE_EVERY;
    loop {
        match tokio::time::timeout(SILENCE_MAX, deliveries.next()).await {
            Ok(Some(signed)) => take(trust, signed),
            Ok(None) | Err(_) => return,
        }
        if Instant::now() >= lease_until {
            if let Err(error) = lease(mesh, deliveries).await {
                tracing::warn!(%error, "the lease on token snapshots could not be renewed");
                return;
            }
            lease_until = Instant::now() + LEASE_EVERY;
        }
    }
}

fn take(trust: &Trust, signed: bytes::Bytes) {
    let applied = match std::str::from_utf8(&signed) {
        Ok(text) => trust.apply(text).map_err(|dropped| dropped.to_string()),
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

async fn open(mesh: &Mesh) -> Result<Deliveries, Error> {
    let deliveries = Deliveries::open(mesh.link()).await?;
    lease(mesh, &deliveries).await?;
    Ok(deliveries)
}

async fn lease(mesh: &Mesh, deliveries: &Deliveries) -> Result<(), Error> {
    let arguments = TrustOpen {
        deliver: deliveries.number().to_owned(),
    };
    let _opened: serde_json::Value = mesh.control("trust_open", arguments).await?;
    Ok(())
}
