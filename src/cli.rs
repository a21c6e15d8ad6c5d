//! The command line: reads it, does what it says, tells how it went.
//!
//! Every command is a file: its arguments, its examples, what it prints. All of them print
//! through one [`output::Printer`] and fail through one [`failure::Failure`].

mod access;
mod adapter;
mod approve;
mod args;
mod audit;
mod bench;
mod call;
mod completions;
mod config;
mod conformance;
mod connect;
mod control;
mod describe;
mod dlq;
mod doctor;
mod down;
mod events;
mod exit;
mod failure;
mod gateway;
mod grant;
mod health;
mod invocation;
mod keys;
mod mcp;
mod output;
mod resources;
mod schema;
mod servers;
mod time;
mod token;
mod tools;
mod up;
mod version;

use std::{ffi::OsString, num::NonZero, process::ExitCode, time::Duration};

use clap::{Parser as _, error::ErrorKind};
use weftbus::{config::Env, config::env::WEFT_LOG, telemetry::log};

use self::{
    args::{Cli, Command, Globals},
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    output::{Format, Printer},
};

/// How long what is left of a command may take when it is done.
const LEFT_MAX: Duration = Duration::from_millis(100);

/// What `main` does once it knows that it is not the watchdog.
pub(crate) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let env = Env::process();
    match Cli::try_parse_from(&args) {
        Ok(cli) => run(cli, env).into(),
        Err(error) => misread(&error, &args, &env).into(),
    }
}

fn run(cli: Cli, env: Env) -> Exit {
    let Globals { output, quiet, .. } = cli.globals;
    let printer = Printer::process(output, quiet, &env);
    let mut globals = cli.globals;
    if matches!(&cli.command, Command::Events(args) if args.takes_data()) {
        globals.data = None;
    }
    let mut invocation = Invocation::new(printer, env, globals);
    let done = start_log(&invocation, &cli.command)
        .and_then(|()| runtime())
        .and_then(|runtime| {
            let done = runtime.block_on(dispatch(cli.command, &mut invocation));
            // A thread that reads standard input can't be told to stop.
            runtime.shutdown_timeout(LEFT_MAX);
            done
        });
    match done {
        Ok(exit) => exit,
        Err(failure) => {
            if let Failure::Told(told) = &failure {
                invocation.printer.fail(told);
            }
            failure.exit()
        }
    }
}

async fn dispatch(command: Command, to: &mut Invocation) -> Result<Exit, Failure> {
    match command {
        Command::Up(args) => up::run(&args, to).await,
        Command::Adapter(args) => adapter::run(&args, to).await,
        Command::Control(args) => control::run(&args, to).await,
        Command::Gateway(args) => gateway::run(&args, to).await,
        Command::Mcp(args) => mcp::run(&args, to).await,
        Command::Call(args) => call::run(&args, to).await,
        Command::Servers(args) => servers::run(&args, to).await,
        Command::Tools(args) => tools::run(&args, to).await,
        Command::Describe(args) => describe::run(&args, to).await,
        Command::Events(args) => events::run(&args, to).await,
        Command::Dlq(args) => dlq::run(&args, to).await,
        Command::Resources(args) => resources::run(&args, to).await,
        Command::Token(args) => token::run(args, to).await,
        Command::Approve(args) => approve::run(args, to).await,
        Command::Grant(args) => grant::run(args, to).await,
        Command::Keys(args) => keys::run(&args, to),
        Command::Audit(args) => audit::run(&args, to).await,
        Command::Access(args) => access::run(args, to).await,
        Command::Conformance(args) => conformance::run(&args, to).await,
        Command::Connect(args) => connect::run(&args, to),
        Command::Health(args) => health::run(&args, to).await,
        Command::Doctor(args) => doctor::run(&args, to).await,
        Command::Config(args) => config::run(&args, to),
        Command::Schema(args) => schema::run(&args, to),
        Command::Down(args) => down::run(&args, to).await,
        Command::Bench(args) => bench::run(&args, to).await,
        Command::Completions(args) => completions::run(&args, to),
        Command::Version(args) => version::run(&args, to),
    }
}

