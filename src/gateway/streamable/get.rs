//! Streams of what belongs to no request: that the tools are others than before.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{
    Endpoint, bearer,
    refuse::{self, Refusal, no_session},
};
use crate::{
    error::{Error, Kind},
    gateway::{
        Gateway,
        door::{Changes, Door, Scope},
        event,
        headers::{self, SESSION},
        modern::Listen,
        session::{TOOLS_CHANGED, Turn},
        sessions::Open,
    },
};

/// How often it is looked whether the client is still let in.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often something is sent, so that whoever stands between keeps the connection.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// What a stream is told of.
struct Watch {
    gateway: Gateway,
    door: Door,
    token: String,
    changes: Changes,
    look: Interval,
    said: Instant,
    stop: CancellationToken,
}

/// What happened.
enum Happened {
    /// The tools are others; their mark.
    Changed(u64),
    /// Nothing, for so long that it has to be said.
    Nothing,
    /// The gateway ends.
    Ending,
    /// The client is no longer let in.
    Out,
}

impl Watch {
    fn new(at: &Endpoint, (door, changes): (Door, Changes), headers: &HeaderMap) -> Self {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            gateway: at.gateway.clone(),
            changes,
            door,
            // It was there a moment ago: it let the client in.
            token: bearer(headers).unwrap_or_default().to_owned(),
            look,
            said: Instant::now(),
            stop: at.tasks.stopping(),
        }
    }

    async fn next(&mut self) -> Happened {
        loop {
            tokio::select! {
                mark = self.changes.next() => {
                    self.said = Instant::now();
                    return Happened::Changed(mark);
                }
                () = self.stop.cancelled() => return Happened::Ending,
                _ = self.look.tick() => {
                    let scope = self.door.scope().clone();
                    if self.gateway.door(scope, &self.token).await.is_err() {
                        return Happened::Out;
                    }
                    if self.said.elapsed() >= QUIET_MAX {
                        self.said = Instant::now();
                        return Happened::Nothing;
                    }
                }
            }
        }
    }
}

/// The stream of a `subscriptions/listen`. It begins with what is told.
pub(super) fn listen(at: &Endpoint, door: Door, headers: &HeaderMap, listen: Listen) -> Response {
    let changes = door.changes(door.mark());
    let watch = Watch::new(at, (door, changes), headers);
    let first = listen.acknowledged();
    let state = Some((watch, listen, Some(first)));
    event::messages(stream::unfold(state, |state| async move {
        let (mut watch, listen, first) = state?;
        if let Some(first) = first {
            return Some((Some(first), Some((watch, listen, None))));
        }
        loop {
            let said = match watch.next().await {
                Happened::Changed(_) if listen.tools => Some(listen.tools_changed()),
                Happened::Changed(_) => continue,
                Happened::Nothing => None,
                Happened::Ending => return Some((Some(listen.ended()), None)),
                Happened::Out => return None,
            };
            return Some((said, Some((watch, listen, None))));
        }
    }))
}

impl Endpoint {
    /// The stream of an older client's session.
    pub(super) async fn get(self: Arc<Self>, scope: Scope, headers: HeaderMap) -> Response {
        let begun = self.begin(scope, &headers).await;
        begun.unwrap_or_else(Refusal::into_response)
    }

    async fn begin(&self, scope: Scope, headers: &HeaderMap) -> Result<Response, Refusal> {
        let door = self.door(scope, headers).await?;
        let Some(id) = headers::one(headers, SESSION) else {
            return Ok(refuse::not_allowed());
        };
        let accepts = headers::one(headers, header::ACCEPT.as_str()).unwrap_or_default();
        if !(accepts.contains("text/event-stream") || accepts.contains("*/*")) {
            return Err(Refusal::at(
                StatusCode::NOT_ACCEPTABLE,
                &Error::new(
                    Kind::InvalidRequest,
                    "`Accept` must have `text/event-stream`",
                ),
            ));
        }
        let found = self
            .sessions
            .find(door.guest().identity(), id, door.scope());
        let open = found.ok_or_else(no_session)?;
        let turn = open.session.begin_stream();
        let changes = open.session.changes(&door);
        let state = Streamed {
            watch: Watch::new(self, (door, changes), headers),
            endpoint: self.clone(),
            id: id.to_owned(),
            open,
            turn,
        };
        Ok(event::messages(stream::unfold(state, Streamed::next)))
    }
}

/// The stream of a session.
struct Streamed {
    watch: Watch,
    endpoint: Endpoint,
    id: String,
    open: Arc<Open>,
    turn: Turn,
}

impl Streamed {
    async fn next(mut self) -> Option<(Option<String>, Self)> {
        let happened = tokio::select! {
            happened = self.watch.next() => happened,
            () = self.turn.over() => return None,
        };
        match happened {
            Happened::Changed(mark) => {
                self.open.session.saw(mark);
                Some((Some(TOOLS_CHANGED.to_owned()), self))
            }
            Happened::Nothing => {
                // Whoever listens uses his session.
                let who = self.watch.door.guest().identity();
                let there = self.endpoint.sessions.find(who, &self.id, &self.open.scope);
                there.map(|_| (None, self))
            }
            Happened::Ending | Happened::Out => None,
        }
    }
}
