//! The server's standard input: a bounded queue and a task, so that a server that does not read
//! holds up nobody but itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
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

/// Lines that are taken at a time.
const AT_ONCE: usize = 64;
/// A line of at most so many bytes is written together with others.
const SMALL_BYTES: usize = 4 * 1024;
/// As long as they have no more bytes than these together: what a pipe takes at once.
const JOINED_BYTES: usize = 32 * 1024;

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
    let mut some = Vec::with_capacity(AT_ONCE);
    let mut joined = Vec::new();
    while lines.recv_many(&mut some, AT_ONCE).await > 0 {
        let mut rest = some.drain(..).peekable();
        while let Some(line) = rest.next() {
            shared.begun.fetch_add(1, Ordering::Relaxed);
            joined.clear();
            // Small lines that wait together are written together.
            while joined.len() + line.len() <= JOINED_BYTES
                && let Some(more) = rest.next_if(|more| more.len() <= SMALL_BYTES)
            {
                if joined.is_empty() {
                    joined.extend_from_slice(&line);
                }
                shared.begun.fetch_add(1, Ordering::Relaxed);
                joined.extend_from_slice(&more);
            }
            let bytes = if joined.is_empty() { &line } else { &joined };
            match written(&mut stdin, bytes, unread).await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "a server closed its standard input");
                    return true;
                }
                None => return false,
            }
            shared.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    }
    true
}

/// Writes all of it; nothing where the server does not read it in time.
async fn written(stdin: &mut Stdin, bytes: &[u8], unread: Duration) -> Option<std::io::Result<()>> {
    let mut writing = std::pin::pin!(stdin.write_all(bytes));
    // Nearly always the pipe takes it at once: then there is nothing to time.
    if let Poll::Ready(done) = futures_util::poll!(writing.as_mut()) {
        return Some(done);
    }
    timeout(unread, writing).await.ok()
}
