//! One call: a request of its own to the server, and what comes back on it. All of it happens in
//! the caller's task, so that dropping the call closes the request.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{StatusCode, header::HeaderValue};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, sleep_until},
};

use super::{
    Upstream,
    gap::{Gap, Status},
    incoming::{Incoming, Next},
    listen::LAST_EVENT,
    owner::Command,
    session::Session,
};
use crate::{
    adapter::{
        failure,
        handshake::refusal,
        message::{Answer, Message, Notification},
        progress::Ear,
        raise,
    },
    call::Call,
    error::Error,
    mcp::{members::Members, version::Era},
};

/// A broken stream is taken up again so often, without anything new on it.
const RESUMES_MAX: u32 = 5;
/// The wait before it is, where the server says nothing; and the bounds of what it may say.
const RESUME_AFTER: Duration = Duration::from_secs(1);
const RESUME_LEAST: Duration = Duration::from_millis(50);
const RESUME_MOST: Duration = Duration::from_secs(10);
/// Header and body of a modern request do not say the same (2026-07-28, Header Mismatch).
const HEADER_MISMATCH: &str = "-32020";
/// The server does not speak our revision any more (2026-07-28, Unsupported Protocol Version).
const UNSUPPORTED_VERSION: &str = "-32022";

/// An answer, and the session that it came in.
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) session: Arc<Session>,
}

impl Upstream {
    /// Sends a call, and once more where it is known not to have started: the server had
    /// forgotten the session, or the tool's headers were those of an older list.
    pub(super) async fn answer(&self, call: &Call, first: Arc<Session>) -> Result<Answered, Error> {
        let mut session = first;
        let (mut reopened, mut read_again) = (false, false);
        loop {
            match self.exchange(call, &session).await {
                Ok(answer) => {
                    let code = code(&answer);
                    // The headers of a tool's call follow a list that may be old.
                    let is_stale =
                        call.tool().is_some() && code.as_deref() == Some(HEADER_MISMATCH);
                    if is_stale && !read_again {
                        read_again = true;
                        self.refresh().await?;
                        continue;
                    }
                    if code.as_deref() == Some(UNSUPPORTED_VERSION) {
                        let words = answer.error().unwrap_or_default();
                        let status = Status::new(StatusCode::BAD_REQUEST, words.as_bytes(), None);
                        self.tell(&session, Gap::Rejected(status));
                    }
                    return Ok(Answered { answer, session });
                }
                Err(Gap::Forgotten(_)) if !reopened => {
                    reopened = true;
                    session = self.reopened(&session).await?;
                }
                Err(gap) => {
                    let error = gap.error();
                    self.report(&session, gap);
                    return Err(error);
                }
            }
        }
    }

    /// The session in place of one that is gone: however many ask, it is opened once.
    async fn reopened(&self, gone: &Session) -> Result<Arc<Session>, Error> {
        let (done, opened) = oneshot::channel();
        self.send(Command::Reopen(gone.turn, done))?;
        opened
            .await
            .unwrap_or_else(|_owner_is_gone| Err(failure::stopped()))
    }

    /// Tells the owner what may be about the whole server.
    fn report(&self, session: &Session, gap: Gap) {
        let matters = match &gap {
            Gap::Away(_) | Gap::Denied(_) | Gap::Forgotten(_) => true,
            Gap::Rejected(status) => matches!(status.code.as_u16(), 404 | 405),
            _ => false,
        };
        if matters {
            self.tell(session, gap);
        }
    }

    /// Where the owner has no room it hears it from the next call.
    fn tell(&self, session: &Session, gap: Gap) {
        if self.send(Command::Trouble(session.turn, gap)).is_err() {
            tracing::debug!(server = %self.board.server, "trouble of a call was not told");
        }
    }

