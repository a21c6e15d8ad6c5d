//! The MCP face of the charts: one tool, its arguments and its result.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::{
    ServerHandler,
    handler::server::tool::{schema_for_output, schema_for_type},
    model::{CallToolResult, ContentBlock, ErrorData, JsonObject},
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    arguments::{Arguments, refused, whole},
    chart::{Chart, Kind, draw},
};

/// Arguments of `generate_chart`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Request {
    /// Form of the chart.
    #[serde(rename = "type")]
    kind: Kind,
    /// What to draw.
    data: Data,
    /// How to draw it.
    #[serde(default)]
    options: Options,
}

/// As many labels as values.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
struct Data {
    /// A name for each value.
    #[schemars(length(max = 200), inner(length(max = 200)))]
    labels: Vec<String>,
    /// Finite numbers; in a pie none below 0.
    #[schemars(length(max = 200), inner(range(min = -1e15, max = 1e15)))]
    values: Vec<f64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(inline)]
struct Options {
    /// Stands above the chart.
    #[schemars(length(max = 200))]
    title: String,
    /// Pixels.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 16, max = 4096))]
    width: u32,
    /// Pixels.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 16, max = 4096))]
    height: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            title: String::new(),
            width: 800,
            height: 450,
        }
    }
}

/// Result of `generate_chart`.
#[derive(Debug, Serialize, JsonSchema)]
struct Drawing {
    /// The chart as an SVG document.
    svg: String,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
    /// How many values were drawn.
    points: usize,
}

/// The MCP server `chart-generator`.
#[derive(Clone, Debug)]
pub(crate) struct ChartGenerator {
    arguments: Arc<Arguments<Request>>,
}

impl ChartGenerator {
    /// Ready to draw.
    pub(crate) fn new() -> Self {
        Self {
            arguments: Arc::new(Arguments::new()),
        }
    }
}

#[tool_router]
impl ChartGenerator {
    #[tool(
        name = "generate_chart",
        title = "Chart",
        description = "Draw a bar, line or pie chart as SVG. Takes the `chartData` of execute_parallel_search and parse_prd as `data`.",
        input_schema = schema_for_type::<Request>(),
        output_schema = schema_for_output::<Drawing>(),
        annotations(
            read_only_hint = true,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    fn generate_chart(&self, arguments: JsonObject) -> Result<CallToolResult, ErrorData> {
        let chart = checked(self.arguments.read(arguments)?)?;
        let drawing = Drawing {
            svg: draw(&chart),
            width: chart.width,
            height: chart.height,
            points: chart.values.len(),
        };
        let text = format!(
            "“{}”, {} × {} px. {}.",
            chart.name(),
            chart.width,
            chart.height,
            chart.summary()
        );
        let image = ContentBlock::image(STANDARD.encode(&drawing.svg), "image/svg+xml");
        let structured = serde_json::to_value(drawing)
            .map_err(|fault| ErrorData::internal_error(format!("drawing: {fault}"), None))?;
        let mut result = CallToolResult::structured(structured);
        result.content = vec![image, ContentBlock::text(text)];
        Ok(result)
    }
}

#[tool_handler(
    name = "chart-generator",
    version = "1.0.0",
    instructions = "Example server of Weft: `generate_chart` draws a bar, line or pie chart as SVG."
)]
impl ServerHandler for ChartGenerator {}

/// What the schema cannot say.
fn checked(request: Request) -> Result<Chart, ErrorData> {
    let Data { labels, values } = request.data;
    if labels.len() != values.len() {
        let why = format!(
            "labels and values must be equally many, and there are {} labels and {} values",
            labels.len(),
            values.len()
        );
        return Err(refused("data", why));
    }
    if request.kind == Kind::Pie
        && let Some(point) = values.iter().position(|value| *value < 0.0)
    {
        let why = format!(
            "{} is below 0, which no slice of a pie can be",
            values[point]
        );
        return Err(refused(&format!("data.values.{point}"), why));
    }
    Ok(Chart {
        kind: request.kind,
        title: request.options.title,
        labels,
        values,
        width: request.options.width,
        height: request.options.height,
    })
}
