//! The mesh itself: its servers, their health, and the resources that they share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EventData;

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It is being started.
    Starting,
    /// It works.
    Healthy,
    /// It works, in part.
    Degraded,
    /// It does not.
    Unhealthy,
}

/// A server was looked at, or is no longer as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The server.
    pub server_name: String,
    /// How it is.
    pub status: Health,
    /// How it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Health>,
    /// Why it is not healthy, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl EventData for HealthCheck {
    const TYPE: &'static str = "system.health.check";

    fn example() -> Self {
        Self {
            server_name: "docs".into(),
            status: Health::Unhealthy,
            before: Some(Health::Healthy),
            error: Some("it exited with status 1".into()),
        }
    }
}

/// A resource changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceUpdated {
    /// Which one.
    pub resource_id: String,
    /// Whose it is.
    pub owner: String,
}

impl EventData for ResourceUpdated {
    const TYPE: &'static str = "system.resource.updated";

    fn example() -> Self {
        Self {
            resource_id: "research://r-4".into(),
            owner: "search-aggregator".into(),
        }
    }
}

/// A resource is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRegistered {
    /// Which one.
    pub resource_id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose it is.
    pub owner: String,
}

impl EventData for ResourceRegistered {
    const TYPE: &'static str = "resource.registered";

    fn example() -> Self {
        Self {
            resource_id: "research://r-4".into(),
            kind: "text/markdown".into(),
            owner: "search-aggregator".into(),
        }
    }
}

/// A server is there that was not, or an instance of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerJoined {
    /// The server.
    pub server_name: String,
    /// How many instances of it there are now.
    pub instances: u32,
    /// How many tools it has.
    pub tools: u32,
}

impl EventData for ServerJoined {
    const TYPE: &'static str = "server.joined";

    fn example() -> Self {
        Self {
            server_name: "docs".into(),
            instances: 1,
            tools: 12,
        }
    }
}

/// A server has gone, or an instance of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerLeft {
    /// The server.
    pub server_name: String,
    /// How many instances of it are left.
    pub instances: u32,
}

impl EventData for ServerLeft {
    const TYPE: &'static str = "server.left";

    fn example() -> Self {
        Self {
            server_name: "docs".into(),
            instances: 0,
        }
    }
}

/// A server has other tools than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerChanged {
    /// The server.
    pub server_name: String,
    /// How many tools it has now.
    pub tools: u32,
    /// What its list of tools sums up to: two that are the same have the same.
    pub digest: String,
}

impl EventData for ServerChanged {
    const TYPE: &'static str = "server.changed";

    fn example() -> Self {
        Self {
            server_name: "docs".into(),
            tools: 13,
            digest: "5f2c9e1b77a04d31".into(),
        }
    }
}
