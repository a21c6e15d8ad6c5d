//! `weft-example-charts`: an MCP server whose one tool draws bar, line and pie charts as SVG.
//! See the README beside this file.

#[path = "../support/arguments.rs"]
mod arguments;
mod chart;
mod server;
#[path = "../support/stdio.rs"]
mod stdio;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    stdio::serve(server::ChartGenerator::new()).await
}
