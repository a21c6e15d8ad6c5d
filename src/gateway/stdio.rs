//! The gateway over stdio: one client, lines in and lines out, both eras.
//!
//! The client is whoever runs the process: it calls with the token of the member itself.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use super::{
    Gateway,
    calls::Calls,
    door::{Door, Scope},
    fault::Answer,
    message::{self, Message},
    modern::{self, Listen, Stated},
    session::{self, Session, TOOLS_CHANGED},
};
use crate::{
    call::Notify,
    error::{Error, Kind, case},
    mcp::{
        Extent, Request,
        framing::{Line, Lines},
        version::Era,
    },
    spawn::{Failure, Tasks},
};

/// Lines that wait to be written; whoever has one more waits.
const WAITING: usize = 256;
/// How long what is being written has to get out in the end.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How a client is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which servers it sees.
    pub scope: Scope,
    /// Bytes of one line.
    pub line: usize,
    /// How deep and how wide a request may be.
    pub extent: Extent,
}

/// The one client.
#[derive(Clone)]
struct Client {
    gateway: Gateway,
    scope: Scope,
    extent: Extent,
    out: mpsc::Sender<Bytes>,
    /// Requests of a client of 2026-07-28 that are under way.
    calls: Arc<Calls>,
    tasks: Tasks,
}

