//! `weft resources list`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use weftbus::{
    error::{Error, Kind},
    mcp::Method,
    mesh::Mesh,
    resource::Resource,
};

use super::SHARED;
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::table::Table,
};

/// Pages of one server's list.
const PAGES_MAX: usize = 100;

/// List the resources of a server, or the shared ones
#[derive(clap::Args)]
#[command(before_help = "\
EXAMPLES
  weft resources list
  weft resources list --prefix report:
  weft resources list git -o jsonl")]
pub(super) struct Args {
    /// The server. None: the shared resources, which the server `weft` has
    #[arg(value_name = "SERVER", default_value = SHARED, hide_default_value = true)]
    server: String,
    /// Those whose URIs begin so
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,
}

/// A resource.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    /// Whose list it is in.
    server: String,
    /// Which one.
    uri: String,
    /// What it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Bytes of its content, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Whose it is, where it is a shared one.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// As its server describes it.
    definition: Value,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let listed = if args.server == SHARED {
            let all = mesh.resources().list(&args.prefix).await?;
            all.into_iter().map(Listed::shared).collect()
        } else {
            let mut all = of_server(mesh, &args.server).await?;
            all.retain(|one| one.uri.starts_with(&args.prefix));
            all
        };
        if listed.is_empty() {
            to.printer.say("no resource that you may read");
        }
        to.printer.rows(&listed, table)?;
        Ok(Exit::Ok)
    })
    .await
}

async fn of_server(mesh: &Mesh, server: &str) -> Result<Vec<Listed>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        resources: Vec<Map<String, Value>>,
        next_cursor: Option<String>,
    }
    let mut all = Vec::new();
    let mut params = json!({});
    for _ in 0..PAGES_MAX {
        let method = Method::new("resources/list").expect("a method");
        let answer = mesh.ask(server, method, params)?.send().await?;
        let page: Page = answer.result()?;
        let read = page.resources.into_iter();
        all.extend(read.filter_map(|one| Listed::of_server(server, one)));
        let Some(cursor) = page.next_cursor else {
            return Ok(all);
        };
        params = json!({"cursor": cursor});
    }
    let said = format!("`{server}` has more than {PAGES_MAX} pages of resources");
    Err(Error::new(Kind::ToolExecutionError, said))
}

impl Listed {
    fn shared(resource: Resource) -> Self {
        let definition = serde_json::to_value(&resource).expect("a resource is JSON");
        Self {
            server: SHARED.to_owned(),
            uri: resource.id,
            kind: Some(resource.kind),
            size: Some(resource.size),
            owner: Some(resource.owner.to_string()),
            definition,
        }
    }

    fn of_server(server: &str, one: Map<String, Value>) -> Option<Self> {
        let text = |name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            server: server.to_owned(),
            uri: text("uri")?,
            kind: text("mimeType"),
            size: one.get("size").and_then(Value::as_u64),
            owner: None,
            definition: Value::Object(one),
        })
    }
}

fn table(listed: &[Listed]) -> Table {
    let mut table = Table::new(&["URI", "TYPE", "BYTES", "OWNER"]);
    for one in listed {
        table.row([
            one.uri.clone(),
            one.kind.clone().unwrap_or_default(),
            one.size.map(|size| size.to_string()).unwrap_or_default(),
            one.owner.clone().unwrap_or_default(),
        ]);
    }
    table
}
