//! The control plane as a writer of the audit trail, and the stream that all writers write to.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::sleep;

use super::{
    connect::Wire,
    definition,
    events::Events,
    needs,
    service::tools::{self as tool},
};
use crate::{
    audit::Trail,
    bus::{self, Link},
    error::Error,
    event::EventKey,
    name::{Instance, ServerName, store},
    policy::audit::{Auditor, When},
    spawn::{Failure, Tasks},
};

/// How often it is looked how full the stream is.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// From this share of its room on, in hundredths, it is said that it fills up.
const NEARLY_FULL: u64 = 80;
/// Bytes of one value that is told of a tool's arguments.
const VALUE_MAX: usize = 512;

/// What the control plane decides, written down.
#[derive(Clone, Debug)]
pub(super) struct Clerk {
    pub(super) trail: Trail,
    key: EventKey,
}

impl Clerk {
    /// Makes the stream or brings it in line, and begins to write, over a connection of its own.
    ///
    /// # Errors
    /// Those of the stream's definition, and of the connection.
    pub(super) async fn start(
        wire: &Wire,
        (link, replicas): (bus::Options, usize),
        events: &Events,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        definition::reconcile(wire, &definition::of_audit(replicas)).await?;
        let link = Link::connect(link, tasks).await?;
        watch(wire.clone(), tasks);
        Ok(Self {
            trail: Trail::start(link, &Instance::random(), tasks),
            key: events.event_key(&ServerName::weft().identity()),
        })
    }

    /// What stands for the parameters of a call.
    pub(super) fn digest(&self, params: &str) -> String {
        self.key.digest(params.as_bytes())
    }

    /// For the stack in front of the server `weft`: it writes what that refuses.
    pub(super) fn auditor(&self) -> Auditor {
        let key = Some(self.key.clone());
        Auditor::new(self.trail.clone(), key, needs, When::Elsewhere)
    }
}

/// Whether the use of a tool is written before it is used. Of the rest, what only looks is written
/// within 200 ms, and what only renews a lease not at all.
pub(super) fn is_first(tool: &str, arguments: &Value) -> bool {
    match tool {
        tool::EVENT_OPEN => arguments["replay"] == true,
        tool::SERVER_LIST
        | tool::SERVER_GET
        | tool::EVENT_TYPES
        | tool::ACCESS_CHECK
        | tool::TOKEN_LIST
        | tool::GRANT_LIST
        | tool::CONSUMER_LIST
        | tool::DLQ_LIST
        | tool::TOOL_LIST
        | tool::RESOURCE_LIST
        | tool::RESOURCE_APPEND => false,
        _ => true,
    }
}

/// Whether a tool only renews a lease, or says how things are, again and again for each member.
pub(super) fn is_lease(tool: &str) -> bool {
    matches!(
        tool,
        tool::TRUST_OPEN | tool::SERVER_WATCH | tool::TOOL_CHECK | tool::TOOL_TELL
    )
}

/// Members of arguments and results that hold no secret where a tool took them.
const TOLD: [&str; 24] = [
    "condition",
    "consumer",
    "deny",
    "from",
    "id",
    "if",
    "jti",
    "length",
    "letters",
    "name",
    "numbers",
    "offset",
    "permission",
    "permissions",
    "renewable",
    "replay",
    "role",
    "server",
    "stream",
    "to",
    "tools",
    "ttlSeconds",
    "version",
    "who",
];

/// What of a tool's arguments, or of its result, is told once it has been used: names, which are
/// kept where everybody who may can list them.
pub(super) fn about(object: &Value) -> Map<String, Value> {
    let mut told = Map::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        if TOLD.contains(&name.as_str()) {
            let is_short = value.to_string().len() <= VALUE_MAX;
            let value = if is_short {
                value.clone()
            } else {
                "…".into()
            };
            told.insert(name.clone(), value);
        }
        // A resource that is registered, and a token that was issued, say who they are inside.
        if matches!(name.as_str(), "resource" | "about") {
            told.extend(about(value));
        }
    }
    told
}

/// Says in the log that the stream fills up while there is time to do something about it.
fn watch(wire: Wire, tasks: &Tasks) {
    let stop = tasks.stopping();
    tasks.spawn("room for the audit trail", Failure::Logged, async move {
        let looking = async {
            loop {
                sleep(LOOK_EVERY).await;
                match wire.stream(store::AUDIT).await {
                    Ok(stream) => {
                        let info = stream.cached_info();
                        let room = u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX);
                        tell(info.state.bytes, room);
                    }
                    Err(error) => tracing::debug!(%error, "not looked at"),
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    });
}

fn tell(bytes: u64, room: u64) {
    if bytes.saturating_mul(100) >= room.saturating_mul(NEARLY_FULL) {
        tracing::warn!(
            bytes,
            room,
            "the audit trail fills up; when it is full, every call is refused: give it more room \
             (`nats stream edit WEFT_AUDIT --max-bytes=…`), Weft keeps what you give it"
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_told() {
        let arguments = json!({
            "name": "alice", "token": "secret", "proof": "secret", "blob": "secret",
            "resource": {"id": "r:1", "metadata": {"a": "secret"}},
            "permissions": ["x".repeat(VALUE_MAX)],
        });
        let told = Value::Object(about(&arguments));
        assert_eq!(
            told,
            json!({"name": "alice", "id": "r:1", "permissions": "…"})
        );
    }
}
