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

/// How a server is: when that is known first, and whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The server.
    pub server_name: String,
    /// How it is.
    pub status: Health,
    /// How it was; absent where this is the first that is known of it.
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

/// A resource changed, or several of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceUpdated {
    /// Which one; `*` where there were several within a second, or the server's list of resources
    /// is another one.
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

/// A server is there that was not: its first instance has said how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerJoined {
    /// The server.
    pub server_name: String,
    /// How many instances of it there are.
    pub instances: u32,
    /// How many tools it has; none where it does not work.
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

/// A server has gone: its last instance has left, or was silent for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerLeft {
    /// The server.
    pub server_name: String,
    /// Whether it said goodbye; else it fell silent, and was given up.
    pub goodbye: bool,
}

impl EventData for ServerLeft {
    const TYPE: &'static str = "server.left";

    fn example() -> Self {
        Self {
            server_name: "docs".into(),
            goodbye: true,
        }
    }
}

/// Tools of a server are not what was approved: they say something else of themselves, or are new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerToolsChanged {
    /// The server.
    pub server_name: String,
    /// How many tools.
    pub count: u32,
    /// The first 32 of them.
    pub tools: Vec<ChangedTool>,
    /// Whether they are kept from callers until they are approved.
    pub quarantined: bool,
}

/// A tool that is not what was approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedTool {
    /// Its name.
    pub name: String,
    /// Whether nothing of it was ever approved.
    pub is_new: bool,
    /// What it says of itself now: SHA-256, hex.
    pub digest: String,
}

impl EventData for ServerToolsChanged {
    const TYPE: &'static str = "server.tools.changed";

    fn example() -> Self {
        Self {
            server_name: "docs".into(),
            count: 1,
            tools: vec![ChangedTool {
                name: "search".into(),
                is_new: false,
                digest: "5f2c9e1b77a04d31a1c0de5f2c9e1b77a04d31a1c0de5f2c9e1b77a04d31a1c0".into(),
            }],
            quarantined: true,
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
