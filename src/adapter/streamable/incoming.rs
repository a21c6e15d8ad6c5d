//! What comes back on a request: one JSON body, or a stream of events, as messages.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE},
};
use tokio::time::timeout;

use super::{
    client::chain,
    gap::{Gap, Status, cut},
    sse::{Decoder, TooLarge},
};
use crate::{
    adapter::message::{Message, read},
    mcp::members::Members,
};

/// The session of an older server.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// How much of a body that comes with an error is read, and how long it may take.
const ERROR_BODY_MAX: usize = 64 * 1024;
const ERROR_BODY_WITHIN: Duration = Duration::from_secs(5);
/// The longest time that a server may ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// A response with messages in it.
#[derive(Debug)]
pub(super) struct Incoming {
    response: Response,
    form: Form,
    limit: usize,
    ready: VecDeque<Result<Message, String>>,
}

#[derive(Debug)]
enum Form {
    Json(BytesMut),
    Events(Box<Decoder>),
    Over,
}

/// The next thing in a response.
#[derive(Debug)]
pub(super) enum Next {
    /// A message.
    Message(Message),
    /// What should have been one, and why it is none.
    Bad(String),
    /// There is no more.
    End,
}

impl Incoming {
    /// A response that may hold messages. `in_session`: the request named a session.
    pub(super) async fn of(
        response: Response,
        limit: usize,
        in_session: bool,
    ) -> Result<Self, Gap> {
        let code = response.status();
        if !code.is_success() {
            return Self::refused(response, in_session).await;
        }
        if response
            .content_length()
            .is_some_and(|length| length > limit as u64)
        {
            return Err(Gap::TooLarge { limit });
        }
        let form = match content_type(response.headers()).as_str() {
            "text/event-stream" => Form::Events(Box::new(Decoder::new(limit))),
            "application/json" => Form::Json(BytesMut::new()),
            other if code == StatusCode::OK => {
                return Err(Gap::Foreign(format!(
                    "it answered with `{}` where JSON or an event stream belongs: is this the URL \
                     of an MCP endpoint?",
                    cut(other.as_bytes())
                )));
            }
            _ => Form::Over,
        };
        Ok(Self {
            response,
            form,
            limit,
            ready: VecDeque::new(),
        })
    }

    /// Whether something that has no answer was taken.
    pub(super) async fn accepted(response: Response, in_session: bool) -> Result<(), Gap> {
        if response.status().is_success() {
            return Ok(());
        }
        let refused = Self::refused(response, in_session).await;
        // An answer to what has none: nobody asks for more of it.
        refused.map(drop)
    }

    /// The headers of the response.
    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Where a broken stream may be taken up again, and when.
    pub(super) fn resumption(&self) -> Option<(&str, Option<Duration>)> {
        match &self.form {
            Form::Events(decoder) => Some((decoder.last_id()?, decoder.retry())),
            _ => None,
        }
    }

