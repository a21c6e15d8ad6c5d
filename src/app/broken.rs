//! Servers that can't even be started: the registry hears of them all the same, so that
//! `weft servers` says what is wrong with them.

use crate::{
    bus::Link,
    name::{Instance, ServerName, subject},
    registry::{Calls, Heartbeat, State, Tools, Transport, heartbeat},
    spawn::{Failure, Tasks},
};

/// Says every few seconds that `server` is there in name alone, and why; in the end, goodbye.
pub(super) fn announce(link: &Link, server: ServerName, problem: String, tasks: &Tasks) {
    let (link, stop) = (link.clone(), tasks.stopping());
    let told = Heartbeat {
        server,
        instance: Instance::random(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: State::Unhealthy,
        since: now_ms(),
        sent_at: 0,
        transport: Transport::Stdio,
        pid: None,
        restarts: 0,
        revision: None,
        server_info: None,
        capabilities: None,
        tools: Tools::default(),
        last_error: Some(problem),
        host: None,
        probe: None,
        calls: Calls::default(),
        breaker: None,
    };
    tasks.spawn("broken server", Failure::Logged, async move {
        let mut beat = tokio::time::interval(heartbeat::EVERY);
        while stop.run_until_cancelled(beat.tick()).await.is_some() {
            say(&link, told.clone()).await;
        }
        say(&link, told.left()).await;
    });
}

async fn say(link: &Link, beat: Heartbeat) {
    let beat = Heartbeat {
        sent_at: now_ms(),
        ..beat
    };
    let to = subject::heartbeat(&beat.server, &beat.instance);
    if let Err(error) = link.publish(to, beat.encode().into()).await {
        tracing::debug!(server = %beat.server, %error, "a heartbeat was not sent");
    }
}

fn now_ms() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0)
}
