//! Context: what agents learn, and share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::EventData;

/// Something was recognised in a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntityExtracted {
    /// What tells it from other entities.
    pub entity_id: String,
    /// What kind of thing it is: `person`, `product`.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// Where it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// How sure that is, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: Option<f64>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}

impl EventData for EntityExtracted {
    const TYPE: &'static str = "context.entity.extracted";

    fn example() -> Self {
        Self {
            entity_id: "e-9".into(),
            kind: "product".into(),
            name: "NATS".into(),
            resource: Some("research://r-4".into()),
            confidence: Some(0.93),
            attributes: Map::from_iter([("licence".to_owned(), json!("Apache-2.0"))]),
        }
    }
}

/// What is known about something changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KnowledgeUpdated {
    /// What it is that changed.
    pub knowledge_id: String,
    /// What changed of it, for people.
    pub summary: String,
    /// Its version after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl EventData for KnowledgeUpdated {
    const TYPE: &'static str = "context.knowledge.updated";

    fn example() -> Self {
        Self {
            knowledge_id: "brokers".into(),
            summary: "Durability of three brokers added".into(),
            version: Some(4),
        }
    }
}
