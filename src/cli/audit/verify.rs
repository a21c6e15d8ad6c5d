//! `weft audit verify`: whether the trail is whole, writer by writer.

use schemars::JsonSchema;
use serde::Serialize;
use weftbus::{
    audit::{Chain, Ledger},
    event::From,
};

use crate::cli::{
    events::rfc3339,
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::{
        Tone,
        table::{Cell, Table},
    },
};

const EXAMPLES: &str = "\
EXAMPLES
  weft audit verify
  weft audit verify -o json | jq '.writers[] | select(.flaws != [])'";

const AFTER: &str = "\
Each writer (an instance of a server, of a gateway, of the control plane) numbers its messages, and
each has the hash of the one before it: what is missing from the middle, was changed or was added
shows. A writer that ended in order said so in its last message; of one that is `open` nobody can
tell whether it wrote more. It reads as the control plane lets it: the permission is read:mesh/audit.

Exit status: 0 the trail is whole, 1 it is not, 3 not permitted, 4 no mesh.";

/// Read the whole trail, and name what is missing or was changed
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {}

/// What was found.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Verified {
    /// Whether nothing is wrong.
    whole: bool,
    /// Messages in the stream, and of those between its first and its last how many are missing.
    messages: u64,
    missing: u64,
    /// Decisions.
    decisions: u64,
    /// Who wrote them.
    writers: Vec<WriterChecked>,
}

/// What one writer wrote.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WriterChecked {
    /// A server, `weft` or a gateway.
    server: String,
    /// Which of its instances.
    instance: String,
    /// The number of its first message, which is more than 1 where those before it are too old.
    first: u64,
    /// The number of its last message.
    last: u64,
    /// Its decisions.
    decisions: u64,
    /// When the first and the last of them were, RFC 3339.
    from: Option<String>,
    to: Option<String>,
    /// Whether it said that it ended.
    ended: bool,
    /// What is wrong, in words.
    flaws: Vec<String>,
}

pub(super) async fn run(_: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let mut trail = mesh.audit(From::Start, true).await?;
        let opened = trail.opened().clone();
        let mut ledger = Ledger::beginning(opened.first);
        let mut messages = 0;
        while let Some(written) = trail.next().await? {
            messages += 1;
            ledger.read(written.place, &written.subject, &written.body);
        }
        let writers: Vec<_> = ledger.chains().map(WriterChecked::of).collect();
        let between = (opened.last + 1).saturating_sub(opened.first.max(1));
        let missing = between.saturating_sub(opened.events);
        let flawed = writers.iter().any(|writer| !writer.flaws.is_empty());
        let verified = Verified {
            whole: missing == 0 && !flawed,
            messages,
            missing,
            decisions: writers.iter().map(|writer| writer.decisions).sum(),
            writers,
        };
        show(&verified, to)?;
        Ok(if verified.whole {
            Exit::Ok
        } else {
            Exit::Failed
        })
    })
    .await
}

fn show(verified: &Verified, to: &mut Invocation) -> Result<(), Failure> {
    if !to.printer.is_table() {
        return to.printer.json(verified);
    }
    to.printer.table(&table(&verified.writers))?;
    let Verified {
        messages,
        missing,
        decisions,
        ..
    } = verified;
    let writers = verified.writers.len();
    let counted = format!("{decisions} decisions of {writers} writers in {messages} messages");
    if verified.whole {
        to.printer.say(format!("{counted}: the trail is whole"));
    } else {
        let lacks = match missing {
            0 => String::new(),
            missing => format!("; the stream lacks {missing} messages"),
        };
        to.printer
            .warn(format!("{counted}: the trail is not whole{lacks}"));
    }
    Ok(())
}

fn table(writers: &[WriterChecked]) -> Table {
    let mut table = Table::new(&[
        "WRITER",
        "MESSAGES",
        "DECISIONS",
        "FROM",
        "TO",
        "STATE",
        "FLAWS",
    ]);
    for writer in writers {
        let at = |time: &Option<String>| Cell::from(time.clone().unwrap_or_default());
        let flaws = match writer.flaws.as_slice() {
            [] => Cell::new("none", Tone::Good),
            flaws => Cell::new(flaws.join("; "), Tone::Bad),
        };
        table.row([
            Cell::from(format!("{}/{}", writer.server, writer.instance)),
            format!("{} to {}", writer.first, writer.last).into(),
            writer.decisions.to_string().into(),
            at(&writer.from),
            at(&writer.to),
            if writer.ended { "ended" } else { "open" }.into(),
            flaws,
        ]);
    }
    table
}

impl WriterChecked {
    fn of((server, instance, chain): (&str, &str, &Chain)) -> Self {
        Self {
            server: server.to_owned(),
            instance: instance.to_owned(),
            first: chain.first,
            last: chain.last,
            decisions: chain.records,
            from: chain.span.map(|(from, _)| rfc3339(from)),
            to: chain.span.map(|(_, to)| rfc3339(to)),
            ended: chain.ended,
            flaws: chain.flaws.iter().map(ToString::to_string).collect(),
        }
    }
}
