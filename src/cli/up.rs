//! `weft up`: everything in one process, until it is asked to end.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tokio::signal::unix::{SignalKind, signal};
use weftbus::{
    app::up::{BrokerKind, Options, Row, StartError, Up},
    broker::Search,
    config::{self, Env, env::PATH},
    error::{Error, Kind},
};

use super::{
    config::Files,
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    output::{
        Tone, paint,
        table::{Cell, Table},
    },
};

const EXAMPLES: &str = "\
EXAMPLES
  weft up
  weft up --import ~/.cursor/mcp.json
  weft up -c weft.yaml --data /srv/mesh
  weft up --nats nats://broker.example:4222
  weft up --ephemeral";

const AFTER: &str = "\
A server that does not start is a line in red, never a dead mesh. State is kept in the data folder
across runs. Ctrl-C or `weft down` ends all, children included. Everything binds loopback; beyond it
TLS is needed (`gateway: { tls: … }`), or --insecure.";

/// Where `make` puts nats-server, below the project's folder.
const TOOLS: &str = ".tools/nats";

/// Run a mesh: broker, control plane and an adapter for each server
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// The nats-server to start, where none is to be looked for
    #[arg(long, value_name = "PATH", conflicts_with = "nats")]
    nats_server: Option<PathBuf>,
    /// Where MCP clients find the mesh; port 0 takes a free one [env: WEFT_LISTEN] [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Keep nothing: the state lies in a folder of its own that is removed in the end
    #[arg(long, conflicts_with = "data")]
    ephemeral: bool,
}

/// What is said when a part ended that nothing works without.
const BROKEN: &str = "a part ended that nothing works without; the log says which, and why";

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let started = Started {
        nats_server: args.nats_server.clone(),
        ephemeral: args.ephemeral,
        listen: args.listen,
        gateway: true,
    };
    let options = options(&args.files, started, to)?;
    until_the_end(options, to).await
}

/// Starts a mesh, says what is on it, and stops it when it is asked to.
pub(super) async fn until_the_end(options: Options, to: &mut Invocation) -> Result<Exit, Failure> {
    let mut ends = Ends::hear()?;
    let started = tokio::select! {
        started = Box::pin(Up::start(options)) => started?,
        () = ends.asked() => return Ok(Exit::Interrupted),
    };
    let banner = banner(&started, to.printer.is_coloured(true));
    to.printer.say(banner);
    let asked = ends.come(started.broken().cancelled_owned()).await;
    to.printer.say("ending: servers finish what is under way");
    ends.stopped(asked, Box::pin(started.stop())).await
}

/// How a mesh is started beyond its configuration.
#[derive(Default)]
pub(super) struct Started {
    /// The nats-server to start.
    pub(super) nats_server: Option<PathBuf>,
    /// Whether nothing is kept.
    pub(super) ephemeral: bool,
    /// Where the gateway listens.
    pub(super) listen: Option<SocketAddr>,
    /// Whether there is one.
    pub(super) gateway: bool,
}

/// What a mesh is started with, as flags, environment and files say.
pub(super) fn options(
    files: &Files,
    started: Started,
    to: &mut Invocation,
) -> Result<Options, Failure> {
    let mut sources = files.sources(to);
    sources.overrides.nats_server = started.nats_server;
    sources.overrides.listen = started.listen;
    if started.ephemeral {
        let name = format!("weft-{}", std::process::id());
        sources.overrides.data = Some(std::env::temp_dir().join(name));
    }
    let loaded = config::load(&sources)?;
    for warning in &loaded.warnings {
        to.printer.warn(warning);
    }
    Ok(Options {
        search: search(&loaded.data, &to.env),
        loaded,
        sources: Some(sources),
        gateway: started.gateway,
        ephemeral: started.ephemeral,
        watchdog: None,
    })
}

/// Where a nats-server is looked for: the project's own folder, here or beside the data, and PATH.
pub(super) fn search(data: &Path, env: &Env) -> Search {
    let beside = data.parent().unwrap_or(Path::new(""));
    let mut project_dirs = vec![PathBuf::from(TOOLS), beside.join(TOOLS)];
    project_dirs.dedup();
    Search {
        project_dirs,
        path_var: env.get(PATH).map(Into::into),
    }
}

