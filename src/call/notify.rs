//! What a server says while it works: a bounded queue past the stack, to whoever asked.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Notifications that wait for a slow reader; one more is dropped and counted.
pub const WAITING_MAX: usize = 64;

/// The sender's end of a call's notifications. It never waits.
#[derive(Clone, Debug)]
pub struct Notify {
    to: mpsc::Sender<Bytes>,
    lost: Arc<AtomicU64>,
}

/// The reader's end.
#[derive(Debug)]
pub struct Notifications {
    from: mpsc::Receiver<Bytes>,
    lost: Arc<AtomicU64>,
}

impl Notify {
    /// A queue of at most [`WAITING_MAX`] notifications.
    #[must_use]
    pub fn channel() -> (Self, Notifications) {
        let (to, from) = mpsc::channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let lost_too = Arc::clone(&lost);
        (
            Self { to, lost },
            Notifications {
                from,
                lost: lost_too,
            },
        )
    }

    /// Hands over one JSON-RPC notification, or drops and counts it.
    pub fn send(&self, notification: Bytes) {
        if self.to.try_send(notification).is_err() {
            self.lost(1);
        }
    }

    /// Counts notifications that were lost on the way.
    pub fn lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }
}

impl Notifications {
    /// The next notification; `None` when there will be none.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.from.recv().await
    }

    /// A notification that is there already.
    pub fn try_next(&mut self) -> Option<Bytes> {
        self.from.try_recv().ok()
    }

    /// How many were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_drops_and_counts() {
        let (notify, mut read) = Notify::channel();
        for n in 0..=WAITING_MAX {
            notify.send(Bytes::from(n.to_string()));
        }
        assert_eq!(read.next().await, Some(Bytes::from("0")));
        assert_eq!(read.lost(), 1);
        drop(notify);
        let mut left = 0;
        while read.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, WAITING_MAX - 1);
    }
}
