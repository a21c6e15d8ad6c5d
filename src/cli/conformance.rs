//! `weft conformance`: whether a member of the mesh keeps to docs/protocol.md.

use weftbus::{
    app::conformance::{self, Check, Plan, Report, Verdict},
    name::ServerName,
};

use super::{
    call::argument,
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, interruptible},
    output::{
        Tone,
        table::{Cell, Table},
    },
};

const EXAMPLES: &str = "\
EXAMPLES
  weft conformance adder
  weft conformance adder --call count --args '{\"to\": 5}'
  weft conformance adder -o json";

const AFTER: &str = "\
The requests are harmless: without --call no tool runs. With it the tool is called three times at
most, to see what comes before its answer and what a cancel does: name one that takes a second or
two and tells its progress.

With an operator's token it also tries what takes another caller (made for the time of the checks)
and `$SRV`. What was not tried says why.

Exit status: 0 every check that was tried passed, 1 one did not, 4 no such server or no mesh.";

/// Try whether a member of the mesh keeps to docs/protocol.md
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {
    /// The member
    #[arg(value_name = "SERVER")]
    server: ServerName,
    /// A tool that may be called
    #[arg(long, value_name = "TOOL")]
    call: Option<String>,
    /// Its arguments as one JSON object, in a file, or from standard input (`-`)
    #[arg(
        long,
        value_name = "JSON|@FILE|-",
        allow_hyphen_values = true,
        requires = "call"
    )]
    args: Option<String>,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let plan = args.plan()?;
    let options = to.reach()?.options()?;
    let checking = async { Ok(Box::pin(conformance::run(options, plan)).await?) };
    let report = interruptible(checking).await?;
    if to.printer.is_table() {
        to.printer.table(&table(&report.checks))?;
    } else {
        to.printer.json(&report)?;
    }
    let Report {
        server,
        passed,
        failed,
        not_applicable,
        ..
    } = &report;
    to.printer.say(format!(
        "{server}: {passed} passed, {failed} failed, {not_applicable} not applicable"
    ));
    Ok(if *failed == 0 { Exit::Ok } else { Exit::Failed })
}

impl Args {
    fn plan(&self) -> Result<Plan, Failure> {
        let arguments = argument::arguments(self.args.as_deref(), &[]).map_err(Failure::usage)?;
        Ok(Plan {
            server: self.server.clone(),
            call: self.call.clone().map(|tool| (tool, arguments)),
        })
    }
}

fn table(checks: &[Check]) -> Table {
    let mut table = Table::new(&["CHECK", "RESULT", "WHAT"]);
    for check in checks {
        table.row([
            Cell::from(format!("{} {}", check.group.as_str(), check.name)),
            cell(check.result),
            Cell::from(check.rule.as_str()),
        ]);
        let Some(why) = &check.why else {
            continue;
        };
        let place = if check.result == Verdict::Fail {
            format!("-> {why} (docs/protocol.md, {})", check.section)
        } else {
            format!("-> {why}")
        };
        table.row(["", "", &place]);
    }
    table
}

fn cell(result: Verdict) -> Cell {
    match result {
        Verdict::Pass => Cell::new("pass", Tone::Good),
        Verdict::Fail => Cell::new("FAIL", Tone::Bad),
        Verdict::NotApplicable => Cell::new("n/a", Tone::Faint),
    }
}

#[cfg(test)]
mod tests {
    use weftbus::app::conformance::rules;

    use super::*;

    fn check(n: usize, result: Verdict, why: Option<&str>) -> Check {
        let rule = rules()[n];
        Check {
            group: rule.group,
            name: rule.name.into(),
            rule: rule.sentence.into(),
            section: rule.section.into(),
            result,
            why: why.map(str::to_owned),
        }
    }

    #[test]
    fn what_fails_says_where_it_is_written() {
        let checks = [
            check(0, Verdict::Pass, None),
            check(3, Verdict::Fail, Some("\"a1\" came back as \"a2\"")),
            check(30, Verdict::NotApplicable, Some("not checked: why")),
        ];
        insta::assert_snapshot!(table(&checks).render(false), @r###"
        CHECK                 RESULT  WHAT
        envelope discover     pass    `server/discover` is answered with a result that names the revisions it speaks
        envelope id-string    FAIL    an id comes back as it was spelt: a string
                                      -> "a1" came back as "a2" (docs/protocol.md, A call)
        auth expired-looking  n/a     an old token signed by nobody is AUTHENTICATION_FAILED (TOKEN_INVALID or TOKEN_EXPIRED)
                                      -> not checked: why
        "###);
    }
}
