//! `weft events tail`: what was published, and what is being published.

use weftbus::mesh::{Mesh, Told};

use super::{
    line::{Line, words},
    pick::Pick,
};
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined, while_read},
    output::Printer,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft events tail
  weft events tail --type 'task.*' --since 5m
  weft events tail --type research.completed --after WEFT_RESEARCH:1234 -n 10
  weft events tail --corr report-7 --since 24h -o jsonl | jq .data";

const AFTER: &str = "\
Types are patterns: task.created, 'task.*', 'task.cre*'; quote them, a shell would expand the `*`.
History comes in the order in which it was stored, then what is new as it comes, without a gap
between the two, and over a broker that is started again. With `-o jsonl` each line is an event and
its place; `weft schema output/events-tail` says how. What is gone, and what can't be read, is said
on standard error.

It ends after -n events, with Ctrl-C, or when nobody reads the pipe any more that it writes to, also
while nothing comes.
Exit status: 0 ended, 3 not permitted, 4 no mesh, 130 Ctrl-C.";

/// Print events as they are published, with those before them where asked for
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pick: Pick,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let gone = to.printer.reader_gone();
        while_read(gone, args.follow(mesh, &mut to.printer)).await?;
        Ok(Exit::Ok)
    })
    .await
}

impl Args {
    async fn follow(&self, mesh: &Mesh, to: &mut Printer) -> Result<(), Failure> {
        let (begin, mut picker) = self.pick.read()?;
        let mut tail = mesh.events().tail(self.pick.wish(), &begin).await?;
        while !picker.is_done() {
            match tail.next().await? {
                Told::Event(stored) if picker.wants(&stored) => Line::from(*stored).show(to)?,
                Told::Event(_) if tail.is_live() => picker.at_the_end()?,
                Told::Event(_) => {}
                other => to.warn(words(&other)),
            }
        }
        Ok(())
    }
}
