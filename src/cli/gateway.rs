//! `weft gateway`: the gateway of a mesh that runs elsewhere, until it is asked to end.

use std::net::SocketAddr;

use weftbus::{
    app::edge::{Alone, AloneError, Options},
    config,
};

use super::{
    config::Files,
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    up::{CLEAR, Ends},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft gateway --listen 127.0.0.1:7421
  WEFT_NATS_URL=nats://broker:4222 WEFT_TOKEN_FILE=gateway.token weft gateway -c weft.yaml";

const AFTER: &str = "\
Its token is one of the role gateway (`weft token issue gateway --role gateway --allow 'list:*'`), or
one that may issue such a token, as the one of `weft up` may. Where `gateway.issuers` has permissions,
it needs those as well: it gives nothing that it does not have. Of the configuration it takes the parts
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
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let mut ends = Ends::hear()?;
    let mut sources = args.files.sources(to);
    sources.overrides.listen = args.listen;
    let options = Options::of(&config::load(&sources)?);
    let joining = to.reach()?.options()?;
    let alone = tokio::select! {
        started = Box::pin(Alone::start(joining, options)) => started?,
        () = ends.asked() => return Ok(Exit::Interrupted),
    };
    let clear = match alone.is_in_the_clear() {
        true => format!(" ({CLEAR})"),
        false => String::new(),
    };
    to.printer.say(format!(
        "MCP clients find the mesh at {}{clear}",
        alone.url()
    ));
    let asked = ends.come(alone.broken().cancelled_owned()).await;
    ends.stopped(asked, Box::pin(alone.stop())).await
}

impl From<AloneError> for Failure {
    fn from(error: AloneError) -> Self {
        match error {
            AloneError::Mesh(error) => error.into(),
            AloneError::Listen(error) => Self::local(error.to_string()),
        }
    }
}
