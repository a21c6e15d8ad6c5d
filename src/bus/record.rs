//! A record: the last message of a subject, changed only by compare-and-set.
//!
//! The broker compares, so two that change a record at once can't both succeed, and no lock is held
//! by anybody who may die. What ends without a word may have been written all the same: who writes
//! puts something of his own into the record, and looks.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, HeaderValue, StatusCode, message::OutboundMessage};
use bytes::Bytes;

use super::{ask::Asked, ask::Unkept, keep, link::Link, wire};
use crate::{
    error::{Error, Kind},
    name::store,
};

const EXPECTED: HeaderName = HeaderName::from_static("Nats-Expected-Last-Subject-Sequence");
const SEQUENCE: HeaderName = HeaderName::from_static("Nats-Sequence");

/// What the broker says of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is the record now, under this number.
    As(u64),
    /// Somebody else wrote since.
    Lost,
}

/// A record as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number: who changes it says that he knows this one.
    pub sequence: u64,
    /// What stands in it.
    pub body: Bytes,
}

impl Link {
    /// Writes a record where this number is still its last one; 0: where there is none.
    ///
    /// # Errors
    /// [`Unkept`]: `TIMEOUT` where it may have been written.
    pub async fn write_record(
        &self,
        subject: &str,
        body: Bytes,
        last: u64,
        within: Duration,
    ) -> Result<Written, Unkept> {
        let line = self.line().map_err(Unkept::ForNow)?;
        let asked = Asked::open(self, &line, subject)?;
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED, HeaderValue::from(last));
        let sent = line.send(OutboundMessage {
            subject: subject.into(),
            reply: Some(asked.reply().clone()),
            headers: Some(headers),
            payload: body,
        });
        let answer = asked.answer(sent, within).await?;
        keep::written(&answer)
    }

    /// Reads a record of this stream; `None` where there is none.
    ///
    /// # Errors
    /// [`Unkept`].
    pub async fn read_record(
        &self,
        stream: &str,
        subject: &str,
        within: Duration,
    ) -> Result<Option<Record>, Unkept> {
        let line = self.line().map_err(Unkept::ForNow)?;
        let to = format!("{}.DIRECT.GET.{stream}.{subject}", store::API_PREFIX);
        let asked = Asked::open_of_stream(self, &line, &to)?;
        let sent = line.send(OutboundMessage {
            subject: to.as_str().into(),
            reply: Some(asked.reply().clone()),
            headers: None,
            payload: Bytes::new(),
        });
        let message = asked.message(sent, within).await?;
        if message.status == Some(StatusCode::NOT_FOUND) {
            return Ok(None);
        }
        let sequence = wire::header(&message, &SEQUENCE).and_then(|text| text.parse().ok());
        let Some(sequence) = sequence else {
            let said = format!("the broker did not answer for a record of {stream}");
            return Err(Unkept::ForNow(Error::new(Kind::InternalError, said)));
        };
        Ok(Some(Record {
            sequence,
            body: message.payload,
        }))
    }
}
