//! `weft gateway`: the gateway of a mesh that runs elsewhere, until it is asked to end.

use std::net::SocketAddr;

use weftbus::{
    app::edge::{Alone, AloneError, Bodies, Listen},
    config::{self, Size},
};

use super::{config::Files, exit::Exit, failure::Failure, invocation::Invocation, up::Ends};

const EXAMPLES: &str = "\
EXAMPLES
  weft gateway --listen 127.0.0.1:7421
  WEFT_NATS_URL=nats://broker:4222 WEFT_TOKEN_FILE=gateway.token weft gateway -c weft.yaml";

const AFTER: &str = "\
Its token is one of the role gateway (`weft token issue gateway --role gateway --allow 'list:*'`), or
one that may issue such a token, as the one of `weft up` may. Of the configuration it takes the parts
`gateway` and `limits` alone.";

/// Serve a mesh to MCP clients over HTTP
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// Where it listens; port 0 takes a free one [env: WEFT_LISTEN] [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Listen beyond this machine without TLS
    #[arg(long)]
    insecure: bool,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let mut ends = Ends::hear()?;
    let mut sources = args.files.sources(to);
    sources.overrides.listen = args.listen;
    sources.overrides.insecure = args.insecure;
    let config = config::load(&sources)?.config;
    let gateway = config.gateway;
    let joining = to.reach()?.options()?;
    let listen = Listen {
        hosts: gateway.hosts,
        origins: gateway.origins,
        ..Listen::new(gateway.listen)
    };
    let bodies = Bodies {
        body: bytes(config.limits.request_body),
        in_flight: bytes(config.limits.request_bodies),
        ..Bodies::default()
    };
    let alone = tokio::select! {
        started = Box::pin(Alone::start(listen, joining, bodies)) => started?,
        () = ends.asked() => return Ok(Exit::Interrupted),
    };
    to.printer
        .say(format!("MCP clients find the mesh at {}", alone.url()));
    let asked = ends.come(alone.broken().cancelled_owned()).await;
    ends.stopped(asked, Box::pin(alone.stop())).await
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

impl From<AloneError> for Failure {
    fn from(error: AloneError) -> Self {
        match error {
            AloneError::Mesh(error) => error.into(),
            AloneError::Listen(error) => Self::local(error.to_string()),
        }
    }
}
