//! Standing aside: an instance whose circuit breaker is open leaves its queue group while another one
//! serves, so that calls go to that one in place of being refused here. It comes back when its
//! breaker is due: the next call is its probe.

use std::time::Duration;

use chrono::Utc;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    mesh::Mesh,
    name::{Instance, ServerName},
    policy::breaker::Told,
    registry::{BreakerState, Entry, InstanceEntry},
};

/// How long the registry may take to say who else serves.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long to stand aside; `None` where the place is here.
pub(super) async fn stands_aside(
    mesh: &Mesh,
    (server, own): (&ServerName, &Instance),
    told: &Told,
) -> Option<Duration> {
    let until = told.until.filter(|_| told.state == BreakerState::Open)?;
    let left = (until - Utc::now()).to_std().ok()?;
    others_serve(mesh, server, own).await.then_some(left)
}

async fn others_serve(mesh: &Mesh, server: &ServerName, own: &Instance) -> bool {
    let asked = mesh.control::<Entry>("server_get", json!({"server": server}));
    match timeout(ANSWER_MAX, asked).await {
        Ok(Ok(entry)) => entry
            .instances
            .iter()
            .any(|one| one.instance != *own && takes_calls(one)),
        Ok(Err(error)) => {
            tracing::debug!(%server, %error, "nobody says whether another instance serves");
            false
        }
        Err(_) => false,
    }
}

fn takes_calls(instance: &InstanceEntry) -> bool {
    let breaker = instance.breaker.as_ref();
    instance.state.serves() && breaker.is_none_or(|one| one.state == BreakerState::Closed)
}
