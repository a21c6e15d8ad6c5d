//! `weft events`: publish what happened.

pub(super) mod publish;

use super::{exit::Exit, failure::Failure, invocation::Invocation};

const EXAMPLES: &str = "\
EXAMPLES
  weft events publish task.completed --data '{\"taskId\": \"t-17\"}'
  weft events publish research.completed --data @found.json --corr report-7";

/// Publish events
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Publish an event, and say where it is stored
    Publish(publish::Args),
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    match &args.command {
        Command::Publish(args) => publish::run(args, to).await,
    }
}
