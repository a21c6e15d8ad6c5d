//! `weft events publish`: one event, reported when it is stored.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weftbus::{
    config::Period,
    event::{Event, Published},
};

use crate::cli::{
    call::argument,
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::table::Table,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft events publish task.completed --data '{\"taskId\": \"t-17\"}'
  weft events publish research.completed --data @found.json --corr report-7
  date | jq -R '{at: .}' | weft events publish order.placed --data - --id order-4711";

const AFTER: &str = "\
The event is stored when this returns: its place is printed, STREAM:NUMBER. With --id the same event
can be published again without harm: for 10 minutes the stream knows it, and keeps one.

The data of a type of Weft's own catalogue, or of one that the deployment declares a schema for, is
checked before it is sent (`weft schema` lists them as events/TYPE).

Exit status: 0 stored, 3 not permitted, 4 no mesh, 5 the event is not as it must be, 6 timeout,
8 the stream is full.";

/// Publish an event, and say where it is stored
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(in crate::cli) struct Args {
    /// What happened: a domain and more, with dots between: task.created
    #[arg(value_name = "TYPE")]
    kind: String,
    /// What else there is to say: JSON, a file with JSON in it, or standard input (`-`). The data
    /// folder of the mesh is said by WEFT_DATA here
    // Of the same type as the folder that every command has under this name: see `events::Args::takes_data`.
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: PathBuf,
    /// What it is part of: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`
    #[arg(long, value_name = "ID")]
    corr: Option<String>,
    /// Its id, for who may have to publish it again [default: a new one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// How long it may take to be stored, 4m at most [default: 30s]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Period>,
}

/// Where an event is stored.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Stored {
    /// Its id.
    id: String,
    /// The stream that keeps it.
    stream: String,
    /// Its number there.
    sequence: u64,
    /// Both, as `--after` takes them: `WEFT_TASKS:1234`.
    cursor: String,
    /// Whether it was there already, under the same id.
    duplicate: bool,
}

impl From<Published> for Stored {
    fn from(published: Published) -> Self {
        Self {
            cursor: format!("{}:{}", published.stream, published.sequence),
            id: published.id,
            stream: published.stream,
            sequence: published.sequence,
            duplicate: published.duplicate,
        }
    }
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let event = args.event()?;
    joined(to, async |mesh, to| {
        let events = mesh.events();
        let mut publisher = events.publisher().await?.clone();
        if let Some(timeout) = args.timeout {
            publisher = publisher.timeout(Duration::from_millis(timeout.as_millis()));
        }
        let stored = Stored::from(publisher.publish(event).await?);
        if !to.printer.is_table() {
            to.printer.json(&stored)?;
            return Ok(Exit::Ok);
        }
        let mut table = Table::new(&["ID", "STORED AS", ""]);
        let note = if stored.duplicate {
            "was there already"
        } else {
            ""
        };
        table.row([stored.id.as_str(), &stored.cursor, note]);
        to.printer.table(&table)?;
        Ok(Exit::Ok)
    })
    .await
}

impl Args {
    fn event(&self) -> Result<Event, Failure> {
        let data = self.data.to_str();
        let data = data.ok_or_else(|| Failure::usage("--data: this is no UTF-8"))?;
        let data = argument::json("--data", data).map_err(Failure::usage)?;
        let mut event = Event::new(self.kind.as_str(), data);
        if let Some(id) = &self.id {
            event = event.with_id(id.as_str());
        }
        if let Some(corr) = &self.corr {
            event = event.correlated(corr.as_str());
        }
        Ok(event)
    }
}