/// Being asked to end.
pub(super) struct Ends {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Ends {
    pub(super) fn hear() -> Result<Self, Failure> {
        let hear = |kind| {
            signal(kind).map_err(|error| Failure::local(format!("signals can't be heard: {error}")))
        };
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
        })
    }

    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for the end of what runs: says whether it was asked for, and not broken.
    pub(super) async fn come(&mut self, broken: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = self.asked() => true,
            () = broken => false,
        }
    }

    /// Stops what ran, and says how the command went.
    pub(super) async fn stopped(
        &mut self,
        asked: bool,
        stop: impl Future<Output = ()>,
    ) -> Result<Exit, Failure> {
        tokio::select! {
            () = stop => {}
            // Whoever asks twice does not want to wait: the watchdog ends what is left.
            () = self.asked() => return Ok(Exit::Interrupted),
        }
        if asked {
            return Ok(Exit::Ok);
        }
        Err(Error::new(Kind::InternalError, BROKEN).into())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Mesh(error) => error.into(),
            other => Self::local(other.to_string()),
        }
    }
}

/// What is said of a gateway that other machines reach without TLS.
pub(super) const CLEAR: &str = "without TLS: whoever is between reads every token";

fn banner(up: &Up, colour: bool) -> String {
    let broker = match up.broker() {
        BrokerKind::Managed { version, pid } => {
            format!("nats-server {version}, managed, pid {pid}")
        }
        BrokerKind::Existing { accounts: true } => "existing".to_owned(),
        BrokerKind::Existing { accounts: false } => {
            "existing, with one account: whoever may connect can forge events and keys".to_owned()
        }
    };
    let (folder, kept) = up.folder();
    let folder = folder.display();
    let kept = if kept { "kept" } else { "removed in the end" };
    let title = format!("weft {}", env!("CARGO_PKG_VERSION"));
    let head = paint(&title, Tone::Bold, colour);
    let mcp = match up.gateway_url() {
        Some(url) if up.is_in_the_clear() => format!("  mcp     {url} ({CLEAR})\n"),
        Some(url) => format!("  mcp     {url}\n"),
        None => String::new(),
    };
    let servers = servers(up.servers()).render(colour);
    format!(
        "{head}\n{mcp}  broker  {} ({broker})\n  state   {folder} ({kept})\n\n{servers}\n\n{}",
        up.url(),
        next(up.servers(), up.folder().0)
    )
}

fn servers(rows: &[Row]) -> Table {
    let mut table = Table::new(&["SERVER", "STATE", "TOOLS", "WHY"]);
    for row in rows {
        let state = match (&row.problem, row.tools) {
            (None, Some(_)) => Cell::new("up", Tone::Good),
            (Some(_), Some(_)) => Cell::new("degraded", Tone::Uneasy),
            (_, None) => Cell::new("down", Tone::Bad),
        };
        let tools = row
            .tools
            .map_or_else(String::new, |tools| tools.to_string());
        let why = row.problem.as_deref().unwrap_or_default();
        table.row([
            Cell::from(&*row.server),
            state,
            Cell::from(tools),
            Cell::from(why),
        ]);
    }
    table
}

/// What may be typed and pasted next, with this binary's own path, and the folder where it is not the one
/// that is looked at anyway.
fn next(rows: &[Row], folder: &Path) -> String {
    let program = std::env::current_exe();
    let program = program.map_or_else(|_| "weft".into(), |path| path.display().to_string());
    let example = rows
        .iter()
        .any(|row| row.server == "search-aggregator" && row.tools.is_some());
    let call = if example {
        "call search-aggregator execute_parallel_search query=\"market trends in AI\" providers:='[\"brave\",\"tavily\"]' maxResults:=20"
    } else {
        "tools"
    };
    let usual = std::env::current_dir().is_ok_and(|here| here.join(config::DATA) == folder);
    let data = if usual {
        String::new()
    } else {
        format!(" --data {}", folder.display())
    };
    let place = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let client = serde_json::json!({"mcpServers": {"weft": {
        "command": program, "args": ["mcp", "--data", place],
    }}});
    format!(
        "ready; in another terminal:\n  {program}{data} {call}\n\
         in an MCP client's own file (`weft connect` knows each client's):\n  {client}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_server_is_a_line() {
        let rows = [
            Row {
                server: "docs".into(),
                tools: None,
                problem: Some("no such command: `uvxx`".into()),
            },
            Row {
                server: "time".into(),
                tools: Some(2),
                problem: None,
            },
        ];
        insta::assert_snapshot!(servers(&rows).render(false), @r"
        SERVER  STATE  TOOLS  WHY
        docs    down          no such command: `uvxx`
        time    up     2
        ");
        let elsewhere = next(&rows, Path::new("/srv/mesh"));
        let lines: Vec<&str> = elsewhere.lines().collect();
        assert!(lines[1].ends_with(" --data /srv/mesh tools"), "{elsewhere}");
        let entry: serde_json::Value = serde_json::from_str(lines[3]).expect("an entry");
        let args = &entry["mcpServers"]["weft"]["args"];
        assert_eq!(*args, serde_json::json!(["mcp", "--data", "/srv/mesh"]));
    }
}
