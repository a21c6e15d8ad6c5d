//! `weft token issue`: a new token, on standard output alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weftbus::{call::permission::Permission, config::Period, name::Identity};

use super::About;
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft token issue alice --allow 'call:tools/search-aggregator/*' > alice.token
  weft token issue bob --allow 'call:tools/*' --allow 'list:tools/*' --ttl 8h
  weft token issue git --allow 'serve:tools/git/*'      a sidecar that joins as the server `git`
  weft token issue agent --allow 'call:tools/*' --renewable      a program that runs for long
  weft token issue ops --allow '*' --role operator -o json";

const AFTER: &str = "\
A permission is ACTION:TARGET, both with patterns: `*`, `prefix*`, exact; `*` alone is everything.
Actions: call list read write subscribe publish replay serve admin.
Targets: tools/SERVER/TOOL prompts/SERVER/NAME resources/SERVER/URI events/SOURCE/TYPE
pipelines/NAME mesh/tokens mesh/grants mesh/dlq mesh/audit mesh/config mesh/metrics.
Quote them: a shell would expand the `*`.

A member that runs for long renews its token itself, in the file that WEFT_TOKEN_FILE names or in
memory, once four fifths of its time are over. Revoking one of them revokes all.

The token goes to standard output, all else to standard error. It is kept nowhere: who loses it
needs a new one.";

/// Make a token, and print it: this is the only time that it is shown
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {
    /// Whose it is: 1 to 63 of A-Z a-z 0-9 _ -
    #[arg(value_name = "NAME")]
    name: Identity,
    /// What it permits, as often as needed
    #[arg(long, value_name = "PERMISSION", required = true, value_parser = permission)]
    allow: Vec<String>,
    /// What he is to the broker; where nothing is said, it follows from the permissions
    #[arg(long, value_parser = ["caller", "server", "gateway", "operator"])]
    role: Option<String>,
    /// Its holder may have it renewed before it ends [default: servers and gateways may]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    renewable: Option<bool>,
    /// How long it holds: 30m, 24h, 7d [default: 24h]
    #[arg(long, value_name = "TIME")]
    ttl: Option<Period>,
}

/// A token that was issued.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Issued {
    /// The token. A secret.
    token: String,
    /// What is known of it.
    about: About,
}

fn permission(text: &str) -> Result<String, String> {
    Permission::parse(text)
        .map(|permission| permission.to_string())
        .map_err(|error| error.to_string())
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let arguments = args.arguments()?;
    joined(to, async |mesh, to| {
        let issued: Issued = mesh.control("token_issue", arguments).await?;
        if !to.printer.is_table() {
            to.printer.json(&issued)?;
            return Ok(Exit::Ok);
        }
        let about = &issued.about;
        to.printer.say(format!(
            "token {} of {} ({}), until {}",
            about.jti,
            about.sub,
            about.role,
            about.until()
        ));
        to.printer.text(&issued.token)?;
        Ok(Exit::Ok)
    })
    .await
}

impl Args {
    fn arguments(&self) -> Result<Value, Failure> {
        let mut arguments = Map::new();
        arguments.insert("name".into(), self.name.as_str().into());
        arguments.insert("permissions".into(), self.allow.clone().into());
        if let Some(role) = &self.role {
            arguments.insert("role".into(), role.as_str().into());
        }
        if let Some(renewable) = self.renewable {
            arguments.insert("renewable".into(), renewable.into());
        }
        if let Some(ttl) = self.ttl {
            let seconds = ttl.as_millis() / 1000;
            if seconds == 0 {
                return Err(Failure::usage(format!("--ttl {ttl}: at least 1s")));
            }
            arguments.insert("ttlSeconds".into(), seconds.into());
        }
        Ok(Value::Object(arguments))
    }
}