/// Serves a client until its input ends.
///
/// # Errors
/// What the pipes say.
pub async fn serve(
    gateway: &Gateway,
    options: Options,
    (from, to): (
        impl AsyncRead + Unpin,
        impl AsyncWrite + Unpin + Send + 'static,
    ),
    tasks: &Tasks,
) -> io::Result<()> {
    let (out, lines) = mpsc::channel(WAITING);
    // The writer outlives the calls: what they answer in the end still goes out.
    let (writing, answering) = (tasks.group(), tasks.group());
    writing.spawn("stdout", Failure::Logged, write(to, lines));
    let client = Client {
        gateway: gateway.clone(),
        scope: options.scope,
        extent: options.extent,
        out,
        calls: Arc::default(),
        tasks: answering.clone(),
    };
    let mut lines = Lines::new(from, options.line);
    let mut session: Option<Arc<Session>> = None;
    let stop = tasks.stopping();
    let ended = loop {
        let line = tokio::select! {
            () = stop.cancelled() => break Ok(()),
            line = lines.next() => line,
        };
        match line {
            Ok(Some(line)) => client.line(line, &mut session).await,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    client.calls.cancel_all();
    if let Some(session) = session {
        session.end();
    }
    drop(client);
    answering.stop(LAST_LINES).await;
    writing.stop(LAST_LINES).await;
    ended
}

/// Writes lines until nobody has any more.
async fn write(mut to: impl AsyncWrite + Unpin, mut lines: mpsc::Receiver<Bytes>) {
    while let Some(line) = lines.recv().await {
        let written = async {
            to.write_all(&line).await?;
            to.write_all(b"\n").await?;
            to.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "the client reads no more");
            return;
        }
    }
}

impl Client {
    /// Takes a line.
    async fn line(&self, line: Line, session: &mut Option<Arc<Session>>) {
        let line = match line {
            Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => return,
            Line::Whole(line) => line,
            Line::TooLong { length, id } => {
                let said = format!("the line has {length} bytes, more than are taken");
                let error = Error::new(Kind::InvalidRequest, said).case(case::REQUEST_TOO_LARGE);
                self.say(Answer::of(&error, id.as_deref(), None, Era::Modern))
                    .await;
                return;
            }
        };
        match Message::read(&line, self.extent) {
            Err(unread) => {
                let id = unread.id.as_deref();
                self.say(Answer::of(&unread.error, id, None, Era::Modern))
                    .await;
            }
            Ok(Message::Request(request)) => {
                let stated = Stated::read(&request);
                if stated.is_modern() {
                    self.modern(request, stated).await;
                } else if session::opens(&request) && session.is_none() {
                    *session = self.open(&request).await;
                } else {
                    let older = Message::Request(request);
                    self.older(older, session.as_ref()).await;
                }
            }
            Ok(message) => self.older(message, session.as_ref()).await,
        }
    }

    /// A request of 2026-07-28.
    async fn modern(&self, request: Request, stated: Stated) {
        if let Err(answer) = stated.check(&request) {
            return self.say(answer).await;
        }
        let door = match self.door() {
            Ok(door) => door,
            Err(error) => return self.refuse(&error, &request, Era::Modern).await,
        };
        if Listen::is(&request) {
            return match Listen::read(&request) {
                Ok(listen) => self.listen(door, request, listen).await,
                Err(error) => self.refuse(&error, &request, Era::Modern).await,
            };
        }
        let under_way = match self.calls.begin(request.id().unwrap_or_default()) {
            Ok(under_way) => under_way,
            Err(error) => return self.refuse(&error, &request, Era::Modern).await,
        };
        let own = self.clone();
        self.tasks.spawn("call", Failure::Logged, async move {
            let taken_back = under_way.cancelled.clone();
            own.tell(taken_back, |notify| async move {
                let answer = modern::answer(&door, request, Some(notify)).await;
                drop(under_way);
                Some(answer)
            })
            .await;
        });
    }

    async fn listen(&self, door: Door, request: Request, listen: Listen) {
        let under_way = match self.calls.begin(request.id().unwrap_or_default()) {
            Ok(under_way) => under_way,
            Err(error) => return self.refuse(&error, &request, Era::Modern).await,
        };
        let own = self.clone();
        let stop = self.tasks.stopping();
        self.tasks.spawn("listen", Failure::Logged, async move {
            let mut changes = door.changes(door.mark());
            own.send(listen.acknowledged().into()).await;
            loop {
                tokio::select! {
                    () = under_way.cancelled.cancelled() => return,
                    () = stop.cancelled() => return own.send(listen.ended().into()).await,
                    _ = changes.next() => if listen.tools {
                        own.send(listen.tools_changed().into()).await;
                    }
                }
            }
        });
    }

    /// Opens the session of an older client, and begins to tell it of changes.
    async fn open(&self, request: &Request) -> Option<Arc<Session>> {
        let opened = match self.door() {
            Ok(door) => Session::open(&door, request)
                .await
                .map(|opened| (door, opened)),
            Err(error) => Err(error),
        };
        let (door, (session, answer)) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.refuse(&error, request, Era::Legacy).await;
                return None;
            }
        };
        let session = Arc::new(session);
        let (mut turn, mut changes) = (session.begin_stream(), session.changes(&door));
        self.say(answer).await;
        let (own, told, stop) = (self.clone(), Arc::clone(&session), self.tasks.stopping());
        self.tasks.spawn("changes", Failure::Logged, async move {
            loop {
                tokio::select! {
                    () = turn.over() => return,
                    () = stop.cancelled() => return,
                    mark = changes.next() => {
                        told.saw(mark);
                        own.send(Bytes::from_static(TOOLS_CHANGED.as_bytes())).await;
                    }
                }
            }
        });
        Some(session)
    }

    /// Whatever an older client sends, and the notifications of any.
    async fn older(&self, message: Message, session: Option<&Arc<Session>>) {
        match (message, session) {
            (Message::Notification(notification), None) => {
                if notification.method().as_str() == "notifications/cancelled" {
                    self.calls.cancel(notification.params());
                }
            }
            (Message::Notification(notification), Some(session)) => session.hear(&notification),
            (Message::Answer, _) => {}
            (Message::Request(request), Some(session)) => self.in_session(request, session).await,
            (Message::Batch(array), Some(session)) if session.takes_batches() => {
                self.batch(array, session);
            }
            (Message::Request(request), None) => {
                self.refuse(&unopened(), &request, Era::Legacy).await;
            }
            (Message::Batch(_), _) => {
                let error = Error::new(
                    Kind::InvalidRequest,
                    "several messages in one array are taken in a session of 2025-03-26 alone",
                );
                self.say(Answer::of(&error, None, None, Era::Legacy)).await;
            }
        }
    }

    async fn in_session(&self, request: Request, session: &Arc<Session>) {
        let door = match self.door() {
            Ok(door) => door,
            Err(error) => return self.refuse(&error, &request, Era::Legacy).await,
        };
        let under_way = match session.begin(&request) {
            Ok(under_way) => under_way,
            Err(answer) => return self.say(answer).await,
        };
        let (own, session) = (self.clone(), Arc::clone(session));
        let begun = (request, under_way);
        self.tasks.spawn("call", Failure::Logged, async move {
            let taken_back = begun.1.cancelled.clone();
            let call = |notify| async move { session.answer(&door, begun, Some(notify)).await };
            own.tell(taken_back, call).await;
        });
    }

    fn batch(&self, array: Bytes, session: &Arc<Session>) {
        let (own, session) = (self.clone(), Arc::clone(session));
        self.tasks.spawn("batch", Failure::Logged, async move {
            let answers = match own.door() {
                Ok(door) => message::batch(&session, &door, (&array, own.extent)).await,
                Err(error) => Err(error),
            };
            match answers {
                Ok(Some(body)) => own.send(body).await,
                Ok(None) => {}
                Err(error) => own.say(Answer::of(&error, None, None, Era::Legacy)).await,
            }
        });
    }

    /// Says what a call says, then its answer; nothing more once it was taken back: older clients
    /// stumble over that.
    async fn tell<F>(&self, taken_back: CancellationToken, call: impl FnOnce(Notify) -> F)
    where
        F: Future<Output = Option<Answer>>,
    {
        let (notify, mut said) = Notify::channel();
        let mut call = std::pin::pin!(call(notify));
        let answer = loop {
            tokio::select! {
                biased;
                () = taken_back.cancelled() => return,
                Some(more) = said.next() => self.send(more).await,
                answer = &mut call => break answer,
            }
        };
        let Some(answer) = answer else { return };
        while let Some(more) = said.try_next() {
            self.send(more).await;
        }
        self.say(answer).await;
    }

    fn door(&self) -> Result<Door, Error> {
        self.gateway.own_door(self.scope.clone())
    }

    async fn refuse(&self, error: &Error, request: &Request, era: Era) {
        let answer = Answer::of(error, request.id(), Some(request.method()), era);
        self.say(answer).await;
    }

    async fn say(&self, answer: Answer) {
        self.send(answer.body).await;
    }

    /// Sends a message as one line.
    async fn send(&self, message: Bytes) {
        let line = if memchr::memchr2(b'\n', b'\r', &message).is_none() {
            message
        } else {
            let blank = |byte: &u8| {
                if matches!(byte, b'\n' | b'\r') {
                    b' '
                } else {
                    *byte
                }
            };
            message.iter().map(blank).collect()
        };
        if self.out.send(line).await.is_err() {
            tracing::debug!("the client reads no more");
        }
    }
}

fn unopened() -> Error {
    Error::new(
        Kind::InvalidRequest,
        "open a session with `initialize`, or say in `_meta` of each request that it is of 2026-07-28",
    )
}
