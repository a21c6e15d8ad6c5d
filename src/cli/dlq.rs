//! `weft dlq`: the dead letters: events that a durable subscriber gave up.

mod name;
mod show;

use clap::Subcommand;
use weftbus::event::{LetterEntry, LetterList, LetterPage};

use self::name::Named;
use super::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::table::{Cell, Table},
    time::date,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft dlq list
  weft dlq list --consumer alice_billing
  weft dlq show 17
  weft dlq redrive 17 18
  weft dlq redrive --all --consumer alice_billing
  weft dlq drop 17";

/// Pages at most: the broker keeps a million letters, 200 on a page.
const PAGES_MAX: usize = 5000;

/// Show, deliver again and drop events that a subscriber gave up
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List dead letters, the oldest first
    #[command(before_help = "\
EXAMPLES
  weft dlq list
  weft dlq list --consumer alice_billing -n 20
  weft dlq list --stream WEFT_TASKS -o jsonl")]
    List(List),
    /// Show a dead letter and its event
    Show(show::Args),
    /// Deliver the events to their subscriber once more; the letters are gone then
    #[command(before_help = "\
EXAMPLES
  weft dlq redrive 17 18
  weft dlq redrive --all --consumer alice_billing")]
    Redrive(Named),
    /// Remove dead letters; their events stay where they are
    #[command(before_help = "\
EXAMPLES
  weft dlq drop 17
  weft dlq drop --all --stream WEFT_TASKS")]
    Drop(Named),
}

/// Which of them.
#[derive(clap::Args, Clone, Default)]
pub(super) struct Of {
    /// Those of this durable: IDENTITY_NAME
    #[arg(long, value_name = "CONSUMER")]
    consumer: Option<String>,
    /// Those of events of this stream: WEFT_TASKS
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    of: Of,
    /// At most so many
    #[arg(short, value_name = "N", default_value_t = 100)]
    n: usize,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    match &args.command {
        Command::List(args) => list(args, to).await,
        Command::Show(args) => show::run(args, to).await,
        Command::Redrive(named) => named.run("dlq_redrive", "delivered once more", to).await,
        Command::Drop(named) => named.run("dlq_drop", "dropped", to).await,
    }
}

async fn list(args: &List, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let (letters, more) = args.of.read(mesh, args.n).await?;
        to.printer.rows(&letters, table)?;
        if more {
            to.printer
                .say(format!("there are more: -n {}", args.n * 10));
        }
        Ok(Exit::Ok)
    })
    .await
}

impl Of {
    /// So many of them at most, and whether there are more.
    async fn read(
        &self,
        mesh: &weftbus::mesh::Mesh,
        most: usize,
    ) -> Result<(Vec<LetterEntry>, bool), Failure> {
        let mut letters = Vec::new();
        let mut asked = LetterList {
            consumer: self.consumer.clone(),
            stream: self.stream.clone(),
            ..LetterList::default()
        };
        for _ in 0..PAGES_MAX {
            let page: LetterPage = mesh.control("dlq_list", &asked).await?;
            letters.extend(page.letters);
            if letters.len() > most {
                letters.truncate(most);
                return Ok((letters, true));
            }
            match page.next {
                Some(next) => asked.after = next,
                None => break,
            }
        }
        Ok((letters, false))
    }
}

fn table(letters: &[LetterEntry]) -> Table {
    let mut table = Table::new(&["LETTER", "SINCE", "CONSUMER", "EVENT", "TRIES", "REASON"]);
    for letter in letters {
        let says = &letter.says;
        table.row([
            Cell::from(letter.letter.to_string()),
            date(letter.at / 1000).into(),
            says.consumer.as_str().into(),
            format!("{}:{}", says.stream, says.seq).into(),
            says.attempts.to_string().into(),
            says.reason.as_str().into(),
        ]);
    }
    table
}
