//! `weft dlq show`: one dead letter, and the event that it is about.

use serde_json::json;
use weftbus::event::LetterShown;

use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::{
        Tone,
        table::{Cell, Table},
    },
    time::date,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft dlq show 17
  weft dlq show 17 -o json";

/// Show a dead letter and its event
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
pub(super) struct Args {
    /// Its number, as `weft dlq list` has it
    #[arg(value_name = "LETTER")]
    letter: u64,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let asked = json!({"letter": args.letter});
        let shown: LetterShown = mesh.control("dlq_show", asked).await?;
        if !to.printer.is_table() {
            to.printer.json(&shown)?;
            return Ok(Exit::Ok);
        }
        to.printer.table(&table(&shown))?;
        Ok(Exit::Ok)
    })
    .await
}

fn table(shown: &LetterShown) -> Table {
    let mut table = Table::new(&[]);
    let mut row = |name: &str, value: Cell| table.row([Cell::new(name, Tone::Faint), value]);
    let says = &shown.entry.says;
    row("letter", shown.entry.letter.to_string().into());
    row("since", date(shown.entry.at / 1000).into());
    row("consumer", says.consumer.as_str().into());
    row("stored as", format!("{}:{}", says.stream, says.seq).into());
    row("tries", says.attempts.to_string().into());
    row("reason", Cell::new(says.reason.as_str(), Tone::Bad));
    match &shown.event {
        None => {
            let why = shown.lost.as_deref().unwrap_or("there is none");
            row("event", Cell::new(why, Tone::Uneasy));
        }
        Some(event) => {
            row("id", event.id.as_str().into());
            row("type", event.kind.as_str().into());
            let source = event.source.as_ref().map_or("", |source| source.as_str());
            row("source", source.into());
            row("happened", event.timestamp.as_str().into());
            if let Some(correlation) = &event.correlation_id {
                row("correlation", correlation.to_string().into());
            }
            row("data", event.data.get().into());
        }
    }
    table
}
