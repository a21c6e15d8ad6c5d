//! The server's standard input: a bounded queue and a task, so that a server that does not read
//! holds up nobody but itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    child::Stdin,
    spawn::{Failure, Tasks},
};

/// The writing end of the queue. Dropping it closes the input once the queue is written.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once it was closed.
    queue: Option<mpsc::Sender<Vec<u8>>>,
    shared: Arc<Shared>,
    /// Bytes that may wait.
    limit: usize,
    /// Lines queued so far.
    queued: u64,
    /// Cancelled when a line was left unread for too long.
    unread: CancellationToken,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    /// Lines of which the first byte may have been written.
    begun: AtomicU64,
}

/// Lines that may wait, whatever their size.
const LINES_MAX: usize = 1024;

/// There is no room for one more line, or the input is closed.
#[derive(Debug)]
pub(super) struct Full;

impl Writer {
    /// Writes to `stdin`, each line within `unread`, until `over`.
    pub(super) fn start(
        stdin: Stdin,
        (limit, unread): (usize, Duration),
        over: CancellationToken,
        tasks: &Tasks,
    ) -> Self {
        let (queue, lines) = mpsc::channel(LINES_MAX);
        let shared = Arc::new(Shared::default());
        let too_long = CancellationToken::new();
        let told = too_long.clone();
        let counts = Arc::clone(&shared);
        tasks.spawn("stdin of a server", Failure::Logged, async move {
            tokio::select! {
                () = over.cancelled() => {}
                fine = write(stdin, lines, &counts, unread) => if !fine {
                    told.cancel();
                },
            }
        });
        Self {
            queue: Some(queue),
            shared,
            limit,
            queued: 0,
            unread: too_long,
        }
    }

    /// Queues a line, without its end. The number says whether it was begun: [`Writer::has_begun`].
    pub(super) fn send(&mut self, mut line: Vec<u8>) -> Result<u64, Full> {
        let queue = self.queue.as_ref().ok_or(Full)?;
        line.push(b'\n');
        let length = line.len();
        // A line that is larger than the limit passes where nothing else waits.
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        if waiting > 0 && waiting + length > self.limit {
            return Err(Full);
        }
        self.shared.waiting.fetch_add(length, Ordering::Relaxed);
        if queue.try_send(line).is_err() {
            self.shared.waiting.fetch_sub(length, Ordering::Relaxed);
            return Err(Full);
        }
        self.queued += 1;
        Ok(self.queued)
    }

    /// Closes the input, once what is queued is written.
    pub(super) fn close(&mut self) {
        self.queue = None;
    }

    /// Whether the server may have read something of a line.
    pub(super) fn has_begun(&self, line: u64) -> bool {
        self.shared.begun.load(Ordering::Relaxed) >= line
    }

    /// Resolves when the server left a line unread for too long.
    pub(super) async fn unread(&self) {
        self.unread.cancelled().await;
    }
}

/// Says whether the server read all: a closed pipe is no fault here, its end is told elsewhere.
async fn write(
    mut stdin: Stdin,
    mut lines: mpsc::Receiver<Vec<u8>>,
    shared: &Shared,
    unread: Duration,
) -> bool {
    while let Some(line) = lines.recv().await {
        shared.begun.fetch_add(1, Ordering::Relaxed);
        match timeout(unread, stdin.write_all(&line)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a server closed its standard input");
                break;
            }
            Err(_) => return false,
        }
        shared.waiting.fetch_sub(line.len(), Ordering::Relaxed);
    }
    true
}
