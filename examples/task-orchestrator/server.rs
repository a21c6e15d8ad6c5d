//! The MCP face of the task parser: one tool, its arguments and its result.

use std::sync::Arc;

use rmcp::{
    ServerHandler,
    handler::server::tool::{schema_for_output, schema_for_type},
    model::{CallToolResult, ContentBlock, ErrorData, JsonObject},
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    arguments::{Arguments, refused, whole},
    content,
    plan::{Plan, plan},
};

/// Arguments of `parse_prd`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Document {
    /// Markdown, or search results as JSON.
    #[schemars(extend("type" = ["string", "array", "object"]))]
    content: Value,
    /// A short name of where it came from; it begins every task's id.
    #[serde(default = "prd")]
    #[schemars(length(min = 1, max = 64))]
    source: String,
    /// The most tasks to return.
    #[serde(default = "hundred", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 500))]
    max_tasks: u32,
}

fn prd() -> String {
    "prd".to_owned()
}

fn hundred() -> u32 {
    100
}

/// The MCP server `task-orchestrator`.
#[derive(Clone, Debug)]
pub(crate) struct TaskOrchestrator {
    arguments: Arc<Arguments<Document>>,
}

impl TaskOrchestrator {
    /// Ready to read.
    pub(crate) fn new() -> Self {
        Self {
            arguments: Arc::new(Arguments::new()),
        }
    }
}

#[tool_router]
impl TaskOrchestrator {
    #[tool(
        name = "parse_prd",
        title = "Parse requirements",
        description = "Turn a product requirements document (Markdown), or search results (JSON), into tasks with priorities and dependencies.",
        input_schema = schema_for_type::<Document>(),
        output_schema = schema_for_output::<Plan>(),
        annotations(
            read_only_hint = true,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    fn parse_prd(&self, arguments: JsonObject) -> Result<CallToolResult, ErrorData> {
        let document = self.arguments.read(arguments)?;
        let requirements =
            content::read(&document.content).map_err(|why| refused("content", why))?;
        let plan = plan(&document.source, &requirements, document.max_tasks as usize);
        let structured = serde_json::to_value(&plan)
            .map_err(|fault| ErrorData::internal_error(format!("plan: {fault}"), None))?;
        let mut result = CallToolResult::structured(structured);
        result.content = vec![ContentBlock::text(plan.text())];
        Ok(result)
    }
}

#[tool_handler(
    name = "task-orchestrator",
    version = "1.0.0",
    instructions = "Example server of Weft: `parse_prd` turns a requirements document or search results into tasks."
)]
impl ServerHandler for TaskOrchestrator {}
