//! What a client sends: told apart, whatever it came over.

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::value::RawValue;

use super::{door::Door, fault::Answer, modern, session::Session};
use crate::{
    error::{Error, Kind},
    mcp::{Extent, Request, Response, envelope::EnvelopeError, version::Era},
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
    /// Reads a message, of this extent at most.
    ///
    /// # Errors
    /// `PARSE_ERROR`, `INVALID_REQUEST`; `INVALID_PARAMS` and `METHOD_NOT_FOUND` where all but the
    /// name in it could be read, or where it is too wide.
    pub(super) fn read(body: &Bytes, extent: Extent) -> Result<Self, Unread> {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            return Ok(Self::Batch(body.clone()));
        }
        if let Err(beyond) = extent.check(body) {
            // The envelope of it can be read all the same, without what lies in it.
            let request = Request::parse(body.clone()).ok();
            let id = request.and_then(|request| Some(request.id()?.to_owned()));
            return Err(Unread {
                id,
                error: beyond.into(),
            });
        }
        match Request::parse(body.clone()) {
            Ok(request) if request.id().is_some() => Ok(Self::Request(request)),
            Ok(notification) => Ok(Self::Notification(notification)),
            Err(_) if Response::parse(body.clone()).is_ok() => Ok(Self::Answer),
            Err(error) => Err(error.into()),
        }
    }
}

/// A message that can't be read, and whose answer that is.
#[derive(Debug)]
pub(super) struct Unread {
    /// The id of the request as it was spelt, as far as it is known.
    pub(super) id: Option<String>,
    pub(super) error: Error,
}

impl From<EnvelopeError> for Unread {
    fn from(error: EnvelopeError) -> Self {
        let said = error.to_string();
        let (id, kind) = match error {
            EnvelopeError::Json(_) | EnvelopeError::NotUtf8 => (None, Kind::ParseError),
            EnvelopeError::Shape { .. } | EnvelopeError::Method(_) => (None, Kind::InvalidRequest),
            // What is gone is gone, whatever it is about.
            EnvelopeError::Nameless { id, method, .. } if modern::is_removed(&method) => {
                (id, Kind::MethodNotFound)
            }
            EnvelopeError::Nameless { id, .. } => (id, Kind::InvalidParams),
        };
        Self {
            id,
            error: Error::new(kind, said),
        }
    }
}

/// Several messages at once (2025-03-26, basic, Batching): the answers are an array as well, and
/// nothing where there are none.
///
/// # Errors
/// `PARSE_ERROR`, `INVALID_REQUEST`: an array that is empty or too long.
pub(super) async fn batch(
    session: &Session,
    door: &Door,
    (array, extent): (&Bytes, Extent),
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
        match Message::read(&Bytes::copy_from_slice(message.get().as_bytes()), extent) {
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
            Err(unread) => Some(Answer::of(
                &unread.error,
                unread.id.as_deref(),
                None,
                Era::Legacy,
            )),
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
