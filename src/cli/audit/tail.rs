//! `weft audit tail`: decisions, one on each line.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;
use weftbus::{
    audit::{Decision, Page, Record},
    event::From,
    mesh::{Mesh, Written},
};

use crate::cli::{
    events::{moment, rfc3339},
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined, while_read},
    output::{Printer, harmless},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft audit tail
  weft audit tail --since 1h --decision refused
  weft audit tail --server gh --who alice --since 24h -o jsonl
  weft audit tail --corr 019a8b0c-2d4e-7000-8000-000000000003 --since 24h -n 1";

const AFTER: &str = "\
It needs the permission read:mesh/audit. A call that is allowed is written within 200 ms, a refusal
before it is told. Where the time is said that it begins with, what is stored comes first, then what
is new, without a gap. Arguments are never in it: equal arguments of a server's calls have equal
digests.

It ends after -n decisions, with Ctrl-C, or when nobody reads the pipe any more.
Exit status: 0 ended, 3 not permitted, 4 no mesh, 130 Ctrl-C.";

/// Print decisions as they are written
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {
    /// Only what this identity asked for, or what was asked for in its name
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only what this server decided; `weft` is the control plane
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// Only these
    #[arg(long, value_name = "DECISION")]
    decision: Option<Decided>,
    /// Only what is part of this
    #[arg(long, value_name = "ID")]
    corr: Option<String>,
    /// Begin with what was stored so long ago, or at this time: 5m, 24h, 2026-11-22T09:30:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// End after so many decisions
    #[arg(short = 'n', value_name = "N")]
    count: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Decided {
    Allowed,
    Refused,
    Done,
    Failed,
}

/// A decision, and where it stands.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Line {
    /// The decision.
    #[serde(flatten)]
    record: Record,
    /// Who decided: a server, `weft` or a gateway.
    server: String,
    /// Which of its instances.
    instance: String,
    /// When, RFC 3339.
    time: String,
    /// The message that it stands in: `WEFT_AUDIT:17`.
    message: String,
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
        let from = match &self.since {
            Some(since) => From::Time(moment("--since", since)?),
            None => From::Now,
        };
        let mut trail = mesh.audit(from, false).await?;
        let mut left = self.count.unwrap_or(u64::MAX);
        while let Some(written) = trail.next().await? {
            let Ok(page) = serde_json::from_slice::<Page>(&written.body) else {
                let place = written.place;
                to.warn(format!(
                    "WEFT_AUDIT:{place} is passed over: it is no message of a writer"
                ));
                continue;
            };
            for record in page
                .records
                .iter()
                .filter(|record| self.wants(&page, record))
            {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                Line::of(&written, &page, record).show(to)?;
            }
            if left == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    fn wants(&self, page: &Page, record: &Record) -> bool {
        let is = |wanted: &Option<String>, said: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == said
        };
        let decided = self.decision.is_none_or(|wanted| {
            record.decision
                == match wanted {
                    Decided::Allowed => Decision::Allowed,
                    Decided::Refused => Decision::Refused,
                    Decided::Done => Decision::Done,
                    Decided::Failed => Decision::Failed,
                }
        });
        let acted = record
            .actors
            .iter()
            .any(|actor| Some(actor) == self.who.as_ref());
        decided
            && (acted || is(&self.who, record.who.as_deref()))
            && is(&self.server, Some(&page.server))
            && is(&self.corr, record.correlation_id.as_deref())
    }
}

impl Line {
    fn of(written: &Written, page: &Page, record: &Record) -> Self {
        Self {
            record: record.clone(),
            server: page.server.clone(),
            instance: page.instance.clone(),
            time: rfc3339(record.at),
            message: format!("WEFT_AUDIT:{}", written.place),
        }
    }

    fn show(&self, to: &mut Printer) -> Result<(), Failure> {
        if !to.is_table() {
            let text = serde_json::to_string(self).expect("texts and numbers are JSON");
            return to.raw(format!("{text}\n").as_bytes());
        }
        let record = &self.record;
        let decision = match record.decision {
            Decision::Allowed => "allowed",
            Decision::Refused => "refused",
            Decision::Done => "done",
            Decision::Failed => "failed",
        };
        let mut who = record.who.clone().unwrap_or_else(|| "?".to_owned());
        for actor in &record.actors {
            who = format!("{who} by {actor}");
        }
        let mut text = format!(
            "{}  {:<8}  {decision:<7}  {who}  {}",
            self.time, self.server, record.what
        );
        let mut say = |part: String| {
            text.push_str("  ");
            text.push_str(&part);
        };
        if record.times > 1 {
            say(format!("{} times", record.times));
        }
        if let Some(case) = &record.case {
            say(case.clone());
        }
        if !record.about.is_empty() {
            say(serde_json::Value::Object(record.about.clone()).to_string());
        }
        if let Some(why) = &record.why {
            say(why.clone());
        }
        to.raw(format!("{}\n", harmless(&text)).as_bytes())
    }
}
