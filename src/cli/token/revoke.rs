//! `weft token revoke`: tokens are taken back, one or all of a subject.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weftbus::name::Identity;

use super::{About, table};
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft token revoke 0197b6d4-5f2a-7c11-9d3e-2f6a1b0c4d5e
  weft token revoke --subject alice";

/// Take tokens back: within a second nobody takes them any more
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
#[group(required = true, multiple = false)]
pub(super) struct Args {
    /// The id of one token, as `weft token list` shows it
    #[arg(value_name = "JTI")]
    jti: Option<String>,
    /// All tokens of this subject
    #[arg(long, value_name = "NAME")]
    subject: Option<Identity>,
}

/// What was revoked.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Revoked {
    /// The tokens.
    tokens: Vec<About>,
    /// How many connections were cut; none where the broker could not be asked.
    connections_cut: Option<u64>,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let which = match (&args.jti, &args.subject) {
        (Some(jti), _) => json!({"jti": jti}),
        (None, Some(subject)) => json!({"name": subject}),
        (None, None) => return Err(Failure::usage("which token? give JTI or --subject NAME")),
    };
    joined(to, async |mesh, to| {
        let revoked: Revoked = mesh.control("token_revoke", which).await?;
        if !to.printer.is_table() {
            to.printer.json(&revoked)?;
            return Ok(Exit::Ok);
        }
        to.printer.table(&table(&revoked.tokens))?;
        to.printer.say(match revoked.connections_cut {
            Some(count) => format!("connections cut: {count}"),
            None => "connections are not cut on this broker; their calls are refused".to_owned(),
        });
        Ok(Exit::Ok)
    })
    .await
}
