//! What the tests ask of the system: whether a process lives, and conditions awaited, not slept for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};
use weftbus::{child::Watchdog, spawn::Tasks};

/// Whether a process runs. One that ended and waits to be reaped does not.
pub(crate) fn lives(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // `pid (name) state …`, and the name may hold anything.
        Ok(stat) => !stat
            .rsplit(") ")
            .next()
            .expect("a split has a part")
            .starts_with('Z'),
        Err(_) if Path::new("/proc/self/stat").exists() => false,
        Err(_) => {
            let state = Command::new("ps")
                .args(["-o", "stat=", "-p", &pid.to_string()])
                .output()
                .expect("ps runs");
            let state = String::from_utf8_lossy(&state.stdout);
            !state.trim().is_empty() && !state.trim().starts_with('Z')
        }
    }
}

/// Waits for a condition. Panics with `what` when it does not come true in time.
pub(crate) async fn until(within: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Reads the process ids that a shell wrote into a file, one a line, when all `count` are there.
pub(crate) async fn pids(file: &Path, count: usize) -> Vec<u32> {
    let read = || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let whole = text.ends_with('\n');
        let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (whole && pids.len() == count).then_some(pids)
    };
    until(Duration::from_secs(10), "the shell wrote its ids", || {
        read().is_some()
    })
    .await;
    read().expect("they were there")
}

/// The binary under test, which is also its own watchdog.
pub(crate) fn weft() -> PathBuf {
    env!("CARGO_BIN_EXE_weft").into()
}

pub(crate) async fn watchdog(tasks: &Tasks) -> Watchdog {
    Watchdog::start(Some(&weft()), tasks)
        .await
        .expect("weft is its own watchdog")
}

pub(crate) fn kill_9(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), Signal::KILL).expect("it lives");
}