    /// The next message. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Next, Gap> {
        loop {
            match self.ready.pop_front() {
                Some(Ok(message)) => return Ok(Next::Message(message)),
                Some(Err(why)) => return Ok(Next::Bad(why)),
                None => {}
            }
            match &mut self.form {
                Form::Over => return Ok(Next::End),
                Form::Json(_) => {}
                Form::Events(decoder) => {
                    let limit = self.limit;
                    match decoder.next().map_err(|TooLarge| Gap::TooLarge { limit })? {
                        // Other types mean nothing to MCP.
                        Some(event) if event.name == "message" => {
                            self.ready.extend(read(&event.data))
                        }
                        Some(_) => {}
                        None if self.more().await? => {}
                        None => return Ok(Next::End),
                    }
                    continue;
                }
            }
            if !self.more().await? {
                self.whole()?;
            }
        }
    }

    /// The type of the first event, where this is a stream of events and none was read of it.
    pub(super) async fn first_event(mut self) -> Option<String> {
        loop {
            let Form::Events(decoder) = &mut self.form else {
                return None;
            };
            match decoder.next().ok()? {
                Some(event) => return Some(event.name),
                None if self.more().await.ok()? => {}
                None => return None,
            }
        }
    }

    /// Reads one piece more; says whether there was one.
    async fn more(&mut self) -> Result<bool, Gap> {
        let chunk = self.response.chunk().await;
        let chunk = chunk.map_err(|error| Gap::Broken(chain(&error.without_url())))?;
        match (&mut self.form, chunk) {
            (_, None) => return Ok(false),
            (Form::Json(held), Some(chunk)) => {
                if held.len() + chunk.len() > self.limit {
                    return Err(Gap::TooLarge { limit: self.limit });
                }
                held.extend_from_slice(&chunk);
            }
            (Form::Events(decoder), Some(chunk)) => decoder.push(&chunk),
            (Form::Over, Some(_)) => {}
        }
        Ok(true)
    }

    /// The JSON body is there.
    fn whole(&mut self) -> Result<(), Gap> {
        let Form::Json(body) = std::mem::replace(&mut self.form, Form::Over) else {
            return Ok(());
        };
        let body = body.freeze();
        let read = read(&body);
        if let [Err(why)] = read.as_slice() {
            return Err(Gap::Foreign(format!(
                "it answered with a body that is no MCP message ({why}): {}",
                cut(&body)
            )));
        }
        self.ready.extend(read);
        Ok(())
    }

    /// A response whose status is no success: an answer of the server all the same, where it is
    /// a JSON-RPC one to a request, else why there is none.
    async fn refused(mut response: Response, in_session: bool) -> Result<Self, Gap> {
        let code = response.status();
        if code == StatusCode::TOO_MANY_REQUESTS {
            let after = retry_after(response.headers(), Utc::now());
            return Err(Gap::TooOften { after });
        }
        let body = error_body(&mut response).await;
        let error = std::str::from_utf8(&body).ok().and_then(Members::read);
        let error = error.and_then(|members| members.get("error").map(str::to_owned));
        let words = error.as_deref().map_or(&body[..], str::as_bytes);
        let status = |words: &[u8]| Status::new(code, words, error.clone());
        if matches!(code.as_u16(), 401 | 403 | 407) {
            let asks = response.headers().get(WWW_AUTHENTICATE);
            let asks = asks.map_or(words, |asks| asks.as_bytes());
            return Err(Gap::Denied(status(asks)));
        }
        if code.is_server_error() {
            return Err(Gap::Failed(status(words)));
        }
        if in_session && is_forgotten(code, error.as_deref()) {
            return Err(Gap::Forgotten(format!("HTTP {}", code.as_u16())));
        }
        let messages = read(&body);
        if let [Ok(Message::Answer(_))] = messages.as_slice() {
            return Ok(Self {
                response,
                form: Form::Over,
                limit: 0,
                ready: messages.into(),
            });
        }
        Err(Gap::Rejected(status(words)))
    }
}

/// Whether a session is gone: 404 says so (2025-06-18, Session Management, 3). Many servers that
/// were written after the SDK's example say 400 and name the session instead.
fn is_forgotten(code: StatusCode, error: Option<&str>) -> bool {
    let names_it = || error.is_some_and(|error| error.to_ascii_lowercase().contains("session"));
    code == StatusCode::NOT_FOUND || (code == StatusCode::BAD_REQUEST && names_it())
}

async fn error_body(response: &mut Response) -> Bytes {
    let mut body = BytesMut::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = ERROR_BODY_MAX - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == ERROR_BODY_MAX {
                break;
            }
        }
    };
    if timeout(ERROR_BODY_WITHIN, reading).await.is_err() {
        tracing::debug!("the body of an error did not end in time");
    }
    body.freeze()
}

fn content_type(headers: &HeaderMap) -> String {
    let said = headers
        .get(CONTENT_TYPE)
        .and_then(|said| said.to_str().ok());
    let kind = said
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// `Retry-After`, as seconds or as a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match said.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = DateTime::parse_from_rfc2822(said).ok()?;
            (at.to_utc() - now).to_std().unwrap_or_default()
        }
    };
    Some(after.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_back_is_read_in_both_forms() {
        let now = "2026-11-22T10:00:00Z".parse().expect("a time");
        let after = |said: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, said.parse().expect("a value"));
            retry_after(&headers, now).map(|after| after.as_secs())
        };
        assert_eq!(after("7"), Some(7));
        assert_eq!(after("Sun, 22 Nov 2026 10:00:30 GMT"), Some(30));
        assert_eq!(after("Sun, 22 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(after("99999999999"), Some(3600));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn a_forgotten_session_is_told_from_a_bad_request() {
        let forgotten = |code, error| is_forgotten(StatusCode::from_u16(code).expect("one"), error);
        assert!(forgotten(404, None));
        assert!(forgotten(
            400,
            Some(r#"{"message":"Bad Request: No valid session ID provided"}"#)
        ));
        assert!(!forgotten(400, Some(r#"{"message":"Parse error"}"#)));
        assert!(!forgotten(400, None));
        assert!(!forgotten(405, Some("session")));
    }
}
