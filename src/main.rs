//! The binary `weft`.

mod cli;

use std::{ffi::OsStr, io, process::ExitCode};

use weftbus::child::watchdog;

/// A call through the gateway makes about 170 small allocations, and costs a tenth less with it.
/// Large ones are given back at once, as with the system's own allocator.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything else: it must not depend on a configuration, a runtime or a log.
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(watchdog::COMMAND)) {
        return watchdog::run(io::stdin().lock(), io::stdout());
    }
    cli::main(std::env::args_os())
}
