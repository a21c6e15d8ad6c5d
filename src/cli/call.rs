//! `weft call`: one tool, once.

pub(super) mod argument;
mod progress;
mod render;

use std::time::Duration;

use serde_json::{Map, Value};
use weftbus::{
    config::{Period, nearest},
    error::{Context, Error, Kind, Origin, Started, case},
    mesh::{Answer, Ask, Mesh, ToolResult},
    name::{CallId, ServerName},
};

use super::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::{Format, Printer},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft call search-aggregator execute_parallel_search query=\"market trends in AI\" providers:='[\"brave\",\"tavily\"]' maxResults:=20
  weft call task-orchestrator/parse_prd content=@prd.md --timeout 2m
  weft call billing charge customer=c-7 cents:=1200 --key invoice-4711
  weft call time__convert_time --args '{\"time\": \"12:00\", \"source_timezone\": \"UTC\"}'
  cat arguments.json | weft call chart-generator generate_chart --args - -o json";

const AFTER: &str = "\
Arguments of the tool:
  key=text      a string
  key:=json     any JSON: 20, true, [\"a\"], {\"b\": 1}
  key=@FILE     the text of a file (`-`: standard input); a string that begins with @ is key:='\"@…\"'
  key:=@FILE    the JSON in a file
What key=… says stands over what --args says.

The text of the result goes to standard output; what is no text stands there as a line that says
what it is. With `-o json` it is the result as the server wrote it.

Exit status: 0 ok, 3 not permitted, 4 no such server or no mesh, 5 the tool said error, no such
tool or bad arguments, 6 timeout, 8 too much work.";

/// How long a suggestion may take.
const SUGGESTION_MAX: Duration = Duration::from_secs(2);

/// Call a tool and print its result
#[derive(clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_help = AFTER,
    override_usage = "weft call [OPTIONS] SERVER TOOL [key=text]… [key:=json]… [key=@FILE]…"
)]
pub(super) struct Args {
    /// Server and tool (SERVER TOOL, SERVER/TOOL or SERVER__TOOL), then the tool's arguments
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    /// The arguments as one JSON object, in a file, or from standard input (`-`)
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    args: Option<String>,
    /// How long the call may take: 500ms, 30s, 5m [default: 30s]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Period>,
    /// What the call is part of: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`
    #[arg(long, value_name = "ID")]
    corr: Option<String>,
    /// Idempotency key: however often a call with it is made, it runs at most once, and whoever asks
    /// again within a day hears what came of it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// One attempt, whatever comes of it
    #[arg(long)]
    no_retry: bool,
    /// W3C trace context to go on with: 00-…-…-01
    #[arg(long, value_name = "TRACEPARENT", value_parser = argument::traceparent)]
    traceparent: Option<String>,
    /// Show progress also where standard error is no terminal, a line each
    #[arg(long)]
    progress: bool,
    /// Run it as a durable task: not in this version
    #[arg(long, hide = true)]
    task: bool,
}

/// A call, as the command line says it.
struct Wanted {
    server: String,
    tool: String,
    arguments: Map<String, Value>,
    correlation: String,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let wanted = args.wanted()?;
    let printer_is_lively = to.printer.is_lively();
    joined(to, async |mesh, to| {
        let ask = args.ask(mesh, &wanted)?;
        let answer = if args.progress || printer_is_lively {
            progress::send(ask, &mut to.printer).await
        } else {
            ask.send().await
        };
        let result = answer.and_then(|answer: Answer| answer.tool());
        match result {
            Ok(result) => print(&result, &wanted, &mut to.printer),
            Err(error) => Err(wanted.failed(error, mesh).await),
        }
    })
    .await
}

impl Args {
    fn wanted(&self) -> Result<Wanted, Failure> {
        if self.task {
            return Err(Failure::usage(
                "--task: durable tasks are not in this version; without it the call is made and waited for",
            ));
        }
        let (server, tool, words) = argument::target(&self.words).map_err(Failure::usage)?;
        ServerName::new(&server).map_err(|error| Failure::usage(error.to_string()))?;
        let arguments = argument::arguments(self.args.as_deref(), words).map_err(Failure::usage)?;
        // An id of our own where none is given, so that it can be told whatever happens.
        let correlation = self.corr.clone();
        Ok(Wanted {
            server,
            tool,
            arguments,
            correlation: correlation.unwrap_or_else(|| CallId::now().to_string()),
        })
    }

    fn ask(&self, mesh: &Mesh, wanted: &Wanted) -> Result<Ask, Failure> {
        let misused = |error: Error| Failure::usage(error.message());
        let mut ask = mesh
            .tool(&wanted.server, &wanted.tool, &wanted.arguments)
            .and_then(|ask| ask.correlated(&wanted.correlation))
            .map_err(misused)?;
        if let Some(timeout) = self.timeout {
            ask = ask.timeout(timeout.duration());
        }
        if let Some(traceparent) = &self.traceparent {
            ask = ask.traced(traceparent);
        }
        if let Some(key) = &self.key {
            ask = ask.with_key(key).map_err(misused)?;
        }
        if self.no_retry {
            ask = ask.once();
        }
        Ok(ask)
    }
}

impl Wanted {
    fn context(&self) -> Context {
        Context {
            server_name: self.server.clone(),
            operation: format!("tools/call {}", self.tool),
            request_id: self.correlation.clone(),
            ..Context::default()
        }
    }

    /// The failure, with the name that may have been meant.
    async fn failed(&self, error: Error, mesh: &Mesh) -> Failure {
        let error = error.located(&self.server, || self.context());
        if error.message().contains("did you mean") {
            return error.into();
        }
        let suggestion = tokio::time::timeout(SUGGESTION_MAX, self.suggestion(&error, mesh));
        let hint = suggestion.await.ok().flatten();
        Failure::from(error).hint(hint)
    }

    async fn suggestion(&self, error: &Error, mesh: &Mesh) -> Option<String> {
        if error.is_case(case::SERVER_NOT_FOUND) {
            let known = super::servers::list(mesh).await.ok()?;
            let names: Vec<&str> = known.iter().map(|known| known.server.as_str()).collect();
            return nearest(&self.server, &names).map(|near| format!("did you mean `{near}`?"));
        }
        // A server has no code of its own for a tool that it does not know.
        let about_tool = matches!(error.kind(), Kind::ToolNotFound | Kind::InvalidParams);
        if !about_tool {
            return None;
        }
        let tools = super::tools::of(mesh, &self.server).await.ok()?;
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        if names.contains(&self.tool.as_str()) {
            return Some(format!(
                "`weft describe {} {}` shows the arguments it takes",
                self.server, self.tool
            ));
        }
        Some(match nearest(&self.tool, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("`weft tools {}` lists the tools there are", self.server),
        })
    }
}

fn print(result: &ToolResult, wanted: &Wanted, printer: &mut Printer) -> Result<Exit, Failure> {
    let text = render::text(result.value());
    match printer.format {
        Format::Table if result.is_error() => {}
        Format::Table => printer.text(&text)?,
        Format::Json => printer.raw(result.raw().get().as_bytes())?,
        // A line end in JSON stands between its parts, never inside of a text.
        Format::Jsonl => printer.raw(result.raw().get().replace(['\n', '\r'], " ").as_bytes())?,
    }
    if !result.is_error() {
        return Ok(Exit::Ok);
    }
    let error = Error::new(Kind::ToolExecutionError, text)
        .origin(Origin::Server)
        .started(Started::Yes)
        .located(&wanted.server, || wanted.context());
    Err(Failure::told(error, Exit::Tool))
}
