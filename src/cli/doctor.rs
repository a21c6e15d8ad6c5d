//! `weft doctor`: what is wrong on this machine, and what to do about it.

mod broker;
mod check;
mod folder;
mod member;

use super::{
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    output::table::{Cell, Table},
};
pub(crate) use check::{Check, Outcome};

const EXAMPLES: &str = "\
EXAMPLES
  weft doctor
  weft doctor --nats nats://broker.example:4222
  weft doctor -c weft.yaml -o json";

/// Look for what is wrong on this machine, and say what to do
#[derive(clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_help = "Exit status: 0 nothing is wrong, 7 something is."
)]
pub(super) struct Args {
    #[command(flatten)]
    files: super::config::Files,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let mut checks = Vec::new();
    let loaded = match weftbus::config::load(&args.files.sources(to)) {
        Ok(loaded) => {
            checks.push(member::configuration(&loaded));
            Some(loaded)
        }
        Err(problems) => {
            let first = problems.list().first();
            let said = first.map_or_else(String::new, weftbus::config::Problem::summary);
            let check = Check::of("configuration", said);
            checks.push(check.failed("`weft config check` shows all that is wrong in it"));
            None
        }
    };
    let data = weftbus::app::context::folder(&to.env, &to.flags());
    checks.push(broker::program(loaded.as_ref(), &data, to).await);
    checks.extend(folder::all(&data));
    checks.extend(broker::reached(to).await);
    if let Some(loaded) = &loaded {
        checks.extend(
            loaded
                .members
                .iter()
                .map(|one| member::command(one, &to.env)),
        );
    }
    to.printer.rows(&checks, table)?;
    let failing = checks
        .iter()
        .filter(|check| check.outcome == Outcome::Fail)
        .count();
    if failing == 0 {
        to.printer.say("nothing is wrong");
        return Ok(Exit::Ok);
    }
    to.printer
        .say(format!("wrong: {failing} of {}", checks.len()));
    Ok(Exit::Degraded)
}

fn table(checks: &[Check]) -> Table {
    let mut table = Table::new(&["", "WHAT", "HOW IT IS"]);
    for check in checks {
        table.row([
            check.outcome.cell(),
            Cell::from(check.name.as_str()),
            Cell::from(check.detail.as_str()),
        ]);
        if let Some(fix) = &check.fix {
            table.row(["", "", &format!("-> {fix}")]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_says_what_to_do() {
        let checks = [
            Check::of("nats-server", "2.15.1").ok(),
            Check::of("mesh", "none runs").noted("`weft up` starts one"),
            Check::of("server docs", "no such command: `uvxx`").failed("install it"),
        ];
        insta::assert_snapshot!(table(&checks).render(false), @r"
              WHAT         HOW IT IS
        ok    nats-server  2.15.1
        note  mesh         none runs
                           -> `weft up` starts one
        FAIL  server docs  no such command: `uvxx`
                           -> install it
        ");
    }
}
