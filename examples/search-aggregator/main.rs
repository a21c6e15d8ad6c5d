//! `weft-example-search`: an MCP server whose one tool searches a bundled corpus with two rankings
//! at once. See the README beside this file.

mod answer;
#[path = "../support/arguments.rs"]
mod arguments;
mod corpus;
mod merge;
mod rank;
mod server;
#[path = "../support/stdio.rs"]
mod stdio;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    stdio::serve(server::SearchAggregator::new()).await
}
