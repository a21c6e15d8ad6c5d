//! What the control plane delivers to one reader: snapshots, tails, replays.

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{link::Link, wire};
use crate::{
    error::Error,
    name::{id, subject},
};

/// A delivery subject of our own, known to the control plane alone.
#[derive(Debug)]
pub struct Deliveries {
    number: String,
    subject: String,
    from: Subscriber,
}

impl Deliveries {
    /// Opens one; its number is 128 random bits.
    ///
    /// # Errors
    /// As [`Link::subscribe`].
    pub async fn open(link: &Link) -> Result<Self, Error> {
        let number = id::delivery();
        let subject = subject::delivery(link.identity(), &number);
        Ok(Self {
            from: link.subscribe(subject.clone(), false).await?,
            number,
            subject,
        })
    }

    /// The `{n}` to tell the control plane.
    #[must_use]
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The next delivery; `None` when the connection it hung on is gone. What comes under another
    /// subject, or out of a stream, is somebody else's and is passed over.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let message = self.from.next().await?;
            let ours = *self.subject == *message.subject
                && wire::header(&message, &wire::STREAM).is_none();
            if ours {
                return Some(message.payload);
            }
        }
    }
}