/// A command line that says nothing that can be done: help that was asked for, or a mistake.
fn misread(error: &clap::Error, args: &[OsString], env: &Env) -> Exit {
    let mut printer = Printer::process(asked_format(args), false, env);
    let text = |coloured: bool| {
        let text = error.render();
        if coloured {
            text.ansi().to_string()
        } else {
            text.to_string()
        }
    };
    let told = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = text(printer.is_coloured(false));
            printer.raw(text.as_bytes()).map(|()| Exit::Ok)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            printer.say(text(printer.is_coloured(true)).trim_end());
            return Exit::Usage;
        }
        _ if printer.is_table() => {
            printer.say(text(printer.is_coloured(true)).trim_end());
            return Exit::Usage;
        }
        _ => {
            let text = text(false);
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            // Usage and a pointer to the help follow: neither is an error.
            let what = text.split("\n\nUsage:").next().unwrap_or(text);
            Err(Failure::usage(what.trim_end()))
        }
    };
    told.unwrap_or_else(|failure| {
        if let Failure::Told(told) = &failure {
            printer.fail(told);
        }
        failure.exit()
    })
}

/// The format that a command line asks for that could not be read: its error keeps to it.
fn asked_format(args: &[OsString]) -> Format {
    let mut words = args.iter().filter_map(|word| word.to_str());
    let mut format = Format::Table;
    while let Some(word) = words.next() {
        let value = match word {
            "--" => break,
            "-o" | "--output" => words.next(),
            _ => word
                .strip_prefix("--output=")
                .or_else(|| word.strip_prefix("-o="))
                .or_else(|| word.strip_prefix("-o").filter(|_| !word.starts_with("--"))),
        };
        match value {
            Some("json") => format = Format::Json,
            Some("jsonl") => format = Format::Jsonl,
            Some("table") => format = Format::Table,
            _ => {}
        }
    }
    format
}

/// Commands that only ask are silent about the bus, unless somebody wants to hear of it.
fn start_log(to: &Invocation, command: &Command) -> Result<(), Failure> {
    let usual = match command {
        // At a terminal the banner is what is read; elsewhere the log is all that is kept.
        Command::Up(_) if to.printer.is_lively() => "warn",
        Command::Up(_) | Command::Adapter(_) | Command::Control(_) | Command::Gateway(_) => {
            "warn,weftbus=info,server=info,nats-server=info"
        }
        // As a mesh runs: with the spans of calls on.
        Command::Bench(_) => log::WITH_SPANS,
        _ => "off",
    };
    let asked = to.globals.log.as_deref().or_else(|| to.env.get(WEFT_LOG));
    let level = asked.unwrap_or(usual).to_owned();
    log::init(&log::Options {
        level,
        style: None,
        server_name: "weft".to_owned(),
    })
    .map_err(Failure::usage)
}

/// Half of the cores: the broker and the servers have their work on the others. Where that is one,
/// everything runs on this thread: what is ready at once is then written at once, and a call through
/// the gateway costs two thirds of what it costs on two threads (`make bench-gateway`).
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    use tokio::runtime::Builder;

    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut builder = match cores / 2 {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder
        .worker_threads((cores / 2).max(1))
        .enable_all()
        .build()
        .map_err(|error| Failure::local(format!("the runtime does not start: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_a_broken_command_line_is_found() {
        let format = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            asked_format(&words)
        };
        for json in [
            "weft -o json x",
            "weft x -ojson",
            "weft --output=json",
            "weft -o=json",
        ] {
            assert_eq!(format(json), Format::Json, "{json}");
        }
        assert_eq!(format("weft x --output jsonl"), Format::Jsonl);
        for table in [
            "weft x",
            "weft x -- -o json",
            "weft -o",
            "weft -o json -o table",
        ] {
            assert_eq!(format(table), Format::Table, "{table}");
        }
    }
}
