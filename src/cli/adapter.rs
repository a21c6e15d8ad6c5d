//! `weft adapter`: one server joins a mesh that runs elsewhere, until it is asked to end.

use std::{ffi::OsString, path::PathBuf};

use weftbus::{
    app::sidecar::{Endpoint, Headers, Launch, Options, Process, Remote, Sidecar, Target},
    config::{self, Audit, Period, env::MCP_SERVER_NAME},
    name::ServerName,
};

use super::{exit::Exit, failure::Failure, invocation::Invocation, up::Ends};

const EXAMPLES: &str = "\
EXAMPLES
  weft adapter time -- uvx mcp-server-time
  weft adapter git --timeout 5m -- uvx mcp-server-git --repository .
  weft adapter docs --url https://docs.example.com/mcp --header Authorization=DOCS_AUTH
  WEFT_NATS_URL=nats://broker:4222 WEFT_TOKEN_FILE=git.token weft adapter git -- uvx mcp-server-git";

const AFTER: &str = "\
Its token is one for `serve:tools/NAME/*` (`weft token issue NAME --allow 'serve:tools/NAME/*'`), or
one that may issue such a token, as the one of `weft up` may. What stands behind `--` is the
server's command and its arguments, untouched. A server at a URL speaks Streamable HTTP
(2025-03-26 and later); no token of Weft is ever sent to it.";

/// Join one server to a mesh, as a sidecar
#[derive(clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_help = AFTER,
    override_usage = "weft adapter [OPTIONS] NAME -- CMD [ARGS]…\n       weft adapter [OPTIONS] NAME --url URL"
)]
pub(super) struct Args {
    /// The name of the server on the mesh: 1 to 63 of a-z 0-9 - [env: MCP_SERVER_NAME]
    #[arg(value_name = "NAME")]
    name: Option<ServerName>,
    /// How long a call may take whose caller does not say
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Period,
    /// Check tools' arguments against their schemas here as well
    #[arg(long)]
    validate: bool,
    /// Write each call to the audit trail before it goes on, and not within 200 ms
    #[arg(long)]
    audit_strict: bool,
    /// Keep tools that are not what was approved (`weft approve`) from callers
    #[arg(long)]
    quarantine: bool,
    /// Tools that may be called again where nobody knows whether a call had begun: `prefix*` or a name
    #[arg(long, value_name = "TOOL", value_parser = config::tools)]
    idempotent: Vec<String>,
    /// The URL of a server that runs, in place of a command
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    url: Option<String>,
    /// Adds a header to each request to the URL: the variable, or the file, that its value is in
    #[arg(long, value_name = "NAME=VARIABLE|NAME=@FILE", requires = "url")]
    header: Vec<String>,
    /// The command that starts the server, and its arguments
    #[arg(required_unless_present = "url", last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let mut ends = Ends::hear()?;
    let options = args.options(to)?;
    let name = options.server.clone();
    let sidecar = tokio::select! {
        started = Box::pin(Sidecar::start(options)) => started?,
        () = ends.asked() => return Ok(Exit::Interrupted),
    };
    match sidecar.member().problem() {
        None => {
            let tools = sidecar.member().status().borrow().tools.tools.len();
            to.printer
                .say(format!("`{name}` is on the mesh, with {tools} tools"));
        }
        Some(problem) => to
            .printer
            .warn(format!("`{name}` is not up yet: {problem}")),
    }
    let asked = ends.come(sidecar.broken().cancelled_owned()).await;
    ends.stopped(asked, Box::pin(sidecar.stop())).await
}

impl Args {
    fn options(&self, to: &Invocation) -> Result<Options, Failure> {
        let server = match &self.name {
            Some(name) => name.clone(),
            None => {
                let named = to.env.get(MCP_SERVER_NAME).ok_or_else(|| {
                    Failure::usage(
                        "the server has no name: `weft adapter NAME -- CMD`, or `NAME --url URL`",
                    )
                })?;
                ServerName::new(named).map_err(|error| Failure::usage(error.to_string()))?
            }
        };
        if server.is_reserved() {
            let said = format!("`{server}` is a name of Weft's own parts; take another");
            return Err(Failure::usage(said));
        }
        Ok(Options {
            server,
            target: self.target(to)?,
            mesh: to.reach()?.options()?,
            validate: self.validate,
            timeout: self.timeout.duration(),
            audit: if self.audit_strict {
                Audit::Strict
            } else {
                Audit::Soon
            },
            quarantine: self.quarantine,
            idempotent: self.idempotent.clone(),
            watchdog: None,
        })
    }

    fn target(&self, to: &Invocation) -> Result<Target, Failure> {
        let Some(url) = &self.url else {
            let mut command = self.command.iter();
            let launch = Launch {
                command: command.next().map(PathBuf::from).unwrap_or_default(),
                args: command.cloned().collect(),
                ..Launch::default()
            };
            return Ok(Target::Stdio(Process::new(launch)));
        };
        let endpoint = Endpoint::own(url).map_err(|error| Failure::usage(error.to_string()))?;
        let mut headers = Headers::default();
        for spec in &self.header {
            let (name, value) = config::header(spec, &to.env).map_err(Failure::usage)?;
            let added = headers.add(&name, value.reveal());
            added.map_err(|error| Failure::usage(error.to_string()))?;
        }
        Ok(Target::Http(Remote::new(endpoint, headers)))
    }
}
