//! Dead letters by their numbers, or all of a subscriber: delivered once more, or dropped.

use serde_json::json;
use weftbus::{
    event::{LETTERS_MAX, LettersDone},
    mesh::Mesh,
};

use super::Of;
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
};

/// Letters that `--all` takes at most, in one run.
const ALL_MAX: usize = 100_000;

#[derive(clap::Args)]
pub(super) struct Named {
    /// Their numbers, as `weft dlq list` has them
    #[arg(
        value_name = "LETTER",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    letters: Vec<u64>,
    /// All there are, of --consumer and --stream where those are given
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    of: Of,
}

impl Named {
    /// Has a tool of the control plane work on each of them.
    pub(super) async fn run(
        &self,
        tool: &str,
        word: &str,
        to: &mut Invocation,
    ) -> Result<Exit, Failure> {
        joined(to, async |mesh, to| {
            let (letters, more) = self.letters(mesh).await?;
            let mut all = LettersDone {
                done: Vec::new(),
                failed: Vec::new(),
            };
            for some in letters.chunks(LETTERS_MAX) {
                let done: LettersDone = mesh.control(tool, json!({"letters": some})).await?;
                all.done.extend(done.done);
                all.failed.extend(done.failed);
            }
            if to.printer.is_table() {
                to.printer.text(&format!("{word}: {}\n", all.done.len()))?;
            } else {
                to.printer.json(&all)?;
            }
            if more {
                to.printer
                    .say(format!("there are more than {ALL_MAX}: run it again"));
            }
            for failed in &all.failed {
                to.printer
                    .warn(format!("{}: {}", failed.letter, failed.why));
            }
            Ok(if all.failed.is_empty() {
                Exit::Ok
            } else {
                Exit::Failed
            })
        })
        .await
    }

    /// Their numbers, and whether there are more.
    async fn letters(&self, mesh: &Mesh) -> Result<(Vec<u64>, bool), Failure> {
        if !self.all {
            return Ok((self.letters.clone(), false));
        }
        let (letters, more) = self.of.read(mesh, ALL_MAX).await?;
        Ok((letters.iter().map(|entry| entry.letter).collect(), more))
    }
}