    /// One request, and its answer.
    async fn exchange(&self, call: &Call, session: &Arc<Session>) -> Result<Answer, Gap> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let tools = Arc::clone(&self.status.borrow().tools);
        let tool = call.tool().and_then(|name| tools.get(name));
        let headers = session.of(&call.request, tool)?;
        let body = raise::lower(&call.request, id, session.peer.era);
        let mut under_way = UnderWay::begin(self, session, id);
        let asked = session.client.post(headers, body.into()).await;
        let sent = match asked {
            Ok(response) => {
                let in_session = session.id.is_some();
                Incoming::of(response, self.limits.answer, in_session).await
            }
            Err(gap) => Err(gap),
        };
        let outcome = match sent {
            Ok(incoming) => self.hear(call, session, id, incoming).await,
            Err(gap) => Err(gap),
        };
        // After a break the server may still be at it.
        if !matches!(outcome, Err(Gap::Broken(_) | Gap::TooLarge { .. })) {
            under_way.end();
        }
        outcome
    }

    /// Hears what comes on the request until its answer.
    async fn hear(
        &self,
        call: &Call,
        session: &Arc<Session>,
        id: u64,
        mut incoming: Incoming,
    ) -> Result<Answer, Gap> {
        let mut ear = Ear::of(&call.request, call.context.notify.clone());
        let mut resumed = Resumed::default();
        loop {
            let due = ear.as_ref().and_then(Ear::due);
            let flush = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                next = incoming.next() => next,
                () = flush => {
                    ear.iter_mut().for_each(Ear::flush);
                    continue;
                }
            };
            match next {
                Ok(Next::Message(Message::Answer(answer))) if answer.number() == Some(id) => {
                    // What was held back is told first.
                    ear.iter_mut().for_each(Ear::flush);
                    return Ok(answer);
                }
                Ok(Next::Message(message)) => {
                    resumed.tries = 0;
                    self.message(message, id, session, ear.as_mut());
                }
                Ok(Next::Bad(why)) => {
                    tracing::debug!(server = %self.board.server, why, "an event of a server is no message");
                    self.board.count(|dropped| &mut dropped.bad_lines);
                }
                Ok(Next::End) => {
                    let why = Gap::Broken("its answer ended before the response was there".into());
                    incoming = resumed.resume(self, session, &incoming, why).await?;
                }
                Err(why @ Gap::Broken(_)) => {
                    incoming = resumed.resume(self, session, &incoming, why).await?;
                }
                Err(gap) => return Err(gap),
            }
        }
    }

    /// What the server says before the answer.
    fn message(&self, message: Message, id: u64, session: &Arc<Session>, ear: Option<&mut Ear>) {
        match message {
            Message::Notification(said) => self.notification(&said, id, ear),
            Message::Request { id, method } => {
                let say = Command::Say(Arc::clone(session), refusal(&id, &method).into());
                if self.send(say).is_err() {
                    tracing::debug!(server = %self.board.server, method, "a request of a server was not answered");
                }
            }
            Message::Answer(_) => self.board.count(|dropped| &mut dropped.answers),
        }
    }

    fn notification(&self, said: &Notification, id: u64, ear: Option<&mut Ear>) {
        match said.method.as_str() {
            "notifications/progress" => {
                let members = said.members();
                let token = members.get("progressToken");
                match (ear, token.filter(|token| token.parse() == Ok(id))) {
                    (Some(ear), Some(token)) => ear.progress(said, token),
                    _ => self.board.count(|dropped| &mut dropped.notifications),
                }
            }
            "notifications/message" => match ear.filter(|ear| ear.wants_log()) {
                Some(ear) => ear.log(said),
                None => self.board.log(said),
            },
            method if method.ends_with("/list_changed") => {
                self.board.touch(said);
                if self.send(Command::Heard(method.to_owned())).is_err() {
                    tracing::debug!(server = %self.board.server, method, "a change was not followed");
                }
            }
            _ if self.board.touch(said) => {}
            _ => self.board.count(|dropped| &mut dropped.notifications),
        }
    }
}

/// The code of an error, as it was spelt.
fn code(answer: &Answer) -> Option<String> {
    let error = answer.error().and_then(Members::read)?;
    error.get("code").map(str::to_owned)
}

/// How often a stream of answers was taken up again, and where.
#[derive(Default)]
struct Resumed {
    tries: u32,
    last: Option<(String, Duration)>,
}

impl Resumed {
    /// Takes up a stream behind its last event, where the server gave its events ids (until
    /// 2025-11-25, Resumability and Redelivery); else what broke it is why there is no answer.
    async fn resume(
        &mut self,
        own: &Upstream,
        session: &Session,
        broken: &Incoming,
        why: Gap,
    ) -> Result<Incoming, Gap> {
        if let Some((id, retry)) = broken.resumption() {
            let wait = retry
                .unwrap_or(RESUME_AFTER)
                .clamp(RESUME_LEAST, RESUME_MOST);
            if self.last.as_ref().is_none_or(|(last, _)| last != id) {
                self.tries = 0;
            }
            self.last = Some((id.to_owned(), wait));
        }
        let Some((id, wait)) = self
            .last
            .clone()
            .filter(|_| session.peer.era == Era::Legacy)
        else {
            return Err(why);
        };
        let id = HeaderValue::from_str(&id).map_err(|_| why.clone())?;
        while self.tries < RESUMES_MAX {
            self.tries += 1;
            sleep(wait).await;
            let mut headers = session.legacy();
            headers.insert(LAST_EVENT, id.clone());
            let asked = session.client.get(headers).await;
            let sent = match asked {
                Ok(response) => {
                    Incoming::of(response, own.limits.answer, session.id.is_some()).await
                }
                Err(gap) => Err(gap),
            };
            match sent {
                Ok(incoming) => return Ok(incoming),
                Err(
                    gap @ (Gap::Forgotten(_) | Gap::Rejected(_) | Gap::Denied(_) | Gap::Foreign(_)),
                ) => {
                    // The call itself had been taken: none of these says that it did not start.
                    let words = format!(
                        "{}; taking it up again failed: {}",
                        why.words(),
                        gap.words()
                    );
                    return Err(Gap::Broken(words));
                }
                Err(_) => {}
            }
        }
        Err(why)
    }
}

/// A call under way: dropped before its end, it tells an older server so. A modern one knows it
/// from the closed request.
struct UnderWay {
    room: Option<mpsc::OwnedPermit<Command>>,
    session: Arc<Session>,
    id: u64,
}

impl UnderWay {
    fn begin(own: &Upstream, session: &Arc<Session>, id: u64) -> Self {
        let is_legacy = session.peer.era == Era::Legacy;
        let room = is_legacy.then(|| own.commands.clone().try_reserve_owned().ok());
        Self {
            room: room.flatten(),
            session: Arc::clone(session),
            id,
        }
    }

    fn end(&mut self) {
        self.room = None;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            let id = self.id;
            let line = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the caller no longer waits"}}}}"#
            );
            room.send(Command::Say(Arc::clone(&self.session), Bytes::from(line)));
        }
    }
}
