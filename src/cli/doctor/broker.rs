//! The NATS server: its program, whether it is reached, and whether it takes our token.

use std::path::Path;

use weftbus::{
    access::exchange::Held,
    app::context::{ContextError, Reach},
    broker::{self, Search},
    config::{Broker, Loaded},
    error::{Kind, case},
    mesh::Mesh,
};

use super::Check;
use crate::cli::{
    invocation::Invocation,
    servers,
    time::{date, now, span},
    up::search,
};

/// A token that ends so soon is worth a word.
const SOON_S: u64 = 3600;

/// Whether there is a nats-server to start, where one is to be started.
pub(super) async fn program(loaded: Option<&Loaded>, data: &Path, to: &Invocation) -> Check {
    let named = match loaded.map(|loaded| &loaded.broker) {
        Some(Broker::Existing { urls, .. }) => {
            let what = format!("not needed: {} is used", urls.join(", "));
            return Check::of("nats-server", what).ok();
        }
        Some(Broker::Managed { server }) => server.clone(),
        None => None,
    };
    let Search {
        project_dirs,
        path_var,
    } = search(data, &to.env);
    match broker::find(named.as_deref(), &project_dirs, path_var.as_deref()).await {
        Ok(found) => {
            let what = format!("{} ({})", found.version, found.path.display());
            Check::of("nats-server", what).ok()
        }
        Err(error) => {
            let said = error.to_string();
            let (what, fix) = said.rsplit_once('\n').unwrap_or((&said, ""));
            Check::of("nats-server", what.replace("\n  ", "; ")).failed(fix)
        }
    }
}

/// Whether the broker is reached, the token taken, and the clocks agree.
pub(super) async fn reached(to: &Invocation) -> Vec<Check> {
    let reach = match Reach::find(&to.env, &to.flags()) {
        Ok(reach) => reach,
        // Nothing to be reached yet: that is said of the folder.
        Err(ContextError::NoMesh { .. }) => return Vec::new(),
        Err(error) => {
            let fix = "`weft token issue` makes one; WEFT_TOKEN_FILE names its file";
            return vec![Check::of("token", error.to_string()).failed(fix)];
        }
    };
    let mut checks = vec![token(&reach)];
    let Ok(options) = reach.options() else {
        // As above.
        return checks;
    };
    let urls = reach.urls.join(", ");
    match Box::pin(Mesh::connect(options)).await {
        Ok(mesh) => {
            checks.push(Check::of("broker", format!("reached at {urls}")).ok());
            checks.extend(clocks(&mesh).await);
            mesh.close().await;
        }
        Err(error) if error.kind() == Kind::AuthenticationFailed => {
            checks.push(Check::of("broker", format!("reached at {urls}")).ok());
            let fix =
                "get a new token (`weft token issue`), or name the mesh that it is of (--data)";
            checks.push(Check::of("token", error.to_string()).failed(fix));
        }
        Err(error) if error.is_case(case::BROKER_UNAVAILABLE) => {
            let fix = "start it, or correct --nats or WEFT_NATS_URL";
            checks.push(Check::of("broker", error.to_string()).failed(fix));
        }
        Err(error) => {
            let fix = "`weft up` runs a control plane; on a broker of your own `weft config nats` says what it needs";
            checks.push(Check::of("control plane", error.to_string()).failed(fix));
        }
    }
    checks
}

fn token(reach: &Reach) -> Check {
    let fix = "get a new one with `weft token issue`";
    let held = match Held::read(reach.token.reveal()) {
        Ok(held) => held,
        Err(error) => return Check::of("token", error.to_string()).failed(fix),
    };
    let (who, until) = (held.sub, date(held.exp));
    match held.exp.saturating_sub(now()) {
        0 => Check::of("token", format!("of {who}, over since {until}")).failed(fix),
        left @ 1..SOON_S => {
            let what = format!("of {who}, until {until}: {} left", span(left));
            Check::of("token", what).noted(fix)
        }
        left => {
            let what = format!("of {who}, until {until} ({} left)", span(left));
            Check::of("token", what).ok()
        }
    }
}

/// The control plane's clock, as far as it tells: it stamps heartbeats as it hears them, and one
/// comes every 5 s.
async fn clocks(mesh: &Mesh) -> Option<Check> {
    const EVERY_MS: u64 = 5_000;
    const LEEWAY_MS: u64 = 2_000;
    let servers = servers::list(mesh).await.ok()?;
    let theirs = servers::heard_last(&servers)?;
    let ours = now() * 1000;
    let fix = "set both clocks by NTP: a token may seem expired, and a call too old";
    if theirs > ours + 1_000 + LEEWAY_MS {
        let what = format!(
            "this one is {} behind the mesh's",
            span((theirs - ours) / 1000)
        );
        return Some(Check::of("clock", what).failed(fix));
    }
    let behind = ours.saturating_sub(theirs + EVERY_MS);
    // A mesh whose servers are all silent tells no time.
    let silent = !servers.iter().any(|server| server.state.serves());
    if behind <= LEEWAY_MS || silent {
        return (!silent).then(|| Check::of("clock", "agrees with the mesh's").ok());
    }
    let what = format!("this one is {} ahead of the mesh's", span(behind / 1000));
    Some(Check::of("clock", what).failed(fix))
}
