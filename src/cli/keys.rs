//! `weft keys`: the keys that sign tokens, replaced while the mesh runs.

use clap::Subcommand;
use schemars::JsonSchema;
use serde::Serialize;
use weftbus::app::keys::{self, State};

use super::{
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    output::{
        Tone,
        table::{Cell, Table},
    },
    time::{date, now},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft keys list
  weft keys rotate
  weft keys rotate --after 3600 --data /srv/mesh
  weft keys revoke Vkdap1RjR0wC";

const AFTER: &str = "\
The keys are in the data folder of the control plane, and it takes a change within a second. Where
several run, copy control.json to the others before the new key signs (--after).

A rotation stops nobody: the new key is told to all members before it signs, and the old one until the
last token that it signed is over, 30 days at most. A key that somebody else may hold is revoked: all
that it signed is worth nothing at once, and whoever holds such a token needs a new one.";

/// List, replace and revoke the keys that sign tokens
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the keys
    List(List),
    /// Make a new key, which signs after a while
    Rotate(Rotate),
    /// Strike a key off, with all that it signed
    Revoke(Revoke),
}

/// List the keys
#[derive(clap::Args)]
#[command(before_help = "EXAMPLES\n  weft keys list\n  weft keys list -o json --data /srv/mesh")]
struct List {}

/// Make a new key, which signs after a while
#[derive(clap::Args)]
#[command(before_help = "EXAMPLES\n  weft keys rotate\n  weft keys rotate --after 3600")]
struct Rotate {
    /// Seconds until it signs, at least 10: until then it is told to all who check tokens
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    after: u64,
}

/// Strike a key off, with all that it signed
#[derive(clap::Args)]
#[command(before_help = "EXAMPLES\n  weft keys revoke Vkdap1RjR0wC")]
struct Revoke {
    /// Its name, as `weft keys list` shows it
    #[arg(value_name = "KID")]
    kid: String,
}

/// A key that signs tokens, by its public name.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Key {
    /// Its name: `kid` in the header of a token.
    kid: String,
    /// What it is now.
    state: Word,
    /// From when on it signs, or until when what it signed may hold, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
}

/// What a key is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// It signs.
    Signs,
    /// It will.
    Next,
    /// It did.
    Former,
}

impl Key {
    fn of((kid, state): (String, State)) -> Self {
        let (state, at) = match state {
            State::Signs => (Word::Signs, None),
            State::Next(from) => (Word::Next, Some(from)),
            State::Former(until) => (Word::Former, Some(until)),
        };
        Self { kid, state, at }
    }
}

pub(super) fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let folder = weftbus::app::context::folder(&to.env, &to.flags());
    let found = match &args.command {
        Command::List(List {}) => keys::list(&folder),
        Command::Rotate(Rotate { after }) => keys::rotate(&folder, *after),
        Command::Revoke(Revoke { kid }) => keys::revoke(&folder, kid),
    };
    let found: Vec<Key> = found
        .map_err(|error| Failure::usage(error.to_string()))?
        .into_iter()
        .map(Key::of)
        .collect();
    to.printer.rows(&found, table)?;
    Ok(Exit::Ok)
}

fn table(keys: &[Key]) -> Table {
    let mut table = Table::new(&["KID", "STATE", "WHEN"]);
    for key in keys {
        let (state, when) = match key.state {
            Word::Signs => (Cell::new("signs", Tone::Good), String::new()),
            Word::Next => {
                let in_s = key.at.unwrap_or_default().saturating_sub(now());
                (Cell::from("next"), format!("signs in {in_s} s"))
            }
            Word::Former => {
                let until = date(key.at.unwrap_or_default());
                (
                    Cell::from("former"),
                    format!("what it signed holds until {until} at most"),
                )
            }
        };
        table.row([Cell::from(key.kid.as_str()), state, when.into()]);
    }
    table
}
