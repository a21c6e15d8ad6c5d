//! What is told of a server: its heartbeat, its `$SRV` answers, its tools' schemas.

use std::sync::Arc;

use serde_json::{Value, value::RawValue};
use tokio::sync::watch;

use crate::{
    adapter::{self, Status},
    bus::micro::{About, Endpoint},
    name::{Instance, ServerName},
    policy::{breaker, validate::Schemas},
    registry::{
        Breaker, BreakerState, Calls, Heartbeat, State, ToolDigest, Tools as BeatTools, Transport,
        heartbeat,
    },
    telemetry::metric::Tools,
};

/// The input schema of each tool, as the server lists it now.
pub(super) fn schemas(status: watch::Receiver<Status>) -> Schemas {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed {
        input_schema: Value,
    }
    Arc::new(move |tool| {
        let tools = Arc::clone(&status.borrow().tools);
        let listed: Listed = serde_json::from_str(tools.get(tool)?.json.get()).ok()?;
        Some(Arc::new(listed.input_schema))
    })
}

/// What `$SRV` requests are answered with.
pub(super) fn about(
    server: ServerName,
    status: watch::Receiver<Status>,
    counted: Tools,
) -> Arc<dyn Fn() -> About + Send + Sync> {
    Arc::new(move || {
        let status = status.borrow();
        let counts = counted.counts();
        let tools = status.tools.tools.iter().map(|tool| {
            let counted = counts
                .iter()
                .find(|(_, name, _)| *name == tool.name)
                .map(|(_, _, count)| *count)
                .unwrap_or_default();
            Endpoint {
                tool: tool.name.clone(),
                digest: tool.digest.clone(),
                calls: counted.calls,
                failed: counted.failed,
                time: counted.time,
            }
        });
        About {
            description: format!("MCP server `{server}`, behind a Weft adapter"),
            tools: tools.collect(),
        }
    })
}

/// How the server fares, for the registry.
pub(super) fn heartbeat_of(
    (server, instance, transport): (&ServerName, &Instance, Transport),
    status: &Status,
    told: &breaker::Told,
    trouble: Option<&str>,
) -> Heartbeat {
    let broken = (told.state != BreakerState::Closed).then(|| {
        let why = told.why.as_deref().unwrap_or_default();
        format!("Circuit breaker is OPEN: {why}")
    });
    let silent = status
        .probe
        .filter(|probe| probe.took.is_none())
        .map(|probe| {
            let at = probe.at.format("%H:%M:%S");
            format!("busy: calls run on it, and it answers nothing beside them (asked at {at} UTC)")
        });
    let trouble = trouble.map(str::to_owned).or(broken).or(silent);
    let ms = |at: chrono::DateTime<chrono::Utc>| u64::try_from(at.timestamp_millis()).unwrap_or(0);
    let raw = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let peer = status.peer.as_deref();
    let state = match status.state {
        adapter::State::Starting => State::Starting,
        adapter::State::Healthy if trouble.is_some() => State::Degraded,
        adapter::State::Healthy => State::Healthy,
        adapter::State::Degraded => State::Degraded,
        adapter::State::Unhealthy => State::Unhealthy,
    };
    let tools = status.tools.tools.iter();
    Heartbeat {
        server: server.clone(),
        instance: instance.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state,
        since: ms(status.since),
        sent_at: ms(chrono::Utc::now()),
        transport,
        pid: status.pid,
        restarts: status.restarts,
        revision: peer.map(|peer| peer.revision.clone()),
        server_info: raw(peer.and_then(|peer| peer.server_info.as_deref())),
        capabilities: raw(peer.and_then(|peer| peer.capabilities.as_deref())),
        tools: BeatTools::new(
            tools
                .map(|tool| ToolDigest::new(&tool.name, tool.json.get()))
                .collect(),
        ),
        last_error: status.last_error.clone().or(trouble),
        host: None,
        probe: status.probe.map(|probe| heartbeat::Probe {
            at: ms(probe.at),
            took_us: probe
                .took
                .map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        }),
        calls: Calls::default(),
        breaker: Some(Breaker {
            state: told.state,
            until: told.until.map(ms),
            opened: told.opened,
        }),
    }
}
