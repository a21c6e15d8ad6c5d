//! Following what an open server says by itself: the GET stream of an older one, the answer to
//! `subscriptions/listen` of a modern one.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::time::{Duration, timeout};

use super::{
    gap::Gap,
    incoming::{Incoming, Next},
    session::Session,
};
use crate::{
    adapter::{
        handshake::request,
        message::{Answer, Message},
    },
    mcp::{Method, version::Era},
};

/// Where a stream is taken up again (until 2025-11-25).
pub(super) const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// A stream of what a server says by itself, or the request for one.
pub(super) struct Listening {
    /// The id of the request, where it has one; 0 is none of ours.
    pub(super) id: u64,
    state: State,
}

enum State {
    Asked(BoxFuture<'static, Result<Incoming, Gap>>),
    Open(Box<Incoming>),
    Over,
}

/// What is heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// The stream of an older server is open.
    Open,
    /// A message.
    Message(Message),
    /// Something that is no message.
    Bad(String),
    /// The server does not have such a stream.
    NotOffered,
    /// The stream has ended, well or not.
    Ended(Gap),
}

impl Listening {
    /// Asks for a stream. `after` is the last event that was heard on the one before.
    pub(super) fn begin(
        session: &Arc<Session>,
        ids: &AtomicU64,
        after: Option<&str>,
        (limit, within): (usize, Duration),
    ) -> Self {
        let session = Arc::clone(session);
        let mut id = 0;
        let asking: BoxFuture<'static, Result<Incoming, Gap>> = match session.peer.era {
            Era::Modern => {
                id = ids.fetch_add(1, Ordering::Relaxed);
                let filter = format!(r#""notifications":{{{}}}"#, session.peer.changes());
                let body = request(id, Method::LISTEN.as_str(), &filter, Era::Modern);
                Box::pin(async move {
                    let headers = session.own(&Method::LISTEN);
                    let response = session.client.post(headers, Bytes::from(body)).await?;
                    Incoming::of(response, limit, false).await
                })
            }
            Era::Legacy => {
                let mut headers = session.legacy();
                let after = after.and_then(|id| HeaderValue::from_str(id).ok());
                headers.extend(after.map(|id| (LAST_EVENT, id)));
                Box::pin(async move {
                    let response = session.client.get(headers).await?;
                    Incoming::of(response, limit, session.id.is_some()).await
                })
            }
        };
        let asking = async move {
            let asked = timeout(within, asking).await;
            asked.unwrap_or(Err(Gap::Silent(within)))
        };
        Self {
            id,
            state: State::Asked(Box::pin(asking)),
        }
    }

    /// What is heard next. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> Heard {
        match &mut self.state {
            State::Asked(asking) => match asking.await {
                Ok(incoming) => {
                    self.state = State::Open(Box::new(incoming));
                    Heard::Open
                }
                Err(Gap::Rejected(status)) if status.code.is_client_error() => {
                    self.state = State::Over;
                    Heard::NotOffered
                }
                Err(gap) => self.end(gap),
            },
            State::Open(incoming) => match incoming.next().await {
                Ok(Next::Message(Message::Answer(answer))) if answer.number() == Some(self.id) => {
                    let why = ended(&answer);
                    self.end(why)
                }
                Ok(Next::Message(message)) => Heard::Message(message),
                Ok(Next::Bad(why)) => Heard::Bad(why),
                Ok(Next::End) => self.end(Gap::Broken("the stream ended".to_owned())),
                Err(gap) => self.end(gap),
            },
            State::Over => std::future::pending().await,
        }
    }

    fn end(&mut self, why: Gap) -> Heard {
        self.state = State::Over;
        Heard::Ended(why)
    }

    /// The last event of the stream that has an id.
    pub(super) fn last_event(&self) -> Option<String> {
        match &self.state {
            State::Open(incoming) => incoming.resumption().map(|(id, _)| id.to_owned()),
            _ => None,
        }
    }
}

fn ended(answer: &Answer) -> Gap {
    Gap::Broken(
        answer
            .error()
            .unwrap_or("it was ended by the server")
            .to_owned(),
    )
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
