//! `weft mcp`: the gateway over stdio, for a client that starts its servers itself.

use weftbus::{app::edge, name::ServerName};

use super::{exit::Exit, failure::Failure, invocation::Invocation, up::Ends};

const EXAMPLES: &str = "\
EXAMPLES
  weft mcp                                 all servers, their tools as server__tool
  weft mcp --server time                   one server, under its own names
  weft mcp --data /srv/mesh                a mesh that runs elsewhere on this machine
  WEFT_NATS_URL=nats://broker:4222 WEFT_TOKEN_FILE=me.token weft mcp";

const AFTER: &str = "\
What a client's file says: {\"command\": \"/path/to/weft\", \"args\": [\"mcp\", \"--data\", \"/path/to/.weft\"]}
(`weft connect` writes it). Clients of every revision are served. It speaks NATS itself: the HTTP
gateway need not run.";

/// Serve the mesh to an MCP client over stdin and stdout
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {
    /// One server alone, under its own names
    #[arg(long, value_name = "NAME")]
    server: Option<ServerName>,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let mut ends = Ends::hear()?;
    let joining = to.reach()?.options()?;
    let served = edge::over_pipes(joining, args.server.clone());
    tokio::select! {
        served = Box::pin(served) => served.map(|()| Exit::Ok).map_err(Failure::from),
        () = ends.asked() => Ok(Exit::Interrupted),
    }
}

impl From<edge::PipeError> for Failure {
    fn from(error: edge::PipeError) -> Self {
        match error {
            edge::PipeError::Mesh(error) => error.into(),
            edge::PipeError::Pipe(_) => Self::local(error.to_string()),
        }
    }
}
