//! `weft access check`: who may do what, and which permission decides.

use clap::Subcommand;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weftbus::{call::permission::Permission, name::Identity};

use super::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::{
        Tone, paint,
        table::{Cell, Table},
    },
};

const EXAMPLES: &str = "\
EXAMPLES
  weft access check alice call:tools/search-aggregator/execute_parallel_search
  weft access check git serve:tools/git/git_status -o json";

/// Ask who may do what
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether somebody may do one thing, and which of his permissions decides
    Check(Check),
}

/// Say whether somebody may do one thing, and which of his permissions decides
#[derive(clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_help = "Exit status: 0 permitted, 3 not permitted."
)]
struct Check {
    /// Who: the subject of a token
    #[arg(value_name = "WHO")]
    who: Identity,
    /// What: ACTION:TARGET, without patterns
    #[arg(value_name = "PERMISSION", value_parser = one_thing)]
    permission: String,
}

/// Whether somebody may do something, and why.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checked {
    /// Who.
    who: String,
    /// What.
    permission: String,
    /// Whether one of his tokens permits it.
    allowed: bool,
    /// What each of his tokens says. Empty where he has none that holds.
    tokens: Vec<Verdict>,
}

/// What one token says.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// The token.
    jti: String,
    /// Whether it permits it.
    allowed: bool,
    /// The permission of the token that permits it, where no grant decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    /// Why, in words: what an adapter decides. A condition on arguments is taken as if it held.
    reason: String,
    /// The subject that it would be published to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Whether the broker lets it pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broker_allows: Option<bool>,
}

fn one_thing(text: &str) -> Result<String, String> {
    Permission::parse(text).map_err(|error| error.to_string())?;
    if text.contains('*') {
        return Err("name one thing: a pattern can't be checked".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) async fn run(args: Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let Command::Check(check) = args.command;
    joined(to, async |mesh, to| {
        let which = json!({"who": check.who, "permission": check.permission});
        let checked: Checked = mesh.control("access_check", which).await?;
        if to.printer.is_table() {
            let colour = to.printer.is_coloured(false);
            to.printer.raw(checked.sentence(colour).as_bytes())?;
            if !checked.tokens.is_empty() {
                to.printer.table(&checked.table())?;
            }
        } else {
            to.printer.json(&checked)?;
        }
        Ok(if checked.allowed {
            Exit::Ok
        } else {
            Exit::Refused
        })
    })
    .await
}

impl Checked {
    fn sentence(&self, colour: bool) -> String {
        let (word, tone) = if self.allowed {
            ("permitted", Tone::Good)
        } else {
            ("not permitted", Tone::Bad)
        };
        let why = if self.tokens.is_empty() {
            ": he has no token that holds"
        } else {
            ""
        };
        let word = paint(word, tone, colour);
        format!("{}: {} is {word}{why}", self.who, self.permission)
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["TOKEN", "PERMITTED", "BY", "BROKER"]);
        for token in &self.tokens {
            let allowed = if token.allowed {
                Cell::new("yes", Tone::Good)
            } else {
                Cell::new("no", Tone::Bad)
            };
            let broker = match token.broker_allows {
                Some(true) => "lets it pass",
                Some(false) => "denies it",
                None => "",
            };
            let by = token.decided_by.as_deref().unwrap_or(&token.reason);
            table.row([
                Cell::from(token.jti.as_str()),
                allowed,
                Cell::from(by),
                Cell::from(broker),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decision_is_told_with_its_reason() {
        let checked: Checked = serde_json::from_value(json!({
            "who": "alice", "permission": "call:tools/time/x", "allowed": true, "tokens": [
                {"jti": "1", "allowed": true, "decidedBy": "call:tools/*", "brokerAllows": true,
                 "reason": "permitted by the token"},
                {"jti": "2", "allowed": false, "reason": "denied by the grant 0197"},
            ],
        }))
        .expect("the shape");
        assert_eq!(
            checked.sentence(false),
            "alice: call:tools/time/x is permitted"
        );
        insta::assert_snapshot!(checked.table().render(false), @r"
        TOKEN  PERMITTED  BY                        BROKER
        1      yes        call:tools/*              lets it pass
        2      no         denied by the grant 0197
        ");
    }

    #[test]
    fn a_pattern_is_not_one_thing() {
        assert!(one_thing("call:tools/a/*").is_err());
        assert!(one_thing("call").is_err());
        assert!(one_thing("call:tools/a/b").is_ok());
    }
}
