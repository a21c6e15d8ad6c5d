//! Servers that can't even be started: the registry hears of them all the same, so that
//! `weft servers` says what is wrong with them.

use crate::{
    bus::Link,
    name::{Instance, ServerName, subject},
    registry::{Heartbeat, State, Tools, Transport, heartbeat},
    spawn::{Failure, Tasks},
};

/// Says every few seconds that `server` is there in name alone, and why.
pub(super) fn announce(link: &Link, server: ServerName, problem: String, tasks: &Tasks) {
    let (link, stop) = (link.clone(), tasks.stopping());
    let since = now_ms();
    let instance = Instance::random();
    tasks.spawn("broken server", Failure::Logged, async move {
        let mut beat = tokio::time::interval(heartbeat::EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = beat.tick() => {}
            }
            let told = Heartbeat {
                server: server.clone(),
                instance: instance.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                state: State::Unhealthy,
                since,
                sent_at: now_ms(),
                transport: Transport::Stdio,
                pid: None,
                restarts: 0,
                revision: None,
                server_info: None,
                capabilities: None,
                tools: Tools::default(),
                last_error: Some(problem.clone()),
                host: None,
            };
            let to = subject::heartbeat(&server, &instance);
            if let Err(error) = link.publish(to, told.encode().into()).await {
                tracing::debug!(%server, %error, "a heartbeat was not sent");
            }
        }
    });
}

fn now_ms() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0)
}
