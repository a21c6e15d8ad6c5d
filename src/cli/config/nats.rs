//! `weft config nats`: what a NATS server needs, to carry this mesh.

use schemars::JsonSchema;
use serde::Serialize;
use weftbus::app::context;

use crate::cli::{exit::Exit, failure::Failure, invocation::Invocation};

const EXAMPLES: &str = "\
EXAMPLES
  weft config nats > mesh.inc
  weft config nats --data /srv/mesh
  weft config nats --env > nats.env";

/// The accounts, as the managed broker has them.
const ACCOUNTS: &str = include_str!("../../../nats/mesh.inc");

/// Print what to ask of whoever runs a NATS server, to carry this mesh
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
pub(super) struct Args {
    /// Only the five public keys, as NAME=VALUE lines: for the files in `nats/`
    #[arg(long)]
    env: bool,
}

/// A public key of the mesh. No secret.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Key {
    /// The variable of the configuration files in `nats/`.
    name: &'static str,
    /// The key.
    value: String,
}

pub(super) fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let data = context::folder(&to.env, &to.flags());
    let keys = context::broker_keys(&data)?.map(|(name, value)| Key { name, value });
    if !to.printer.is_table() {
        to.printer.json(&keys)?;
    } else if args.env {
        let lines: Vec<String> = keys
            .iter()
            .map(|Key { name, value }| format!("{name}={value}"))
            .collect();
        to.printer.raw(lines.join("\n").as_bytes())?;
    } else {
        to.printer.raw(snippet(&keys).as_bytes())?;
        to.printer.say(format!(
            "for whoever runs the server: include this from its configuration, with JetStream on; \
             then `weft up --data {} --nats URL`. All keys in it are public",
            data.display()
        ));
    }
    Ok(Exit::Ok)
}

/// The accounts with the keys in their places.
fn snippet(keys: &[Key]) -> String {
    let text = ACCOUNTS
        .lines()
        // What is said there of variables is not so here.
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n");
    let head = "# What this mesh needs of a NATS server: four accounts, and who answers the auth callout.\n\
                # All keys are public ones. max_file must fit into max_file_store of every server.";
    let filled = keys.iter().fold(text, |text, key| {
        text.replace(&format!("${}", key.name), &key.value)
    });
    format!("{head}\n{filled}\n")
}

#[cfg(test)]
mod tests {
    use weftbus::config::{Env, env::WEFT_DATA};

    use super::*;
    use crate::cli::output::{Format, tests::printer};

    fn printed(env: bool, data: &std::path::Path) -> String {
        let (printer, out, _) = printer(Format::Table, false);
        let data = data.to_str().expect("UTF-8");
        let variables: Env = [(WEFT_DATA, data)].into_iter().collect();
        let mut to = Invocation::new(printer, variables, Default::default());
        run(&Args { env }, &mut to).expect("printed");
        out.text()
    }

    #[test]
    fn the_keys_stand_in_their_places() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("new");
        let lines = printed(true, &data);
        assert_eq!(lines.lines().count(), 5, "{lines}");
        let snippet = printed(false, &data);
        assert!(!snippet.contains("$NATS_"), "{snippet}");
        for line in lines.lines() {
            let (name, value) = line.split_once('=').expect("NAME=VALUE");
            assert!(
                name.starts_with("NATS_") && snippet.contains(value),
                "{line}"
            );
        }
    }
}
