//! One process of a server, and the three pipes to it.

use tokio::{
    sync::watch,
    time::{Duration, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    options::Options,
    stderr::{self, Said},
    writer::Writer,
};
use crate::{
    child::{Child, Exit, SpawnError, Stdout, Watchdog},
    mcp::framing::Lines,
    name::ServerName,
    spawn::Tasks,
};

/// How long the pipes may take to end after the process did: somebody else may hold them open.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(250);
/// How much of a server's last words stands in an error.
const WORDS_MAX: usize = 300;

/// A running process. Dropping it ends its whole group.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) child: Child,
    pub(super) lines: Lines<Stdout>,
    pub(super) writer: Writer,
    said: watch::Receiver<Said>,
    /// Ends the tasks at the pipes.
    over: DropGuard,
}

impl Link {
    /// Starts a process.
    pub(super) fn start(
        server: &ServerName,
        options: &Options,
        watchdog: &Watchdog,
        tasks: &Tasks,
    ) -> Result<Self, SpawnError> {
        let mut child = Child::spawn(&options.launch.spec(), tasks, watchdog)?;
        let piped = "all three streams are piped by `Launch::spec`";
        let (stdin, stdout, stderr) = (
            child.stdin.take().expect(piped),
            child.stdout.take().expect(piped),
            child.stderr.take().expect(piped),
        );
        let limits = options.limits;
        let over = CancellationToken::new();
        let writer = Writer::start(stdin, (limits.waiting, limits.unread), over.clone(), tasks);
        let log = (over.clone(), tasks);
        Ok(Self {
            child,
            lines: Lines::new(stdout, limits.line),
            writer,
            said: stderr::follow(stderr, server.clone(), limits.log_lines, log),
            over: over.drop_guard(),
        })
    }

    /// Lines of its standard error that were not logged.
    pub(super) fn unlogged(&self) -> u64 {
        self.said.borrow().dropped
    }

    /// What it said last on its standard error, for an error message; empty where it said nothing.
    pub(super) async fn last_words(&mut self) -> String {
        // Closed when the pipe ended, so that the very last line is there.
        let ended = async { while self.said.changed().await.is_ok() {} };
        if timeout(LAST_WORDS, ended).await.is_err() {
            tracing::trace!("the standard error of a server outlives it");
        }
        let last: String = self.said.borrow().last.chars().take(WORDS_MAX).collect();
        if last.is_empty() {
            String::new()
        } else {
            format!("; its last words: {last}")
        }
    }

    /// Ends the process and its group in the steps of the options.
    pub(super) async fn stop(mut self, options: &Options) -> Exit {
        self.writer.close();
        self.child.stop(options.escalation).await
    }

    /// The process, its output and its input apart: to read the one while the other ends.
    pub(super) fn take_apart(self) -> (Child, Lines<Stdout>, Writer, DropGuard) {
        (self.child, self.lines, self.writer, self.over)
    }
}
