//! The server's standard error: to the log, line by line, within bounds.

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::watch,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::{
    adapter::plain::plain,
    child::Stderr,
    name::ServerName,
    spawn::{Failure, Tasks},
};

/// Bytes of one line in the log; the rest of a longer one is left out.
const LINE_MAX: usize = 8 * 1024;

/// What the log knows of a server's standard error.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The last line that was not blank.
    pub(super) last: String,
    /// Lines that were not logged.
    pub(super) dropped: u64,
}

/// Logs until the end of the pipe, or until `over`. The channel closes with it.
pub(super) fn follow(
    stderr: Stderr,
    server: ServerName,
    lines_a_second: u32,
    (over, tasks): (CancellationToken, &Tasks),
) -> watch::Receiver<Said> {
    let (told, said) = watch::channel(Said::default());
    let log = Log {
        server,
        limit: lines_a_second,
        since: Instant::now(),
        logged: 0,
        left_out: 0,
        told,
    };
    tasks.spawn("stderr of a server", Failure::Logged, async move {
        tokio::select! {
            () = over.cancelled() => {}
            () = read(BufReader::new(stderr), log) => {}
        }
    });
    said
}

async fn read(mut from: BufReader<Stderr>, mut log: Log) {
    let mut line = Vec::new();
    loop {
        let held = match from.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(held) => held,
        };
        let end = memchr::memchr(b'\n', held);
        let part = &held[..end.unwrap_or(held.len())];
        let room = LINE_MAX - line.len();
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            log.line(&line);
            line.clear();
        }
    }
    // The last words of a program often have no end.
    log.line(&line);
    log.tell_left_out();
}

struct Log {
    server: ServerName,
    limit: u32,
    since: Instant,
    logged: u32,
    left_out: u64,
    told: watch::Sender<Said>,
}

impl Log {
    fn line(&mut self, line: &[u8]) {
        let text = plain(line);
        if text.is_empty() {
            return;
        }
        if self.since.elapsed() >= Duration::from_secs(1) {
            self.tell_left_out();
            self.since = Instant::now();
            self.logged = 0;
        }
        let fits = self.logged < self.limit;
        if fits {
            self.logged += 1;
            tracing::info!(target: "server", server = %self.server, "{text}");
        } else {
            self.left_out += 1;
        }
        self.told.send_modify(|said| {
            said.last = text;
            said.dropped += u64::from(!fits);
        });
    }

    fn tell_left_out(&mut self) {
        let count = std::mem::take(&mut self.left_out);
        if count > 0 {
            tracing::warn!(target: "server", server = %self.server, count, "lines were not logged: too many a second");
        }
    }
}
