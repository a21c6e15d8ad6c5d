//! What a client sends: told apart, whatever it came over.

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::value::RawValue;

use super::{door::Door, fault::Answer, session::Session};
use crate::{
    error::{Error, Kind},
    mcp::{Request, Response, envelope::EnvelopeError, version::Era},
};

/// Messages in one array, for the revision that has those.
const BATCH_MAX: usize = 100;

/// A message.
#[derive(Debug)]
pub(super) enum Message {
    Request(Request),
    Notification(Request),
    /// An answer to something that a server asked.
    Answer,
    /// Several in one array.
    Batch(Bytes),
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// `PARSE_ERROR`, `INVALID_REQUEST`.
    pub(super) fn read(body: &Bytes) -> Result<Self, Error> {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            return Ok(Self::Batch(body.clone()));
        }
        match Request::parse(body.clone()) {
            Ok(request) if request.id().is_some() => Ok(Self::Request(request)),
            Ok(notification) => Ok(Self::Notification(notification)),
            Err(_) if Response::parse(body.clone()).is_ok() => Ok(Self::Answer),
            Err(error) => Err(envelope(&error)),
        }
    }
}

fn envelope(error: &EnvelopeError) -> Error {
    let kind = match error {
        EnvelopeError::Json(_) => Kind::ParseError,
        EnvelopeError::Shape { .. } | EnvelopeError::Method(_) => Kind::InvalidRequest,
    };
    Error::new(kind, error.to_string())
}

/// Several messages at once (2025-03-26, basic, Batching): the answers are an array as well, and
/// nothing where there are none.
///
/// # Errors
/// `PARSE_ERROR`, `INVALID_REQUEST`: an array that is empty or too long.
pub(super) async fn batch(
    session: &Session,
    door: &Door,
    array: &Bytes,
) -> Result<Option<Bytes>, Error> {
    let messages: Vec<&RawValue> = serde_json::from_slice(array)
        .map_err(|error| Error::new(Kind::ParseError, format!("this is not JSON: {error}")))?;
    if messages.is_empty() || messages.len() > BATCH_MAX {
        let count = messages.len();
        let said = format!("an array of 1 to {BATCH_MAX} messages is taken, not of {count}");
        return Err(Error::new(Kind::InvalidRequest, said));
    }
    let refuse = |error: &Error| Some(Answer::of(error, None, None, Era::Legacy));
    let answers = messages.into_iter().map(|message| async move {
        match Message::read(&Bytes::copy_from_slice(message.get().as_bytes())) {
            Ok(Message::Request(request)) => match session.begin(&request) {
                Ok(under_way) => session.answer(door, (request, under_way), None).await,
                Err(answer) => Some(answer),
            },
            Ok(Message::Notification(notification)) => {
                session.hear(&notification);
                None
            }
            Ok(Message::Answer) => None,
            Ok(Message::Batch(_)) => refuse(&Error::new(
                Kind::InvalidRequest,
                "an array in an array is no message",
            )),
            Err(error) => refuse(&error),
        }
    });
    let answers: Vec<Answer> = join_all(answers).await.into_iter().flatten().collect();
    if answers.is_empty() {
        return Ok(None);
    }
    let bodies: Vec<&[u8]> = answers.iter().map(|answer| &*answer.body).collect();
    let body = [b"[".as_slice(), &bodies.join(&b','), b"]"].concat();
    Ok(Some(body.into()))
}
