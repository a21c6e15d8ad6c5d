//! `weft bench`: the mesh beside bare NATS, in the same run.

use clap::Subcommand;
use weftbus::{
    app::bench::{self, Figures, Plan, Ratio, When},
    config::Period,
};

use super::{
    exit::Exit, failure::Failure, invocation::Invocation, output::table::Table, up::search,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft bench call
  weft bench call --rounds 5 --slice 1s -o json
  weft bench call --audit strict
  weft bench events";

/// Measure the mesh beside bare NATS, in the same run
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Calls: latency one at a time, throughput with 64 at once
    Call(Call),
    /// Events: published and acknowledged, many at once and one alone, and read again
    Events(Events),
}

/// Calls: latency one at a time, throughput with 64 at once
#[derive(clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_help = "The JSON has `ratios`, in the mesh's own account under the same permission lists, and\n`ratiosPlainBroker`, on a broker without accounts. Release builds only."
)]
struct Call {
    /// Rounds; each measures both sides
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// How long each side of a round is measured
    #[arg(long, value_name = "TIME", default_value = "1500ms")]
    slice: Period,
    /// When calls are written to the audit trail: as for any server, before each goes on, or never
    #[arg(long, value_name = "WHEN", default_value = "soon")]
    audit: Audit,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Audit {
    Soon,
    Strict,
    None,
}

impl Audit {
    const fn when(self) -> Option<When> {
        match self {
            Self::Soon => Some(When::Soon),
            Self::Strict => Some(When::First),
            Self::None => None,
        }
    }
}

/// Events: published and acknowledged, many at once and one alone, and read again
#[derive(clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_help = "Beside bare JetStream on the same broker, which writes to the disk before it acknowledges. The JSON\nhas `ratios` {publish, lone, loneByHand, replay}, and what the broker says of its disk. Release builds only."
)]
struct Events {
    /// Rounds; each measures both sides
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=20))]
    rounds: u16,
    /// How long each side of a round is measured
    #[arg(long, value_name = "TIME", default_value = "1s")]
    slice: Period,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    if cfg!(debug_assertions) {
        return Err(Failure::usage(
            "this is a debug build, and its figures would be none: `make bench` builds what is installed",
        ));
    }
    let folder = std::env::temp_dir().join(format!("weft-bench-{}", std::process::id()));
    let search = search(&folder, &to.env);
    let plan = |rounds: u16, slice: Period| Plan {
        rounds: usize::from(rounds),
        slice: slice.duration(),
    };
    let measured = match &args.command {
        Command::Call(call) => {
            let plan = plan(call.rounds, call.slice);
            let how = (plan, call.audit.when());
            let measured = Box::pin(bench::run(how, &search, &folder)).await;
            measured.map(Measured::Calls)
        }
        Command::Events(events) => {
            let plan = plan(events.rounds, events.slice);
            let measured = Box::pin(bench::events::run(
                plan,
                bench::options(&search, &folder, None)?,
            ))
            .await;
            measured.map(|report| Measured::Events(Box::new(report)))
        }
    };
    // The mesh of events has removed it itself.
    if let Err(error) = std::fs::remove_dir_all(&folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        to.printer
            .warn(format!("{} was not removed: {error}", folder.display()));
    }
    match measured? {
        Measured::Calls(report) => calls(&report, to),
        Measured::Events(report) => events(&report, to),
    }
}

/// What was measured.
enum Measured {
    Calls(bench::Report),
    Events(Box<bench::events::Report>),
}

fn events(report: &bench::events::Report, to: &mut Invocation) -> Result<Exit, Failure> {
    if !to.printer.is_table() {
        to.printer.json(report)?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["EVENTS", "WEFT", "BARE", "RATIO"]);
    let rate = |rate: f64| format!("{rate:.0} a second");
    table.row([
        "published, 512 at once".to_owned(),
        rate(report.publish_rate),
        rate(report.bare_publish_rate),
        ratio(&report.ratios.publish),
    ]);
    table.row([
        "published, one alone".to_owned(),
        format!("{:.0} us", report.lone_p50_us),
        format!("{:.0} us", report.bare_lone_p50_us),
        ratio(&report.ratios.lone),
    ]);
    table.row([
        "  beside it by hand".to_owned(),
        String::new(),
        format!("{:.0} us", report.by_hand_lone_p50_us),
        ratio(&report.ratios.lone_by_hand),
    ]);
    table.row([
        "read again".to_owned(),
        rate(report.replay_rate),
        format!("{} ({})", rate(report.bare_replay_rate), report.bare_replay),
        ratio(&report.ratios.replay),
    ]);
    table.row([
        "first event read after".to_owned(),
        format!("{:.0} us", report.first_p50_us),
        format!("{:.0} us", report.bare_first_p50_us),
        String::new(),
    ]);
    to.printer.table(&table)?;
    let durability = if report.durability.always {
        "before it acknowledges".to_owned()
    } else {
        format!("within {} s", report.durability.interval_ns / 1_000_000_000)
    };
    to.printer.say(format!(
        "the broker writes to its disk {durability}; {} events acknowledged, {} stored",
        report.acknowledged + report.by_hand_acknowledged,
        report.stored
    ));
    Ok(Exit::Ok)
}

fn calls(report: &bench::Report, to: &mut Invocation) -> Result<Exit, Failure> {
    if !to.printer.is_table() {
        to.printer.json(report)?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&[
        "BROKER",
        "BODY",
        "LATENCY P50",
        "RATIO",
        "CALLS A SECOND",
        "RATIO",
    ]);
    rows(&mut table, "own", &report.ratios);
    rows(&mut table, "plain", &report.ratios_plain_broker);
    to.printer.table(&table)?;
    Ok(Exit::Ok)
}

fn rows(table: &mut Table, broker: &str, figures: &Figures) {
    for body in &figures.bodies {
        table.row([
            broker.to_owned(),
            format!("{} B", body.bytes),
            format!(
                "{:.0} us, bare {:.0} us",
                body.mesh_p50_us, body.base_p50_us
            ),
            ratio(&body.latency_p50),
            format!("{:.0}, bare {:.0}", body.mesh_rate, body.base_rate),
            ratio(&body.throughput),
        ]);
    }
}

/// The median over all rounds, and how far they lie apart.
fn ratio(ratio: &Ratio) -> String {
    let Ratio { median, min, max } = ratio;
    format!("{median:.2} ({min:.2}-{max:.2})")
}
