//! `weft tools`: what servers can do.

use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use weftbus::{
    error::{Error, Kind},
    mcp::hidden::{hidden, written},
    mesh::Mesh,
};

use super::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::{Printer, table::Table},
    servers,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft tools
  weft tools search-aggregator
  weft tool search-aggregator -o json";

/// Servers that are asked at the same time.
const AT_ONCE: usize = 8;
/// Characters of a description that a table has room for.
const SUMMARY_MAX: usize = 100;

/// List tools, of one server or of all
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
pub(super) struct Args {
    /// The server. None: all that you may see
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

/// A tool of a server.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tool {
    /// The server.
    server: String,
    /// The tool.
    pub(super) name: String,
    /// The first sentence of its description.
    summary: String,
    /// Characters in what it says of itself that nobody sees, and a model reads: `U+202E`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hidden: Option<String>,
    /// The tool as the server describes it: `name`, `description`, `inputSchema`, ….
    pub(super) definition: Value,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let tools = match &args.server {
            Some(server) => of(mesh, server).await.map_err(Failure::from)?,
            None => of_all(mesh, to).await?,
        };
        let one = args.server.is_some();
        tools.iter().for_each(|tool| tool.warn(&mut to.printer));
        to.printer.rows(&tools, |tools| table(tools, one))?;
        Ok(Exit::Ok)
    })
    .await
}

/// The tools of one server.
pub(super) async fn of(mesh: &Mesh, server: &str) -> Result<Vec<Tool>, Error> {
    let raw = mesh.list_tools(server).await?;
    raw.iter().map(|tool| Tool::read(server, tool)).collect()
}

/// The tools of all servers that serve. One that does not is named, and the others are listed.
async fn of_all(mesh: &Mesh, to: &mut Invocation) -> Result<Vec<Tool>, Failure> {
    let servers = servers::list(mesh).await?;
    let (serving, silent): (Vec<_>, Vec<_>) = servers
        .into_iter()
        .partition(|server| server.state.serves());
    for server in silent {
        let why = server.reason.unwrap_or_else(|| "it does not serve".into());
        to.printer.warn(format!("`{}`: {why}", server.server));
    }
    let asked = serving.iter().map(async |server| {
        let tools = of(mesh, &server.server).await;
        (server.server.as_str(), tools)
    });
    let mut answers = futures_util::stream::iter(asked).buffered(AT_ONCE);
    let mut all = Vec::new();
    while let Some((server, tools)) = answers.next().await {
        match tools {
            Ok(tools) => all.extend(tools),
            Err(error) => to.printer.warn(format!("`{server}`: {error}")),
        }
    }
    Ok(all)
}

impl Tool {
    /// Says it where a person would be shown less than a model reads.
    pub(super) fn warn(&self, to: &mut Printer) {
        if let Some(hidden) = &self.hidden {
            to.warn(format!(
                "`{}` of `{}` has characters in its description that nobody sees, and a model \
                 reads: {hidden}. Look at it with `-o json`, and ask who wrote it",
                self.name, self.server
            ));
        }
    }

    fn read(server: &str, raw: &RawValue) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Head {
            name: String,
            #[serde(default)]
            title: Option<String>,
            #[serde(default)]
            description: Option<String>,
        }
        let broken = |error: serde_json::Error| {
            let what = format!("`{server}` lists a tool that can't be read: {error}");
            Error::new(Kind::ToolExecutionError, what)
        };
        let head: Head = serde_json::from_str(raw.get()).map_err(broken)?;
        let about = head.description.or(head.title).unwrap_or_default();
        let definition = serde_json::from_str(raw.get()).map_err(broken)?;
        let hidden = hidden(&definition);
        Ok(Self {
            server: server.to_owned(),
            name: head.name,
            summary: sentence(&about),
            hidden: (!hidden.is_empty()).then(|| written(&hidden)),
            definition,
        })
    }
}

/// The first sentence, in one line.
fn sentence(text: &str) -> String {
    let paragraph = text.trim().split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    // A full stop inside of `e.g.` or a file name has no blank and capital letter behind it.
    let end = line.match_indices(". ").find(|(at, _)| {
        let next = line[at + 2..].chars().next();
        next.is_some_and(char::is_uppercase)
    });
    let first = end.map_or(line.as_str(), |(at, _)| &line[..=at]);
    if first.chars().count() <= SUMMARY_MAX {
        return first.to_owned();
    }
    let cut: String = first.chars().take(SUMMARY_MAX - 1).collect();
    format!("{}…", cut.trim_end())
}

fn table(tools: &[Tool], one: bool) -> Table {
    let head: &[&str] = if one {
        &["TOOL", "WHAT IT DOES"]
    } else {
        &["SERVER", "TOOL", "WHAT IT DOES"]
    };
    let mut table = Table::new(head);
    for tool in tools {
        let cells = [&tool.server, &tool.name, &tool.summary].map(String::as_str);
        table.row(cells.into_iter().skip(usize::from(one)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: &str) -> Tool {
        let raw = serde_json::json!({"name": name, "description": description, "inputSchema": {}});
        let raw = serde_json::value::to_raw_value(&raw).expect("JSON");
        Tool::read("time", &raw).expect("a tool")
    }

    #[test]
    fn the_first_sentence_is_told() {
        for (text, first) in [
            ("Say it. Then more.", "Say it."),
            (
                "  Reads e.g. a file.txt\nin one go. Then more",
                "Reads e.g. a file.txt in one go.",
            ),
            ("One line\n\nAnother paragraph", "One line"),
            ("", ""),
        ] {
            assert_eq!(sentence(text), first);
        }
        let long = sentence(&"word ".repeat(50));
        assert!(
            long.chars().count() <= SUMMARY_MAX && long.ends_with('…'),
            "{long}"
        );
    }

    #[test]
    fn one_server_needs_no_column() {
        let tools = [
            tool("get_current_time", "Get current time in a timezone"),
            tool(
                "convert_time",
                "Convert time between timezones. It knows them all.",
            ),
        ];
        insta::assert_snapshot!(table(&tools, true).render(false), @r"
        TOOL              WHAT IT DOES
        get_current_time  Get current time in a timezone
        convert_time      Convert time between timezones.
        ");
        insta::assert_snapshot!(table(&tools, false).render(false), @r"
        SERVER  TOOL              WHAT IT DOES
        time    get_current_time  Get current time in a timezone
        time    convert_time      Convert time between timezones.
        ");
    }
}
