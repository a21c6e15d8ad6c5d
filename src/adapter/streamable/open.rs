//! Opening a server: which era it is of, and what it says of itself.
//!
//! By the client's rules of 2026-07-28 (basic/versioning, Backward Compatibility): ask
//! `server/discover`; where that is refused with a status of the 400s, the body decides: an error
//! that only 2026-07-28 has means modern, anything else means `initialize`. What says nothing of
//! an era (no connection, no permission, a failure of the server, silence) decides nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::time::timeout;

use super::{
    client::Client,
    gap::Gap,
    incoming::Incoming,
    mirror,
    options::Options,
    session::{Asked, Session, ask},
};
use crate::{
    adapter::{
        handshake::{Probe, initialized, judged, opening, refused, request},
        message::Answer,
        status::Peer,
    },
    mcp::{Method, version::Era},
};

/// How long a stream may take to say that it is one of two endpoints.
const FIRST_EVENT_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of such an event.
const FIRST_EVENT_MAX: usize = 64 * 1024;

/// What is needed to open a server.
#[derive(Debug)]
pub(super) struct Opener<'a> {
    pub(super) options: &'a Options,
    pub(super) ids: &'a AtomicU64,
    pub(super) client: Client,
    /// Which opening this is.
    pub(super) turn: u64,
}

/// Why a server could not be opened, in words.
#[derive(Debug)]
pub(super) struct Shut {
    pub(super) why: String,
    /// Somebody has to do something first: waiting a little would not help.
    pub(super) is_lasting: bool,
}

impl Shut {
    /// What a gap means for the whole server.
    pub(super) fn of(gap: &Gap, options: &Options) -> Self {
        let Gap::Denied(_) = gap else {
            return Self {
                why: format!("{}: {}", options.endpoint, gap.words()),
                is_lasting: false,
            };
        };
        let hint = if options.headers.has("authorization") {
            "the value of the header `Authorization` was not accepted: is it current?"
        } else {
            "its credential belongs into a header: `headers: { Authorization: { env: NAME } }` in \
             weft.yaml, `--header Authorization=NAME` of `weft adapter`"
        };
        Self {
            why: format!(
                "{}: it does not let us in ({}); {hint}",
                options.endpoint,
                gap.words()
            ),
            is_lasting: true,
        }
    }

    fn said(why: String) -> Self {
        Self {
            why,
            is_lasting: false,
        }
    }
}

impl Opener<'_> {
    /// Opens the server. Its era is asked for, unless it is known to be that of sessions.
    pub(super) async fn open(self, is_legacy: bool) -> Result<Session, Shut> {
        let probe = if is_legacy {
            Probe::Legacy
        } else {
            self.probe()
                .await
                .map_err(|gap| Shut::of(&gap, self.options))?
        };
        match probe {
            Probe::Modern(peer) => Ok(Session {
                client: self.client,
                peer: Arc::new(peer),
                id: None,
                turn: self.turn,
            }),
            Probe::Legacy | Probe::Successor => self.initialize().await,
            Probe::Foreign(why) => Err(Shut::said(why)),
        }
    }

    async fn probe(&self) -> Result<Probe, Gap> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let asked = Asked {
            id,
            body: request(id, Method::DISCOVER.as_str(), "", Era::Modern).into(),
            headers: mirror::own(&Method::DISCOVER),
            in_session: false,
        };
        match self.ask(asked).await {
            Ok((answer, _)) => Ok(judged(&answer)),
            Err(Gap::Rejected(status)) if status.code.is_client_error() => {
                Ok(status.error.as_deref().map_or(Probe::Legacy, refused))
            }
            // It took the question, and said nothing that 2026-07-28 would.
            Err(Gap::Foreign(_)) => Ok(Probe::Legacy),
            Err(gap) => Err(gap),
        }
    }

    async fn initialize(self) -> Result<Session, Shut> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let asked = Asked {
            id,
            body: request(id, "initialize", &opening(), Era::Legacy).into(),
            headers: HeaderMap::new(),
            in_session: false,
        };
        let (answer, session) = match self.ask(asked).await {
            Ok(opened) => opened,
            Err(Gap::Rejected(status)) if matches!(status.code.as_u16(), 400 | 404 | 405) => {
                if self.has_two_endpoints().await {
                    return Err(Shut::said(self.two_endpoints()));
                }
                let mut shut = Shut::of(&Gap::Rejected(status), self.options);
                shut.why
                    .push_str(". Is this the URL of an MCP endpoint? It often ends in `/mcp`");
                return Err(shut);
            }
            Err(gap) => return Err(Shut::of(&gap, self.options)),
        };
        let peer: Peer = initialized(&answer).map_err(Shut::said)?;
        let session = Session {
            client: self.client,
            peer: Arc::new(peer),
            id: session,
            turn: self.turn,
        };
        // Not before its answer is there: servers that were told earlier were seen to lose tools.
        let told = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let within = self.options.timeouts.open;
        let telling = async {
            let response = session.client.post(session.legacy(), told).await?;
            Incoming::accepted(response, false).await
        };
        let told = timeout(within, telling)
            .await
            .unwrap_or(Err(Gap::Silent(within)));
        told.map_err(|gap| Shut::of(&gap, self.options))?;
        Ok(session)
    }

    async fn ask(&self, asked: Asked) -> Result<(Answer, Option<HeaderValue>), Gap> {
        let (within, limit) = (self.options.timeouts.open, self.options.limits.answer);
        ask(&self.client, asked, within, limit).await
    }

    /// Whether this is a server of the transport before Streamable HTTP: a stream whose first
    /// event names the endpoint to post to (2025-03-26, Backwards Compatibility).
    async fn has_two_endpoints(&self) -> bool {
        let looking = async {
            let response = self.client.get(HeaderMap::new()).await.ok()?;
            let incoming = Incoming::of(response, FIRST_EVENT_MAX, false).await.ok()?;
            incoming.first_event().await
        };
        let first = timeout(FIRST_EVENT_WITHIN, looking).await;
        first.is_ok_and(|name| name.as_deref() == Some("endpoint"))
    }

    fn two_endpoints(&self) -> String {
        format!(
            "{} speaks the two-endpoint HTTP+SSE transport of 2024-11-05, which Weft does not \
             carry: update the server to one that speaks Streamable HTTP, write its other URL if \
             it has one (often `/mcp` in place of `/sse`), or run it over stdio",
            self.options.endpoint
        )
    }
}
