//! Pipelines: stages that are run one after the other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EventData;

/// A pipeline began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// The run.
    pub run_id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The names of its stages, in order.
    pub stages: Vec<String>,
}

impl EventData for Started {
    const TYPE: &'static str = "pipeline.started";

    fn example() -> Self {
        Self {
            run_id: "p-3".into(),
            pipeline: "market-report".into(),
            stages: vec!["research".into(), "analysis".into(), "chart".into()],
        }
    }
}

/// A stage was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageCompleted {
    /// The run.
    pub run_id: String,
    /// The stage.
    pub stage_name: String,
    /// How long it took, in milliseconds.
    pub execution_time: u64,
    /// Bytes of what it was given.
    pub input_size: u64,
    /// Bytes of what it gave.
    pub output_size: u64,
}

impl EventData for StageCompleted {
    const TYPE: &'static str = "pipeline.stage.completed";

    fn example() -> Self {
        Self {
            run_id: "p-3".into(),
            stage_name: "research".into(),
            execution_time: 74,
            input_size: 96,
            output_size: 18_204,
        }
    }
}

/// A pipeline came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Completed {
    /// The run.
    pub run_id: String,
    /// How long all stages took, in milliseconds.
    pub total_time: u64,
}

impl EventData for Completed {
    const TYPE: &'static str = "pipeline.completed";

    fn example() -> Self {
        Self {
            run_id: "p-3".into(),
            total_time: 412,
        }
    }
}

/// A stage failed, and the pipeline with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The run.
    pub run_id: String,
    /// The stage that failed.
    pub stage_name: String,
    /// Why, for people.
    pub error: String,
}

impl EventData for Failed {
    const TYPE: &'static str = "pipeline.failed";

    fn example() -> Self {
        Self {
            run_id: "p-3".into(),
            stage_name: "chart".into(),
            error: "`chart-generator` is not there".into(),
        }
    }
}
