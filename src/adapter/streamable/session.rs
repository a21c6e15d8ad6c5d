//! An open server: who it is, and what its requests carry.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::time::{Duration, timeout};

use super::{
    client::Client,
    gap::Gap,
    incoming::{Incoming, Next, SESSION},
    mirror,
};
use crate::{
    adapter::{
        handshake::request,
        message::{Answer, Message},
        status::Peer,
    },
    mcp::{Method, Request, tools::Tool, version::Era},
};

/// An open server. One of the modern era has no session to speak of; what is kept of it is what
/// it said of itself.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) peer: Arc<Peer>,
    /// The id that an older server gave its session, where it gave one.
    pub(super) id: Option<HeaderValue>,
    /// Which opening this is, from 1: what was said of an earlier one is not about this one.
    pub(super) turn: u64,
}

impl Session {
    /// What each request of an older server's session carries.
    pub(super) fn legacy(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // 2025-06-18, Protocol Version Header; servers before it do not look.
        if let Ok(revision) = HeaderValue::from_str(&self.peer.revision) {
            headers.insert(mirror::VERSION, revision);
        }
        headers.extend(self.id.clone().map(|id| (SESSION, id)));
        headers
    }

    /// The headers of a request of our own.
    pub(super) fn own(&self, method: &Method) -> HeaderMap {
        match self.peer.era {
            Era::Modern => mirror::own(method),
            Era::Legacy => self.legacy(),
        }
    }

    /// The headers of a caller's request.
    pub(super) fn of(&self, request: &Request, tool: Option<&Tool>) -> Result<HeaderMap, Gap> {
        match self.peer.era {
            Era::Modern => mirror::of(request, tool).map_err(Gap::Unfit),
            Era::Legacy => Ok(self.legacy()),
        }
    }

    /// Asks the server something for ourselves.
    pub(super) async fn ask(
        self: Arc<Self>,
        question: Question,
        ids: Arc<AtomicU64>,
    ) -> Result<Answer, Gap> {
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let body = request(
            id,
            question.method.as_str(),
            &question.params,
            self.peer.era,
        );
        let asked = Asked {
            id,
            body: body.into(),
            headers: self.own(&question.method),
            in_session: self.id.is_some(),
        };
        let (answer, _) = ask(&self.client, asked, question.within, question.limit).await?;
        Ok(answer)
    }

    /// Tells the server something that has no answer, within this time.
    pub(super) async fn say(self: Arc<Self>, body: Bytes, within: Duration) {
        let told = async {
            let response = self.client.post(self.legacy(), body).await?;
            Incoming::accepted(response, self.id.is_some()).await
        };
        match timeout(within, told).await {
            Ok(Ok(())) => {}
            Ok(Err(gap)) => {
                tracing::debug!(why = gap.words(), "a server was told something in vain")
            }
            Err(_) => tracing::debug!(?within, "a server did not take a notification in time"),
        }
    }
}

/// A question of the adapter's own.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    /// The members of its parameters.
    pub(super) params: String,
    pub(super) within: Duration,
    /// Bytes of its answer.
    pub(super) limit: usize,
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) body: Bytes,
    pub(super) headers: HeaderMap,
    pub(super) in_session: bool,
}

/// Sends a request, and waits for its answer; with it comes the session that it opened, if any.
/// What the server says before it is passed over.
pub(super) async fn ask(
    client: &Client,
    asked: Asked,
    within: Duration,
    limit: usize,
) -> Result<(Answer, Option<HeaderValue>), Gap> {
    let answered = async {
        let response = client.post(asked.headers, asked.body).await?;
        let mut incoming = Incoming::of(response, limit, asked.in_session).await?;
        let session = incoming.headers().get(SESSION).cloned().map(|mut id| {
            id.set_sensitive(true);
            id
        });
        loop {
            match incoming.next().await? {
                Next::Message(Message::Answer(answer)) if answer.number() == Some(asked.id) => {
                    return Ok((answer, session));
                }
                Next::Message(_) | Next::Bad(_) => {}
                Next::End => return Err(Gap::Foreign("it answered without an answer".to_owned())),
            }
        }
    };
    timeout(within, answered)
        .await
        .unwrap_or(Err(Gap::Silent(within)))
}
