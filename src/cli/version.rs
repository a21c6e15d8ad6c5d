//! `weft version`.

use schemars::JsonSchema;
use serde::Serialize;
use weftbus::mcp::version::MESH;

use super::{exit::Exit, failure::Failure, invocation::Invocation};

const EXAMPLES: &str = "\
EXAMPLES
  weft version
  weft version -o json";

/// Print versions
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
pub(super) struct Args {}

/// What this program is.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    /// The version of the program.
    version: &'static str,
    /// The revision of MCP that the mesh speaks.
    mcp: &'static str,
    /// The version of the wire: what stands behind `weft.` in every subject.
    wire: &'static str,
}

pub(super) fn run(_: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        mcp: MESH,
        wire: "v1",
    };
    if to.printer.is_table() {
        let Version { version, mcp, wire } = version;
        to.printer
            .text(&format!("weft {version} (wire {wire}, MCP {mcp})"))?;
    } else {
        to.printer.json(&version)?;
    }
    Ok(Exit::Ok)
}
