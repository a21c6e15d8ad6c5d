//! Swarms: agents that work on one thing together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EventData;

/// A session of a swarm was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionCreated {
    /// What tells it from other sessions.
    pub session_id: String,
    /// What the swarm is to reach.
    pub objective: String,
    /// How many workers there may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers_max: Option<u32>,
}

impl EventData for SessionCreated {
    const TYPE: &'static str = "swarm.session.created";

    fn example() -> Self {
        Self {
            session_id: "s-2".into(),
            objective: "Compare five message brokers".into(),
            workers_max: Some(8),
        }
    }
}

/// A worker of a swarm began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSpawned {
    /// What tells it from other workers.
    pub worker_id: String,
    /// The session that it works in.
    pub session_id: String,
    /// What it does there.
    pub role: String,
}

impl EventData for WorkerSpawned {
    const TYPE: &'static str = "swarm.worker.spawned";

    fn example() -> Self {
        Self {
            worker_id: "w-5".into(),
            session_id: "s-2".into(),
            role: "reader".into(),
        }
    }
}
