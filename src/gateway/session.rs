//! A client that is older than 2026-07-28: what it says once holds for all that follows.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::{
    calls::{Calls, UnderWay},
    door::{Changes, Door},
    fault::Answer,
    older,
};
use crate::{
    call::Notify,
    error::{Error, Kind},
    mcp::{
        Method, Request, Response,
        members::quoted,
        method::{LOG_LEVELS, log_level},
        version::Era,
    },
};

/// The tools are others than before.
pub(super) const TOOLS_CHANGED: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

/// An open session.
#[derive(Debug)]
pub struct Session {
    revision: &'static str,
    /// What the client calls itself, as it was spelt.
    client_info: Option<String>,
    /// From which level on it wants log messages.
    level: ArcSwapOption<String>,
    calls: Arc<Calls>,
    /// What the client saw of the tools last, or was told is no longer so.
    seen: AtomicU64,
    /// The number of the stream that carries what belongs to no request: the newest one.
    stream: watch::Sender<u64>,
}

impl Session {
    /// Opens a session by its `initialize`; the answer to that goes with it.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where it does not say what it must, or what kept the server from saying
    /// what it is.
    pub async fn open(door: &Door, request: &Request) -> Result<(Self, Answer), Error> {
        let asked = Asked::read(request)?;
        let revision = older::revision(&asked.protocol_version);
        let discover =
            Request::parse(r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#.into())
                .expect("it is a request");
        let discover = older::raised(&discover, asked.client_info.as_deref(), None)?;
        let reply = door.answer(discover, None).await?;
        let found = Response::parse(reply.body)
            .ok()
            .and_then(|response| response.result().map(str::to_owned));
        let opened = older::opened(found.as_deref().unwrap_or_default(), revision)?;
        let session = Self {
            revision,
            client_info: asked.client_info,
            level: ArcSwapOption::empty(),
            calls: Arc::default(),
            seen: AtomicU64::new(door.mark()),
            stream: watch::channel(0).0,
        };
        Ok((
            session,
            Answer::carried(super::door::wrapped(request, &opened)),
        ))
    }

    /// The revision that is spoken.
    #[must_use]
    pub const fn revision(&self) -> &'static str {
        self.revision
    }

    /// Whether several messages may come as one array: 2025-03-26 alone has that.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        self.revision == "2025-03-26"
    }

    /// Begins a request: from now on it can be taken back.
    ///
    /// # Errors
    /// The answer to one that can't be begun.
    pub(super) fn begin(&self, request: &Request) -> Result<UnderWay, Answer> {
        self.calls
            .begin(request.id().unwrap_or_default())
            .map_err(|error| Answer::of(&error, request.id(), None, Era::Legacy))
    }

    /// Answers a request; `None` where the client took it back meanwhile.
    pub(super) async fn answer(
        &self,
        door: &Door,
        (request, under_way): (Request, UnderWay),
        notify: Option<Notify>,
    ) -> Option<Answer> {
        let (id, method) = (request.id().map(str::to_owned), request.method().clone());
        let refuse = |error: &Error| Answer::of(error, id.as_deref(), Some(&method), Era::Legacy);
        let outcome = tokio::select! {
            () = under_way.cancelled.cancelled() => return None,
            outcome = self.outcome(door, request, notify) => outcome,
        };
        Some(outcome.unwrap_or_else(|error| refuse(&error)))
    }

    async fn outcome(
        &self,
        door: &Door,
        request: Request,
        notify: Option<Notify>,
    ) -> Result<Answer, Error> {
        match request.method().as_str() {
            "ping" => Ok(empty(&request)),
            "logging/setLevel" => {
                self.level.store(Some(Arc::new(level(&request)?)));
                Ok(empty(&request))
            }
            "initialize" => Err(Error::new(
                Kind::InvalidRequest,
                "the session is open already",
            )),
            _ => {
                let level = self.level.load_full();
                let level = level.as_deref().map(String::as_str);
                let request = older::raised(&request, self.client_info.as_deref(), level)?;
                if *request.method() == Method::TOOLS_LIST {
                    self.saw(door.mark());
                }
                let reply = door.answer(request, notify).await?;
                older::lowered(reply.body).map(Answer::carried)
            }
        }
    }

    /// Follows what the client sees of the tools, from what it saw last: also what changed while
    /// nobody listened.
    pub(super) fn changes(&self, door: &Door) -> Changes {
        door.changes(self.seen.load(Ordering::Relaxed))
    }

    /// The client saw the tools at this mark, or is told of it.
    pub(super) fn saw(&self, mark: u64) {
        self.seen.store(mark, Ordering::Relaxed);
    }

    /// Takes a notification of the client.
    pub fn hear(&self, notification: &Request) {
        if notification.method().as_str() == "notifications/cancelled" {
            self.calls.cancel(notification.params());
        }
    }

    /// Begins the stream of what belongs to no request. It is the one until the next begins.
    #[must_use]
    pub fn begin_stream(&self) -> Turn {
        self.stream.send_modify(|number| *number += 1);
        let newest = self.stream.subscribe();
        let own = *newest.borrow();
        Turn { own, newest }
    }

    /// Ends it: whatever is under way is taken back.
    pub fn end(&self) {
        self.calls.cancel_all();
        self.stream.send_modify(|number| *number += 1);
    }
}

/// The turn of one stream.
#[derive(Debug)]
pub struct Turn {
    own: u64,
    newest: watch::Receiver<u64>,
}

impl Turn {
    /// Resolves when another stream took over, or the session ended.
    pub async fn over(&mut self) {
        let own = self.own;
        drop(self.newest.wait_for(|newest| *newest != own).await);
    }
}

/// What an `initialize` says.
struct Asked {
    protocol_version: String,
    client_info: Option<String>,
}

impl Asked {
    fn read(request: &Request) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Params {
            protocol_version: String,
            #[serde(rename = "capabilities")]
            _capabilities: serde_json::Map<String, serde_json::Value>,
            client_info: Option<Box<serde_json::value::RawValue>>,
        }
        let params = request.params().unwrap_or("{}");
        let params: Params = serde_json::from_str(params)
            .map_err(|error| Error::new(Kind::InvalidParams, format!("`initialize`: {error}")))?;
        Ok(Self {
            protocol_version: params.protocol_version,
            client_info: params.client_info.map(|info| info.get().to_owned()),
        })
    }
}

fn empty(request: &Request) -> Answer {
    Answer::carried(super::door::wrapped(request, "{}"))
}

fn level(request: &Request) -> Result<String, Error> {
    #[derive(serde::Deserialize)]
    struct Params {
        level: String,
    }
    let params: Option<Params> = request
        .params()
        .and_then(|params| serde_json::from_str(params).ok());
    let level = params.map(|params| params.level).unwrap_or_default();
    if log_level(&level).is_some() {
        return Ok(level);
    }
    Err(Error::new(
        Kind::InvalidParams,
        format!(
            "{} is no level: there are {}",
            quoted(&level),
            LOG_LEVELS.join(", ")
        ),
    ))
}

/// Whether a request opens a session.
#[must_use]
pub fn opens(request: &Request) -> bool {
    *request.method() == Method::INITIALIZE
}
