//! `weft token`: who may do what, and until when.

mod inspect;
mod issue;
mod list;
mod revoke;
mod show;

pub(crate) use self::{issue::Issued, revoke::Revoked, show::Own};

use std::fs;

use clap::Subcommand;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::argument::Stdin,
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    output::{
        Tone,
        table::{Cell, Table},
    },
    time::{date, now, span},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft token issue alice --allow 'call:tools/search-aggregator/*' > alice.token
  weft token list
  weft token revoke --subject alice
  weft token inspect @alice.token
  weft token show";

/// Bytes of a token file at most. A token has less than 8 KiB.
const TOKEN_MAX: u64 = 64 * 1024;

/// Issue, revoke, list and inspect tokens
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a token, and print it: this is the only time that it is shown
    Issue(issue::Args),
    /// Take tokens back: within a second nobody takes them any more
    Revoke(revoke::Args),
    /// List the tokens that hold
    List(list::Args),
    /// Say what is known of a token
    Inspect(inspect::Args),
    /// Say where your own token is, and what it permits
    Show(show::Args),
}

/// What is known of a token. Never the token itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About {
    /// Its id.
    jti: String,
    /// Whose it is.
    sub: String,
    /// What he is to the broker: caller, server, gateway or operator.
    role: String,
    /// What it permits.
    permissions: Vec<String>,
    /// When it was issued, seconds since 1970.
    iat: u64,
    /// Until when it holds, seconds since 1970.
    exp: u64,
    /// When it was revoked, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<u64>,
}

pub(super) async fn run(args: Args, to: &mut Invocation) -> Result<Exit, Failure> {
    match args.command {
        Command::Issue(args) => issue::run(&args, to).await,
        Command::Revoke(args) => revoke::run(&args, to).await,
        Command::List(args) => list::run(&args, to).await,
        Command::Inspect(args) => inspect::run(&args, to).await,
        Command::Show(args) => show::run(&args, to).await,
    }
}

impl About {
    /// Whether it holds now, in a word.
    fn state(&self) -> Cell {
        match self.revoked_at {
            Some(_) => Cell::new("revoked", Tone::Bad),
            None if self.exp <= now() => Cell::new("expired", Tone::Uneasy),
            None => Cell::new("holds", Tone::Good),
        }
    }

    /// Until when, and how long that is.
    fn until(&self) -> String {
        let left = self.exp.saturating_sub(now());
        if left == 0 {
            return format!("{} (over)", date(self.exp));
        }
        format!("{} ({} left)", date(self.exp), span(left))
    }

    /// One below the other.
    fn table(&self) -> Table {
        let mut table = Table::new(&[]);
        let mut row = |name: &str, value: Cell| table.row([Cell::new(name, Tone::Faint), value]);
        row("id", self.jti.as_str().into());
        row("subject", self.sub.as_str().into());
        row("role", self.role.as_str().into());
        row("state", self.state());
        row("issued", date(self.iat).into());
        row("until", self.until().into());
        if let Some(at) = self.revoked_at {
            row("revoked", date(at).into());
        }
        for (index, permission) in self.permissions.iter().enumerate() {
            let name = if index == 0 { "permits" } else { "" };
            row(name, permission.as_str().into());
        }
        if self.permissions.is_empty() {
            row("permits", "nothing".into());
        }
        table
    }
}

fn table(tokens: &[About]) -> Table {
    let mut table = Table::new(&["SUBJECT", "STATE", "UNTIL", "ROLE", "ID", "PERMITS"]);
    for token in tokens {
        table.row([
            token.sub.as_str().into(),
            token.state(),
            date(token.exp).into(),
            token.role.as_str().into(),
            token.jti.as_str().into(),
            Cell::from(token.permissions.join(" ")),
        ]);
    }
    table
}

/// A token that is given as itself, in a file, or on standard input.
fn read(given: &str) -> Result<String, Failure> {
    let text = if given == "-" {
        Stdin::default().read().map_err(Failure::usage)?
    } else if let Some(file) = given.strip_prefix('@') {
        let failed = |why: String| Failure::usage(format!("{file}: {why}"));
        let size = fs::metadata(file).map_err(|error| failed(error.to_string()))?;
        if size.len() > TOKEN_MAX {
            return Err(failed("too large for a token".to_owned()));
        }
        fs::read_to_string(file).map_err(|error| failed(error.to_string()))?
    } else {
        given.to_owned()
    };
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_listed_and_told() {
        let about = About {
            jti: "0197".into(),
            sub: "alice".into(),
            role: "caller".into(),
            permissions: vec!["call:tools/time/*".into(), "list:tools/*".into()],
            iat: 1_700_000_000,
            exp: 1_700_086_400,
            revoked_at: None,
        };
        insta::assert_snapshot!(about.table().render(false), @r"
        id       0197
        subject  alice
        role     caller
        state    expired
        issued   2023-11-14T22:13:20Z
        until    2023-11-15T22:13:20Z (over)
        permits  call:tools/time/*
                 list:tools/*
        ");
        let revoked = About {
            revoked_at: Some(1_700_000_001),
            permissions: Vec::new(),
            ..about.clone()
        };
        insta::assert_snapshot!(table(&[about, revoked]).render(false), @r"
        SUBJECT  STATE    UNTIL                 ROLE    ID    PERMITS
        alice    expired  2023-11-15T22:13:20Z  caller  0197  call:tools/time/* list:tools/*
        alice    revoked  2023-11-15T22:13:20Z  caller  0197
        ");
    }

    #[test]
    fn a_token_is_given_in_three_ways() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "a.b.c\n").expect("written");
        let by_file = read(&format!("@{}", file.path().display())).expect("read");
        assert_eq!(by_file, "a.b.c");
        assert_eq!(read(" a.b.c ").expect("itself"), "a.b.c");
        let said = read("@/nowhere/token").expect_err("no file");
        assert_eq!(said.exit(), Exit::Usage);
    }
}
