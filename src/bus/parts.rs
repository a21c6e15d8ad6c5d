//! Bodies larger than one message: pieces in order, a window of unacknowledged ones, a digest.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::error::{Error, Kind, case};

/// Bytes of one part.
pub(super) const PART_BYTES: usize = 512 * 1024;
/// Parts under way that the reader has not acknowledged.
pub(super) const WINDOW: u32 = 8;
/// The reader acknowledges after each so many parts.
pub(super) const ACK_EVERY: u32 = WINDOW / 2;
/// Room for headers in a message: what is left of `max_payload` is for the body.
pub(super) const HEADER_ROOM: usize = 4 * 1024;

/// How large a body may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of a body that comes or goes in parts.
    pub body: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { body: 64 << 20 }
    }
}

/// How many parts a body has.
pub(super) fn count(size: usize) -> u32 {
    u32::try_from(size.div_ceil(PART_BYTES)).unwrap_or(u32::MAX)
}

/// Part `n`, from 1. It shares the body's memory.
pub(super) fn part(body: &Bytes, n: u32) -> Bytes {
    let from = (n as usize - 1) * PART_BYTES;
    body.slice(from..body.len().min(from + PART_BYTES))
}

/// The digest that the end of a body names: SHA-256 in lower-case hex. Made part by part: 64 MiB
/// at once would hold up every other call.
#[derive(Clone, Debug, Default)]
pub(super) struct Digest(Sha256);

impl Digest {
    pub(super) fn add(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(super) fn finish(self) -> String {
        HEXLOWER.encode(&self.0.finalize())
    }
}

/// Why parts make no body.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartError {
    #[error("part {got} came where part {expected} was due")]
    Gap { expected: u32, got: u32 },
    #[error("the body has {size} bytes; at most {limit} are taken")]
    Large { size: usize, limit: usize },
    #[error("the parts make {got} bytes, not {size}")]
    Size { size: usize, got: usize },
    #[error("the digest of the body is another than the sender's")]
    Digest,
    #[error("the first part does not say how large the body is")]
    Unannounced,
}

impl From<PartError> for Error {
    /// As the reader of a request says it; nothing had started.
    fn from(error: PartError) -> Self {
        let text = format!("a body in parts did not arrive: {error}");
        match error {
            PartError::Large { limit, .. } => Self::new(Kind::InvalidRequest, text)
                .case(case::REQUEST_TOO_LARGE)
                .with("limitBytes", limit),
            _ => Self::new(Kind::InternalError, text),
        }
    }
}

/// Parts on their way to be a body. Nothing of it is looked at before the digest matched.
#[derive(Debug)]
pub(super) struct Assembly {
    body: BytesMut,
    digest: Digest,
    size: usize,
    next: u32,
}

impl Assembly {
    /// For a body of `size` bytes.
    pub(super) fn new(size: usize, limit: usize) -> Result<Self, PartError> {
        if size > limit {
            return Err(PartError::Large { size, limit });
        }
        Ok(Self {
            body: BytesMut::new(),
            digest: Digest::default(),
            size,
            next: 1,
        })
    }

    /// Takes the next part. Says up to which one they are to be acknowledged now.
    pub(super) fn add(&mut self, n: u32, part: &[u8]) -> Result<Option<u32>, PartError> {
        if n != self.next {
            return Err(PartError::Gap {
                expected: self.next,
                got: n,
            });
        }
        let got = self.body.len() + part.len();
        if got > self.size {
            return Err(PartError::Size {
                size: self.size,
                got,
            });
        }
        if self.body.is_empty() {
            // All of it at once, now that something came: growing would copy and peak at double.
            self.body.reserve(self.size);
        }
        self.body.extend_from_slice(part);
        self.digest.add(part);
        self.next += 1;
        Ok(n.is_multiple_of(ACK_EVERY).then_some(n))
    }

    /// Whether all parts are there.
    pub(super) fn is_full(&self) -> bool {
        self.body.len() == self.size
    }

    /// The body, if it is the one that the sender had.
    pub(super) fn finish(self, digest_sent: Option<&str>) -> Result<Bytes, PartError> {
        if self.body.len() != self.size {
            return Err(PartError::Size {
                size: self.size,
                got: self.body.len(),
            });
        }
        if digest_sent != Some(self.digest.finish().as_str()) {
            return Err(PartError::Digest);
        }
        Ok(self.body.freeze())
    }
}

/// The sender's side of the window: how far the reader got. Each call has one, and few use it: it
/// allocates nothing of its own.
#[derive(Debug, Default)]
pub(super) struct Window {
    got: AtomicU32,
    more: Notify,
}

impl Window {
    /// The reader has all parts up to `n`.
    pub(super) fn acknowledge(&self, n: u32) {
        if self.got.fetch_max(n, Ordering::AcqRel) < n {
            self.more.notify_one();
        }
    }

    /// Waits until part `n` may be sent. One sender waits at a time.
    pub(super) async fn room_for(&self, n: u32) {
        while n > self.got.load(Ordering::Acquire).saturating_add(WINDOW) {
            // An acknowledgement that comes in between has left a permit: nothing is missed.
            self.more.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(body: &Bytes, digest_sent: &str) -> Result<Bytes, PartError> {
        let mut assembly = Assembly::new(body.len(), 64 << 20)?;
        for n in 1..=count(body.len()) {
            assembly.add(n, &part(body, n))?;
        }
        assembly.finish(Some(digest_sent))
    }

    fn digest(body: &[u8]) -> String {
        let mut digest = Digest::default();
        digest.add(body);
        digest.finish()
    }

    #[test]
    fn parts_make_the_body_again() {
        for size in [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES] {
            let body = Bytes::from(vec![7; size]);
            assert_eq!(assemble(&body, &digest(&body)), Ok(body.clone()));
            assert_eq!(assemble(&body, "00"), Err(PartError::Digest));
        }
    }

    #[test]
    fn gaps_and_sizes_are_refused() {
        let mut assembly = Assembly::new(10, 100).expect("within the limit");
        assert_eq!(
            assembly.add(2, b"x"),
            Err(PartError::Gap {
                expected: 1,
                got: 2
            })
        );
        assert!(matches!(
            assembly.add(1, &[0; 11]),
            Err(PartError::Size { .. })
        ));
        assert!(matches!(
            Assembly::new(101, 100),
            Err(PartError::Large { .. })
        ));
        assert!(assembly.finish(None).is_err());
    }

    #[tokio::test]
    async fn the_window_opens_as_parts_are_acknowledged() {
        use futures_util::FutureExt as _;
        let window = Window::default();
        assert!(window.room_for(WINDOW).now_or_never().is_some());
        assert!(window.room_for(WINDOW + 1).now_or_never().is_none());
        window.acknowledge(1);
        window.acknowledge(0);
        assert!(window.room_for(WINDOW + 1).now_or_never().is_some());
        window.acknowledge(u32::MAX);
        assert!(window.room_for(u32::MAX).now_or_never().is_some());
    }
}
