//! `weft events replay`: what is stored, told again.

mod consumer;
mod goal;
mod pace;
pub(in crate::cli) mod summary;

use weftbus::mesh::{Mesh, Told};

use self::{consumer::Consumer, goal::Goal, pace::Pace, summary::Summary};
use super::{begin::moment, line::words, pick::Pick};
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::Printer,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft events replay --type 'task.*' --since 24h
  weft events replay --corr report-7 -o jsonl | jq .data
  weft events replay --after WEFT_TASKS:1200 --until 2026-11-22T09:30:00Z --dry-run
  weft events replay --source alice --to-subject weft.v1.dlv.alice.again
  weft events replay --type 'task.*' --since 1h --to billing
  weft events replay --type 'research.*' --since 1h --pace original";

const AFTER: &str = "\
Filters and places are those of `weft events tail`. Without a place it begins with the first event
that the streams still have; it ends with what is the last one when it begins, at --until, or after
-n events. It needs `replay:events/SOURCE/TYPE` for all that is asked for.

Each event is marked: `replayed` in the lines (`weft schema output/events-replay`), and the header
`Weft-Replay: STREAM:NUMBER` on messages. --to-subject publishes the body of each to a subject below
weft.v1.dlv.YOU., or to one that is not Weft's as far as the broker lets you; who listens there gets
it. --to has them delivered to one durable reader alone. --dry-run reads and counts the same events and delivers none.

--pace original waits between two events as long as lay between their storing, a day where it was a
day; Ctrl-C ends it.

What is gone, and what can't be read, is said on standard error; there, or as the data where no
events are printed, it says how many were replayed.
Exit status: 0 all replayed, 3 not permitted, 4 no mesh, 7 some of what was asked for is gone or
can't be read, 130 Ctrl-C.";

/// Print events that are stored once more, or deliver them again
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pick: Pick,
    /// End with what was stored so long ago, or at this time: 5m, 24h, 2026-11-22T09:30:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Publish them to this subject
    #[arg(long, value_name = "SUBJ")]
    to_subject: Option<String>,
    /// Have them delivered to this durable reader alone
    #[arg(long, value_name = "CONSUMER", conflicts_with = "to_subject")]
    to: Option<String>,
    /// How fast
    #[arg(long, value_enum, default_value_t)]
    pace: pace::Kind,
    /// Say how many there are, and deliver none
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        // Who reads lines may have had enough of them; a subject gets all.
        let printed = args.to_subject.is_none() && args.to.is_none();
        let gone = to.printer.reader_gone();
        tokio::select! {
            done = args.replay(mesh, &mut to.printer) => done,
            () = gone, if printed => Err(Failure::Closed),
        }
    })
    .await
}

impl Args {
    async fn replay(&self, mesh: &Mesh, to: &mut Printer) -> Result<Exit, Failure> {
        let until = self.until.as_deref();
        let until = until.map(|text| moment("--until", text)).transpose()?;
        let (begin, mut picker) = self.pick.read()?;
        let mut goal = self.goal(mesh).await?;
        let wish = self.pick.wish();
        let mut replay = mesh.events().replay(wish, &begin, until).await?;
        let mut pace = Pace::new(self.pace, self.dry_run);
        let mut summary = Summary::new(self.dry_run);
        while !picker.is_done() {
            let Some(told) = replay.next().await? else {
                picker.at_the_end()?;
                break;
            };
            match told {
                Told::Event(stored) if picker.wants(&stored) => {
                    pace.wait_for(stored.at).await;
                    goal.deliver(*stored, &mut summary, to).await?;
                }
                Told::Event(_) => {}
                other => {
                    summary.note(&other);
                    to.warn(words(&other));
                }
            }
        }
        let printed = goal.finish(&mut summary).await?;
        summary.show(printed, to)?;
        Ok(summary.exit())
    }

    async fn goal(&self, mesh: &Mesh) -> Result<Goal, Failure> {
        // Whether the subject may be one is known without a word to it.
        let outlet = match &self.to_subject {
            Some(subject) => Some(mesh.events().outlet(subject).await?),
            None => None,
        };
        let at_once = self.pace == pace::Kind::Original;
        let consumer = self.to.as_deref();
        let consumer = consumer.map(|name| Consumer::new(mesh, name, at_once));
        Ok(match (outlet, consumer) {
            _ if self.dry_run => Goal::Nobody,
            (Some(outlet), _) => Goal::Subject(outlet),
            (None, Some(consumer)) => Goal::Consumer(consumer),
            (None, None) => Goal::Lines,
        })
    }
}
