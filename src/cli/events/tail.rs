//! `weft events tail`: what was published, and what is being published.

mod begin;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use weftbus::{
    event::{Event, Wish},
    mesh::{Mesh, Stored, Told},
    name::Identity,
};

use self::begin::Since;
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::{Printer, harmless},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft events tail
  weft events tail --type 'task.*' --since 5m
  weft events tail --type research.completed --after WEFT_RESEARCH:1234 -n 10
  weft events tail --corr report-7 --since 24h -o jsonl | jq .data";

const AFTER: &str = "\
Types are patterns: task.created, 'task.*', 'task.cre*'; quote them, a shell would expand the `*`.
History comes in the order in which it was stored, then what is new as it comes, without a gap
between the two, and over a broker that is started again. With `-o jsonl` each line is an event and
its place; `weft schema output/events-tail` says how.

It ends after -n events, with Ctrl-C, or when who reads it has gone.
Exit status: 0 ended, 3 not permitted, 4 no mesh.";

/// Print events as they are published, with those before them where asked for
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(in crate::cli) struct Args {
    /// Only events of these types
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Only what this identity published
    #[arg(long, value_name = "NAME")]
    source: Option<Identity>,
    /// Only what is part of this
    #[arg(long, value_name = "ID")]
    corr: Option<String>,
    #[command(flatten)]
    since: Since,
    /// End after so many events
    #[arg(short = 'n', value_name = "N")]
    count: Option<u64>,
}

/// An event, and its place.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Line {
    /// The event.
    #[serde(flatten)]
    event: Event,
    /// The stream that keeps it.
    stream: String,
    /// Its number there.
    sequence: u64,
    /// Both, as `--after` takes them.
    cursor: String,
    /// When it was stored, RFC 3339.
    stored_at: String,
}

impl From<Stored> for Line {
    fn from(stored: Stored) -> Self {
        Self {
            cursor: stored.cursor(),
            stored_at: begin::time(stored.at),
            event: stored.event,
            stream: stored.stream,
            sequence: stored.sequence,
        }
    }
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        args.follow(mesh, &mut to.printer).await.map(|()| Exit::Ok)
    })
    .await
}

impl Args {
    async fn follow(&self, mesh: &Mesh, to: &mut Printer) -> Result<(), Failure> {
        let wish = Wish {
            types: self.types.clone(),
            source: self.source.clone(),
        };
        let (begin, mut behind) = self.since.read()?;
        let mut tail = mesh.events().tail(wish, &begin).await?;
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let stored = match tail.next().await? {
                Told::Event(stored) => *stored,
                other => {
                    to.warn(begin::words(&other));
                    continue;
                }
            };
            if let Some(id) = &behind {
                if stored.event.id == *id {
                    behind = None;
                } else if tail.is_live() {
                    return Err(Failure::usage(format!(
                        "--after {id}: there is no such event in these streams"
                    )));
                }
                continue;
            }
            let corr = stored.event.correlation_id.as_deref();
            if self.corr.is_some() && self.corr.as_deref() != corr {
                continue;
            }
            show(to, Line::from(stored))?;
            left -= 1;
        }
        Ok(())
    }
}

/// One line each, written at once: who reads them may want to act on them.
fn show(to: &mut Printer, line: Line) -> Result<(), Failure> {
    if !to.is_table() {
        let text = serde_json::to_string(&line).expect("an event is JSON");
        return to.raw(format!("{text}\n").as_bytes());
    }
    let event = &line.event;
    let source = event.source.as_ref().map_or("?", Identity::as_str);
    let data: Value = event.data().unwrap_or_default();
    let text = format!(
        "{}  {}  {}  {}  {}",
        line.stored_at, line.cursor, event.kind, source, data
    );
    to.raw(format!("{}\n", harmless(&text)).as_bytes())
}
