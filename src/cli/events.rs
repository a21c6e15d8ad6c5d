//! `weft events`: publish what happened, follow it, and have it told again.

mod begin;
pub(super) mod line;
mod pick;
pub(super) mod publish;
pub(super) mod replay;
pub(super) mod tail;

pub(super) use self::begin::{moment, time as rfc3339};
use super::{exit::Exit, failure::Failure, invocation::Invocation};

const EXAMPLES: &str = "\
EXAMPLES
  weft events publish task.completed --data '{\"taskId\": \"t-17\"}'
  weft events publish research.completed --data @found.json --corr report-7
  weft events tail --type 'task.*' --since 5m
  weft events replay --type 'task.*' --since 24h --dry-run";

/// Publish, follow and replay events
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

impl Args {
    /// Whether `--data` is what happened, and not the folder of the mesh.
    pub(super) const fn takes_data(&self) -> bool {
        matches!(self.command, Command::Publish(_))
    }
}

#[derive(clap::Subcommand)]
enum Command {
    /// Publish an event, and say where it is stored
    Publish(publish::Args),
    /// Print events as they are published, with those before them where asked for
    Tail(tail::Args),
    /// Print events that are stored once more, or deliver them again
    Replay(replay::Args),
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    match &args.command {
        Command::Publish(args) => publish::run(args, to).await,
        Command::Tail(args) => tail::run(args, to).await,
        Command::Replay(args) => replay::run(args, to).await,
    }
}
