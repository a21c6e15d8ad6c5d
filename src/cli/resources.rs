//! `weft resources`: what servers share, and what the mesh itself keeps for its members.

mod list;
mod read;
mod register;

use clap::Subcommand;
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use self::{list::Listed, read::Got};
use super::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft resources list
  weft resources list git
  weft resources read report://2026/q3 --to q3.md
  weft resources read git file:///README.md
  weft resources register report://2026/q3 @q3.md --type text/markdown --share 'team-*=read'
  weft resources remove report://2026/q3";

/// The server of shared resources.
const SHARED: &str = "weft";

/// List, read, register and remove resources
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the resources of a server, or the shared ones
    List(list::Args),
    /// Print a resource, or write it into a file
    Read(read::Args),
    /// Share a file, or what comes on standard input
    Register(register::Args),
    /// Remove a shared resource
    Remove(Remove),
}

#[derive(clap::Args)]
#[command(before_help = "\
EXAMPLES
  weft resources remove report://2026/q3
  weft resources remove report://2026/q3 --version 1795339800123")]
struct Remove {
    /// The resource
    #[arg(value_name = "URI")]
    uri: String,
    /// Only where this is its version
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

/// A resource that was removed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Removed {
    /// Which one.
    uri: String,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    match &args.command {
        Command::List(args) => list::run(args, to).await,
        Command::Read(args) => read::run(args, to).await,
        Command::Register(args) => register::run(args, to).await,
        Command::Remove(args) => remove(args, to).await,
    }
}

async fn remove(args: &Remove, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        mesh.resources().remove(&args.uri, args.version).await?;
        let uri = args.uri.clone();
        if to.printer.is_table() {
            to.printer.say(format!("{uri} is removed"));
        } else {
            to.printer.json(&Removed { uri })?;
        }
        Ok(Exit::Ok)
    })
    .await
}

/// `URI`, or `SERVER URI`.
fn server_and_uri(words: &[String]) -> (&str, &str) {
    match words {
        [server, uri, ..] => (server, uri),
        [uri] => (SHARED, uri),
        [] => (SHARED, ""),
    }
}

/// How far something long is.
fn share(done: u64, of: u64) -> String {
    let percent = done.saturating_mul(100) / of.max(1);
    format!("{} of {} KiB, {percent} %", done / 1024, of / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_a_shared_one() {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(server_and_uri(&words(&["a:b"])), ("weft", "a:b"));
        assert_eq!(server_and_uri(&words(&["git", "a:b"])), ("git", "a:b"));
        assert_eq!(share(512 * 1024, 1 << 20), "512 of 1024 KiB, 50 %");
        assert_eq!(share(0, 0), "0 of 0 KiB, 0 %");
    }
}
