//! `weft audit`: what was decided, and whether all of it is there.

mod tail;
mod verify;

use super::{exit::Exit, failure::Failure, invocation::Invocation};

const EXAMPLES: &str = "\
EXAMPLES
  weft audit tail --since 1h --decision refused
  weft audit tail --who alice -o jsonl
  weft audit verify";

/// Show what was decided, and check that all of it is there
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print decisions as they are written, with those before them where asked for
    Tail(tail::Args),
    /// Read the whole trail, and name what is missing or was changed, writer by writer
    Verify(verify::Args),
}

pub(super) use self::{tail::Line, verify::Verified};

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    match &args.command {
        Command::Tail(args) => tail::run(args, to).await,
        Command::Verify(args) => verify::run(args, to).await,
    }
}
