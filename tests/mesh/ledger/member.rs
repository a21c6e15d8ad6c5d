//! A member of the mesh in a process of its own, that can be killed: this program run once more.

use std::{
    fs::File,
    io::Read as _,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{
    reader,
    record::{Lines, Record, Try},
    writer,
};
use crate::{
    process::{lives, until},
    stage::PATIENCE,
};

/// The variable with the order.
const ORDER: &str = "WEFT_LEDGER_ORDER";
/// The test that carries it out.
const TEST: &str = "ledger::member::what_a_process_wrote_outlives_its_kill";

/// What a process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    Write(writer::Order),
    Read(reader::Order),
    /// Writes one line into this file, and waits for its end.
    Wait(std::path::PathBuf),
}

/// A process that carries out an order.
#[derive(Debug)]
pub(super) struct Member {
    child: Child,
}

impl Member {
    /// Starts one; what it says to people is added to `log`.
    pub(super) fn start(order: &Order, log: &Path) -> Self {
        let order = serde_json::to_string(order).expect("it is JSON");
        let log = File::options().create(true).append(true).open(log);
        let child = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", TEST, "--nocapture"])
            .env(ORDER, order)
            // It ends when its input does: with whoever started it.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.expect("the folder is ours"))
            .spawn()
            .expect("it runs");
        Self { child }
    }

    /// Whether it has ended, and well.
    pub(super) fn ended(&mut self) -> Option<bool> {
        let ended = self.child.try_wait().expect("ours");
        ended.map(|status| status.success())
    }

    /// Whether it was ended by `kill -9`.
    pub(super) fn was_killed(&mut self) -> bool {
        let ended = self.child.try_wait().expect("ours");
        ended.is_some_and(|status| status.signal() == Some(9))
    }

    /// `kill -9`. Returns when it is gone.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("ours");
        self.child.wait().expect("ours");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if lives(self.child.id()) {
            self.kill();
        }
    }
}

/// Into its log.
#[expect(clippy::print_stderr, reason = "its log is what it says to people")]
pub(super) fn say(what: &str) {
    eprintln!("{what}");
}

/// A part that is played to its end, or to that of whoever gave it.
async fn play(order: &str) {
    #[expect(clippy::exit, reason = "nobody is left to whom it could matter")]
    let leave = || {
        let mut nothing = Vec::new();
        drop(std::io::stdin().read_to_end(&mut nothing));
        std::process::exit(1);
    };
    // A thread, since a task that waits for input would hold the end of the program up.
    std::thread::spawn(leave);
    match serde_json::from_str(order).expect("an order") {
        Order::Write(order) => writer::write(order).await,
        Order::Read(order) => reader::read(order).await,
        Order::Wait(file) => {
            Record::open(&file).write(&Try { run: 1, at: 1 });
            std::future::pending().await
        }
    }
}

/// It runs itself once more: as the process of this test, and of all others that need one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::disallowed_methods,
    reason = "the two processes of one test tell their parts so"
)]
async fn what_a_process_wrote_outlives_its_kill() {
    if let Ok(order) = std::env::var(ORDER) {
        return play(&order).await;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("record");
    let mut member = Member::start(&Order::Wait(file.clone()), &dir.path().join("log"));
    let mut lines = Lines::new(&file);
    let mut read = Vec::new();
    until(PATIENCE, "it wrote", || {
        read.extend(lines.next::<Try>());
        !read.is_empty()
    })
    .await;
    assert_eq!(member.ended(), None, "it waits");
    member.kill();
    assert_eq!(Lines::new(&file).next::<Try>(), [Try { run: 1, at: 1 }]);
}
