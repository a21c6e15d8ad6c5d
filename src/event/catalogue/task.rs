//! Tasks: work that somebody handed over, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::EventData;

/// A task was created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    /// What tells it from other tasks.
    pub task_id: String,
    /// What is to be done, for people.
    pub title: String,
    /// Tasks that are to be done before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Who or what it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// What else who created it wants to say.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl EventData for Created {
    const TYPE: &'static str = "task.created";

    fn example() -> Self {
        Self {
            task_id: "t-17".into(),
            title: "Write the release notes".into(),
            depends_on: vec!["t-16".into()],
            assignee: None,
            metadata: Map::new(),
        }
    }
}

/// A task was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Completed {
    /// Which one.
    pub task_id: String,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What came of it, where that is short; else the name of a resource.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

impl EventData for Completed {
    const TYPE: &'static str = "task.completed";

    fn example() -> Self {
        Self {
            task_id: "t-17".into(),
            duration_ms: Some(1_840),
            result: json!({"pages": 3}),
        }
    }
}

/// A task failed, and is not tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Which one.
    pub task_id: String,
    /// Why, for people.
    pub error: String,
    /// The code of the error, as `docs/errors.md` has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// How often it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

impl EventData for Failed {
    const TYPE: &'static str = "task.failed";

    fn example() -> Self {
        Self {
            task_id: "t-17".into(),
            error: "the search did not answer within 30 s".into(),
            code: Some(-32005),
            attempts: Some(3),
        }
    }
}
