//! `weft grant`: what somebody may do, or may not, beside what his token says.

use clap::Subcommand;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use weftbus::{
    call::{condition::Condition, grant::Grant, permission::Permission},
    name::Identity,
};

use super::{
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
  weft grant add alice 'call:tools/time/*'
  weft grant add alice call:tools/pay/transfer --if 'arguments.amount < 100'
  weft grant add '*' call:tools/git/git_reset --deny
  weft grant list --who alice
  weft grant remove 019ab0c2-4a4f-7d6e-9a55-3f1d2c6b7a80";

const AFTER: &str = "\
What denies wins over every grant and over the token. A condition is CEL (cel.dev) over caller,
action, target, server, tool, arguments, time and claims, and has to be a boolean; where it can't be
decided (an argument is missing, or of another type), the answer is no:
  arguments.amount < 100 && time.getHours('Europe/Berlin') < 18
  arguments.path.startsWith('/public/')      claims.role == 'caller'
What the broker alone decides (publish, subscribe, replay, serve) has no conditions: a grant with one
gives nothing there, and one that denies always does.

It counts at once. Who is connected and gets more reaches it with his next connection; who gets less
has his connection cut where the broker would still let him.";

/// Permit or deny something at run time, beside what tokens say
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Permit something, or deny it
    Add(Add),
    /// Remove a grant
    Remove(Remove),
    /// List what is granted and denied
    List(List),
}

/// Permit something, or deny it
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
struct Add {
    /// Whom: a name, `prefix*`, or `*` for everybody
    #[arg(value_name = "WHO")]
    who: String,
    /// What: ACTION:TARGET, as in `weft token issue`
    #[arg(value_name = "PERMISSION", value_parser = permission)]
    permission: String,
    /// Deny it instead
    #[arg(long)]
    deny: bool,
    /// Only where this holds, in CEL
    #[arg(long = "if", value_name = "CEL", value_parser = condition)]
    condition: Option<String>,
}

/// Remove a grant
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
struct Remove {
    /// Its id, as `weft grant list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

/// List what is granted and denied
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
struct List {
    /// What is about this identity alone
    #[arg(long, value_name = "NAME")]
    who: Option<Identity>,
}

/// A grant with who made it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    /// The grant.
    grant: Grant,
    /// Who made it.
    granted_by: String,
    /// When, seconds since 1970.
    granted_at: u64,
    /// Connections that lost something by its coming or going, and were cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connections_cut: Option<usize>,
}

#[derive(Deserialize)]
struct Page {
    grants: Vec<Kept>,
}

fn permission(text: &str) -> Result<String, String> {
    Permission::parse(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn condition(text: &str) -> Result<String, String> {
    Condition::parse(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

pub(super) async fn run(args: Args, to: &mut Invocation) -> Result<Exit, Failure> {
    match args.command {
        Command::Add(add) => change(to, "grant_add", &add.arguments()).await,
        Command::Remove(remove) => change(to, "grant_remove", &json!({"id": remove.id})).await,
        Command::List(list) => shown(to, list).await,
    }
}

impl Add {
    fn arguments(&self) -> serde_json::Value {
        let mut wish = Map::new();
        wish.insert("who".into(), self.who.as_str().into());
        wish.insert("permission".into(), self.permission.as_str().into());
        wish.insert("deny".into(), self.deny.into());
        if let Some(condition) = &self.condition {
            wish.insert("if".into(), condition.as_str().into());
        }
        wish.into()
    }
}

async fn change(
    to: &mut Invocation,
    tool: &str,
    arguments: &serde_json::Value,
) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let done: Kept = mesh.control(tool, arguments).await?;
        if to.printer.is_table() {
            to.printer.table(&table(std::slice::from_ref(&done)))?;
            if let Some(cut @ 1..) = done.connections_cut {
                let said = format!("{cut} connections lost something by it and were cut");
                to.printer.say(said);
            }
        } else {
            to.printer.json(&done)?;
        }
        Ok(Exit::Ok)
    })
    .await
}

async fn shown(to: &mut Invocation, list: List) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let page: Page = mesh.control("grant_list", json!({"who": list.who})).await?;
        to.printer.rows(&page.grants, table)?;
        Ok(Exit::Ok)
    })
    .await
}

fn table(grants: &[Kept]) -> Table {
    let mut table = Table::new(&["WHO", "", "PERMISSION", "IF", "BY", "SINCE", "ID"]);
    for kept in grants {
        let grant = &kept.grant;
        let word = if grant.deny {
            Cell::new("may not", Tone::Bad)
        } else {
            Cell::new("may", Tone::Good)
        };
        table.row([
            grant.who.as_str().into(),
            word,
            grant.permission.as_str().into(),
            grant.condition.clone().unwrap_or_default().into(),
            kept.granted_by.as_str().into(),
            date(kept.granted_at).into(),
            Cell::from(grant.id.to_string()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_listed() {
        let grants = json!([
            {"grant": {"id": "019ab0c2-4a4f-7d6e-9a55-3f1d2c6b7a80", "who": "alice",
             "permission": "call:tools/pay/*", "if": "arguments.amount < 100"},
             "grantedBy": "ops", "grantedAt": 1_700_000_000},
            {"grant": {"id": "019ab0c2-4a4f-7d6e-9a55-3f1d2c6b7a81", "who": "*",
             "permission": "call:tools/git/git_reset", "deny": true},
             "grantedBy": "ops", "grantedAt": 1_700_000_000},
        ]);
        let grants: Vec<Kept> = serde_json::from_value(grants).expect("the shape");
        insta::assert_snapshot!(table(&grants).render(false), @r"
        WHO             PERMISSION                IF                      BY   SINCE                 ID
        alice  may      call:tools/pay/*          arguments.amount < 100  ops  2023-11-14T22:13:20Z  019ab0c2-4a4f-7d6e-9a55-3f1d2c6b7a80
        *      may not  call:tools/git/git_reset                          ops  2023-11-14T22:13:20Z  019ab0c2-4a4f-7d6e-9a55-3f1d2c6b7a81
        ");
    }

    #[test]
    fn what_can_not_be_decided_is_told_before_anybody_is_asked() {
        assert!(condition("arguments.amount < 100").is_ok());
        let said = condition("amount < 100").expect_err("no such name");
        assert!(said.contains("`amount` is no name"), "{said}");
        assert!(permission("call:tools/x/*").is_ok() && permission("call").is_err());
    }
}
