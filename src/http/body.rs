//! Request bodies: read whole, bounded each and all together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Larger than one may be.
    #[error("the body has more than {0} bytes (`limits.requestBody`)")]
    TooLarge(usize),
    /// More than all may be together.
    #[error("more than {0} bytes of requests are under way (`limits.requestBodies`): try again")]
    Full(usize),
    /// It did not come in time.
    #[error("the body did not come within {0:?}")]
    Slow(Duration),
    /// It ended too soon, or was garbled.
    #[error("the body could not be read: {0}")]
    Broken(String),
}

/// How much of a body that nobody wants is read all the same, in bytes.
const DRAINED: usize = 16 * 1024 * 1024;
/// And for how long.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Reads what is left of a body that nobody wants. A connection that is closed on a client which
/// still sends is broken to it, and the answer lost.
pub async fn drain(mut body: axum::body::Body) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DRAINED {
                return;
            }
        }
    };
    if timeout(DRAIN_TIME, reading).await.is_err() {
        tracing::debug!("a body that was refused did not come to its end");
    }
}

/// The bounds of bodies, and what of it is used. Clones share it.
#[derive(Clone, Debug)]
pub struct Bodies {
    /// Bytes of one.
    pub most: usize,
    /// Bytes of all that are under way.
    pub all: usize,
    /// How long one may take to come.
    pub time: Duration,
    used: Arc<AtomicUsize>,
}

/// A body, and its place among all of them: kept until its request is answered.
#[derive(Debug)]
pub struct Body {
    /// What came.
    pub bytes: Bytes,
    _place: Place,
}

/// Some of the room.
#[derive(Debug)]
struct Place {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Bodies {
    /// These bounds.
    #[must_use]
    pub fn new(most: usize, all: usize, time: Duration) -> Self {
        Self {
            most,
            all,
            time,
            used: Arc::default(),
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn read(&self, body: axum::body::Body) -> Result<Body, BodyError> {
        let mut body = body;
        let read = self.read_in_time(&mut body).await?;
        if matches!(read, Err(BodyError::TooLarge(_) | BodyError::Full(_))) {
            drain(body).await;
        }
        read
    }

    async fn read_in_time(
        &self,
        body: &mut axum::body::Body,
    ) -> Result<Result<Body, BodyError>, BodyError> {
        let mut reading = std::pin::pin!(self.read_all(body));
        // Nearly all came with their heads: then there is nothing to time.
        if let Poll::Ready(read) = futures_util::poll!(reading.as_mut()) {
            return Ok(read);
        }
        let read = timeout(self.time, reading).await;
        read.map_err(|_| BodyError::Slow(self.time))
    }

    async fn read_all(&self, body: &mut axum::body::Body) -> Result<Body, BodyError> {
        let mut place = Place {
            used: Arc::clone(&self.used),
            bytes: 0,
        };
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.make_room(&mut place, data.len())?;
            // Nearly all come in one piece: those are not copied.
            if first.is_empty() && rest.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&data);
            }
        }
        let bytes = if rest.is_empty() {
            first
        } else {
            rest.freeze()
        };
        Ok(Body {
            bytes,
            _place: place,
        })
    }

    fn make_room(&self, place: &mut Place, more: usize) -> Result<(), BodyError> {
        if place.bytes + more > self.most {
            return Err(BodyError::TooLarge(self.most));
        }
        place.bytes += more;
        let used = self.used.fetch_add(more, Ordering::Relaxed) + more;
        if used > self.all {
            return Err(BodyError::Full(self.all));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> Bodies {
        Bodies::new(10, 15, Duration::from_secs(1))
    }

    #[tokio::test]
    async fn each_and_all_are_bounded() {
        let bodies = bodies();
        let read = |text: &'static str| bodies.read(axum::body::Body::from(text));
        let first = read("0123456789").await.expect("ten bytes");
        assert_eq!(first.bytes, "0123456789");
        assert!(matches!(
            read("0123456789x").await,
            Err(BodyError::TooLarge(10))
        ));
        assert!(matches!(read("012345").await, Err(BodyError::Full(15))));
        read("01234").await.expect("there is room for five");
        drop(first);
        read("0123456789").await.expect("and for ten again");
        assert_eq!(bodies.used.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn pieces_become_one() {
        let pieces = ["01", "23", "4"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        let body = axum::body::Body::from_stream(futures_util::stream::iter(pieces));
        assert_eq!(bodies().read(body).await.expect("read").bytes, "01234");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_come_is_given_up() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let body = axum::body::Body::from_stream(never);
        assert!(matches!(bodies().read(body).await, Err(BodyError::Slow(_))));
    }
}
