//! `weft-example-tasks`: an MCP server whose one tool turns a requirements document, or the results
//! of a search, into tasks. See the README beside this file.

#[path = "../support/arguments.rs"]
mod arguments;
mod content;
mod markdown;
mod plan;
mod priority;
mod server;
#[path = "../support/stdio.rs"]
mod stdio;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    stdio::serve(server::TaskOrchestrator::new()).await
}
