//! `weft describe`: what a tool does, what it takes, and how it is called.

mod argument;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use weftbus::{
    config::nearest,
    error::{Error, Kind},
    name::ServerName,
};

use self::argument::{Argument, quoted};
use super::{
    call,
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::{
        Tone, harmless, paint,
        table::{Cell, Table},
    },
    tools,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft describe search-aggregator execute_parallel_search
  weft describe chart-generator/generate_chart
  weft describe time__convert_time -o json";

/// Say what a tool does, what it takes, and how it is called
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, override_usage = "weft describe [OPTIONS] SERVER TOOL")]
pub(super) struct Args {
    /// Server and tool: SERVER TOOL, SERVER/TOOL or SERVER__TOOL
    #[arg(required = true, num_args = 1..=2, value_name = "WORD")]
    words: Vec<String>,
}

/// A tool, taken apart.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    /// The server.
    server: String,
    /// The tool.
    name: String,
    /// Name and arguments in one line.
    signature: String,
    /// What it does, as the server says.
    description: String,
    /// What it takes, the required ones first.
    arguments: Vec<Argument>,
    /// A call that can be pasted.
    example: String,
    /// The tool as the server describes it.
    definition: Value,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let (server, name, rest) = call::argument::target(&args.words).map_err(Failure::usage)?;
    ServerName::new(&server).map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(more) = rest.first() {
        return Err(Failure::usage(format!("`{more}` is one word too many")));
    }
    joined(to, async |mesh, to| {
        let tools = tools::of(mesh, &server).await?;
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        let near = nearest(&name, &names).map(|near| format!("did you mean `{near}`?"));
        let tool = tools.iter().find(|tool| tool.name == name).ok_or_else(|| {
            let what = format!("`{server}` has no tool `{name}`");
            let list = format!("`weft tools {server}` lists them");
            Failure::from(Error::new(Kind::ToolNotFound, what)).hint(Some(near.unwrap_or(list)))
        })?;
        tool.warn(&mut to.printer);
        let description = Description::of(&server, &tool.definition);
        if to.printer.is_table() {
            let colour = to.printer.is_coloured(false);
            to.printer.raw(description.render(colour).as_bytes())?;
        } else {
            to.printer.json(&description)?;
        }
        Ok(Exit::Ok)
    })
    .await
}

impl Description {
    fn of(server: &str, definition: &Value) -> Self {
        let text = |name: &str| definition.get(name).and_then(Value::as_str);
        let name = text("name").unwrap_or_default().to_owned();
        let schema = definition.get("inputSchema").unwrap_or(&Value::Null);
        let arguments = argument::of(schema);
        let signature: Vec<String> = arguments.iter().map(Argument::signature).collect();
        let mut example = format!("weft call {server} {}", quoted(&name));
        for argument in arguments.iter().filter(|argument| argument.required) {
            example.push(' ');
            example.push_str(&argument.example());
        }
        Self {
            signature: format!("{name}({})", signature.join(", ")),
            description: text("description")
                .or_else(|| text("title"))
                .unwrap_or_default()
                .trim()
                .to_owned(),
            server: server.to_owned(),
            name,
            arguments,
            example,
            definition: definition.clone(),
        }
    }

    fn render(&self, colour: bool) -> String {
        let mut text = paint(&harmless(&self.signature), Tone::Bold, colour);
        if !self.description.is_empty() {
            text.push_str("\n\n");
            text.push_str(&harmless(&self.description));
        }
        if !self.arguments.is_empty() {
            let mut table = Table::new(&["ARGUMENT", "TYPE", "REQUIRED", "DEFAULT", "WHAT IT IS"]);
            for argument in &self.arguments {
                table.row(argument.cells().map(Cell::from));
            }
            text.push_str("\n\n");
            text.push_str(&table.render(colour));
        }
        text.push_str("\n\n");
        text.push_str(&harmless(&self.example));
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_is_taken_apart() {
        let definition = json!({
            "name": "execute_parallel_search",
            "description": "Search with several providers at once.\n\nBest hits first.",
            "inputSchema": {
                "type": "object",
                "required": ["query", "providers", "deep"],
                "properties": {
                    "maxResults": {"type": "integer", "default": 10, "minimum": 1, "description": "How many hits at most."},
                    "query": {"type": "string", "description": "What to look for."},
                    "providers": {"type": "array", "items": {"type": "string", "enum": ["brave", "tavily"]}},
                    "sort": {"enum": ["date", "rank"]},
                    "deep": {"type": "boolean"},
                },
            },
        });
        let description = Description::of("search-aggregator", &definition);
        insta::assert_snapshot!(description.render(false), @r#"
        execute_parallel_search(query: string, providers: string[], deep: boolean, maxResults?: integer = 10, sort?: "date" | "rank")

        Search with several providers at once.

        Best hits first.

        ARGUMENT    TYPE             REQUIRED  DEFAULT  WHAT IT IS
        query       string           yes                What to look for.
        providers   string[]         yes                Each one of "brave", "tavily".
        deep        boolean          yes
        maxResults  integer                    10       How many hits at most. At least 1.
        sort        "date" | "rank"

        weft call search-aggregator execute_parallel_search query=text providers:='["brave"]' deep:=true
        "#);
    }

    #[test]
    fn a_tool_without_arguments_is_called_without() {
        let definition = json!({"name": "ping", "inputSchema": {"type": "object"}});
        let description = Description::of("a", &definition);
        insta::assert_snapshot!(description.render(false), @r"
        ping()

        weft call a ping
        ");
    }
}
