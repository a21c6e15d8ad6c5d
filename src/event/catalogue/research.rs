//! Research: a question that is looked into.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::EventData;

/// Research began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// What tells it from other research.
    pub research_id: String,
    /// What is asked.
    pub query: String,
    /// Who or what is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
}

impl EventData for Started {
    const TYPE: &'static str = "research.started";

    fn example() -> Self {
        Self {
            research_id: "r-4".into(),
            query: "market trends in AI".into(),
            providers: vec!["brave".into(), "tavily".into()],
        }
    }
}

/// Research came to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Completed {
    /// Which one.
    pub research_id: String,
    /// How much was found.
    pub hits: u64,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What was found, where that is short; else the name of a resource.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

impl EventData for Completed {
    const TYPE: &'static str = "research.completed";

    fn example() -> Self {
        Self {
            research_id: "r-4".into(),
            hits: 20,
            duration_ms: Some(74),
            result: json!({"resource": "research://r-4"}),
        }
    }
}
