//! One call from its request to its terminal: the service, its notifications, parts both ways.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{HeaderMap, Message, Subject, message::OutboundMessage};
use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::{sync::mpsc, time::Instant};
use tower::Service as _;

use super::{Reach, ServeOptions, accept::Accepted};
use crate::{
    bus::{
        link::Line,
        parts::{self, Assembly, Digest, HEADER_ROOM, PART_BYTES, WINDOW, Window},
        wire,
    },
    call::{About, Call, Notify, Reply, SharedService, notify::Notifications},
    error::{Context, Error, Kind, Origin, Started, case},
    name::header::{Frame, Terms},
};

/// So long between two parts of a body, or two acknowledgements of them, and it is given up.
const PART_SILENCE_MAX: Duration = Duration::from_secs(10);
/// Characters of an error's sentence where all of it finds no room.
const SENTENCE_MAX: usize = 512;

/// The parts of a large request, as they come.
pub(super) struct Upload(pub(super) mpsc::Receiver<(u32, Message)>);

/// What the desk and the future of a call both know of it.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) reply: Subject,
    /// How far the caller got with the parts of the answer.
    pub(super) window: Window,
    /// Whether an end is on its way: then nothing else may follow it.
    pub(super) ended: AtomicBool,
}

impl UnderWay {
    pub(super) fn new(reply: Subject) -> Arc<Self> {
        Arc::new(Self {
            reply,
            window: Window::default(),
            ended: AtomicBool::new(false),
        })
    }
}

/// Where one call is answered, and how far that got.
pub(super) struct Answering {
    options: Arc<ServeOptions>,
    line: Arc<Line>,
    under_way: Arc<UnderWay>,
    frames: u32,
}

impl Answering {
    pub(super) const fn new(
        options: Arc<ServeOptions>,
        line: Arc<Line>,
        under_way: Arc<UnderWay>,
    ) -> Self {
        Self {
            options,
            line,
            under_way,
            frames: 0,
        }
    }

    /// Answers without asking the service.
    pub(super) async fn refuse(mut self, id: Option<String>, error: Error) {
        self.fail(id.as_deref(), error).await;
    }

    /// Answers a request whose body comes in parts with what the service says.
    pub(super) async fn receive(
        mut self,
        accepted: Accepted,
        upload: Upload,
        mut service: SharedService,
    ) {
        let call = match self.body(&accepted, upload).await {
            Err(error) => Err((None, error)),
            Ok(body) => accepted.with_body(body).into_call(&self.options),
        };
        match call {
            Err((id, error)) => self.fail(id.as_deref(), error).await,
            Ok(call) => self.work(call, &mut service).await,
        }
    }

    /// Answers with what the service says. What few calls need is on the heap, and what all need
    /// is done before there is a future: it is moved, so it is to be small.
    pub(super) fn work(
        mut self,
        mut call: Call,
        service: &mut SharedService,
    ) -> impl Future<Output = ()> + Send + use<> {
        let about = call.about();
        let notifications = listens(&call).then(|| {
            let (notify, notifications) = Notify::channel();
            call.context.notify = Some(notify);
            notifications
        });
        // It may panic before it has made its future, too.
        let answer = std::panic::catch_unwind(AssertUnwindSafe(|| service.call(call)));
        async move {
            let answer = match (answer, notifications) {
                (Err(panic), _) => Err(panic),
                (Ok(answer), None) => AssertUnwindSafe(answer).catch_unwind().await,
                (Ok(answer), Some(notifications)) => {
                    let answer = AssertUnwindSafe(answer).catch_unwind();
                    Box::pin(self.forward_while(answer, notifications)).await
                }
            };
            match answer {
                Ok(Ok(reply)) => self.finish(about.request_id(), reply).await,
                Ok(Err(error)) => Box::pin(self.explain(&about, error)).await,
                Err(_) => {
                    let error = Error::new(Kind::InternalError, "the server's code panicked")
                        .started(Started::Yes);
                    Box::pin(self.explain(&about, error)).await;
                }
            }
        }
    }

    /// Answers with the service's error, and what it is about.
    async fn explain(&mut self, about: &About, error: Error) {
        let options = Arc::clone(&self.options);
        let error = error.located(options.server.as_str(), || about.error_context());
        self.fail(about.request_id(), error).await;
    }

    /// Passes notifications on until the answer is there, and those that came before it.
    async fn forward_while<T>(
        &mut self,
        answer: impl Future<Output = T>,
        mut notifications: Notifications,
    ) -> T {
        tokio::pin!(answer);
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer,
                Some(notification) = notifications.next() => self.notify(notification),
            }
        };
        while let Some(notification) = notifications.try_next() {
            self.notify(notification);
        }
        // Those that found no room here are a gap that the caller sees.
        let lost = u32::try_from(notifications.lost()).unwrap_or(u32::MAX);
        self.frames = self.frames.saturating_add(lost);
        answer
    }

    /// Sends a notification, or leaves a gap in the numbers: the call never waits for it.
    fn notify(&mut self, notification: Bytes) {
        self.frames = self.frames.saturating_add(1);
        if notification.len() <= self.room() {
            let headers = wire::frame_headers(Frame::Message(self.frames), &Terms::default());
            let message = self.message(Some(headers), notification);
            self.line.send_now(message);
        }
    }

    /// Bytes that fit into one message beside its headers.
    fn room(&self) -> usize {
        self.line.client.max_payload().saturating_sub(HEADER_ROOM)
    }

    async fn finish(&mut self, id: Option<&str>, reply: Reply) {
        let limit = match self.options.reach {
            Reach::Member => self.options.bounds.body,
            // Nobody acknowledges there: what fits into one window comes over.
            Reach::Imported => self.options.bounds.body.min(WINDOW as usize * PART_BYTES),
        };
        if reply.body.len() > limit {
            let error = Error::new(
                Kind::ToolExecutionError,
                format!(
                    "the answer has {} bytes; at most {limit} are carried",
                    reply.body.len()
                ),
            )
            .case(case::RESULT_TOO_LARGE)
            .started(Started::Yes)
            .with("limitBytes", limit);
            return Box::pin(self.fail(id, error)).await;
        }
        let failure = reply.failed.then(|| fault_of(&reply.body)).flatten();
        let failure = failure.as_ref().map(|(code, text)| (*code, text.as_str()));
        if reply.body.len() > self.room() {
            return Box::pin(self.send_parts(reply.body, failure)).await;
        }
        let terms = self.last_terms();
        self.end(wire::terminal_headers(&terms, failure), reply.body)
            .await;
    }

    async fn fail(&mut self, id: Option<&str>, error: Error) {
        let server = self.options.server.as_str();
        let error = error
            .origin(Origin::Adapter)
            .located(server, Context::default);
        let terms = self.last_terms();
        let headers = wire::terminal_headers(&terms, Some((error.kind().code(), error.message())));
        let mut body = wire::error_body(id, &error);
        if body.len() > self.room() {
            // It quotes what the caller sent. That is known to him; the error is not.
            let sentence: String = error.message().chars().take(SENTENCE_MAX).collect();
            let short = Error::new(error.kind(), sentence)
                .case(error.case_name())
                .started(error.has_started())
                .origin(Origin::Adapter)
                .located(server, Context::default);
            body = wire::error_body(None, &short);
        }
        self.end(headers, body).await;
    }

    fn last_terms(&self) -> Terms {
        Terms {
            frames: (self.frames > 0).then_some(self.frames),
            ..Terms::default()
        }
    }

    /// Sends a body as parts, a window at a time, and the end behind them.
    async fn send_parts(&mut self, body: Bytes, failure: Option<(i64, &str)>) {
        let last = parts::count(body.len());
        let mut digest = Digest::default();
        for n in 1..=last {
            let room = self.under_way.window.room_for(n);
            if tokio::time::timeout(PART_SILENCE_MAX, room).await.is_err() {
                let text = "the answer's parts were not acknowledged";
                let error = Error::new(Kind::InternalError, text).started(Started::Yes);
                return self.fail(None, error).await;
            }
            let part = parts::part(&body, n);
            digest.add(&part);
            let terms = Terms {
                parts: (n == 1).then_some((last, body.len())),
                instance: (n == 1).then(|| self.options.instance.as_str().into()),
                ..Terms::default()
            };
            let headers = wire::frame_headers(Frame::Part(n), &terms);
            if !self.publish(Some(headers), part).await {
                // Without this one the others are worth nothing.
                return;
            }
        }
        let terms = Terms {
            parts: Some((last, body.len())),
            digest: Some(digest.finish().into()),
            ..self.last_terms()
        };
        self.end(wire::terminal_headers(&terms, failure), Bytes::new())
            .await;
    }

    /// Takes the parts of a request. They start when the caller knows which instance took it.
    async fn body(&mut self, accepted: &Accepted, mut upload: Upload) -> Result<Bytes, Error> {
        let size = accepted.announced().unwrap_or_default();
        let mut assembly = Assembly::new(size, self.options.bounds.body)?;
        let deadline = accepted.began + accepted.time(&self.options);
        let terms = Terms {
            instance: Some(self.options.instance.as_str().into()),
            ..Terms::default()
        };
        let headers = wire::frame_headers(Frame::Ack, &terms);
        self.publish(Some(headers), Bytes::new()).await;
        loop {
            let until = deadline.min(Instant::now() + PART_SILENCE_MAX);
            let Ok(Some((n, message))) = tokio::time::timeout_at(until, upload.0.recv()).await
            else {
                return Err(Error::new(
                    Kind::Timeout,
                    "the rest of the request's parts did not come",
                ));
            };
            let acknowledge = assembly.add(n, &message.payload)?;
            if assembly.is_full() {
                let terms = wire::read_terms(&message)?;
                return Ok(assembly.finish(terms.digest.as_deref())?);
            }
            if let Some(n) = acknowledge {
                let headers = wire::frame_headers(Frame::Got(n), &Terms::default());
                self.publish(Some(headers), Bytes::new()).await;
            }
        }
    }

    fn end(&self, headers: Option<HeaderMap>, body: Bytes) -> impl Future<Output = ()> + use<'_> {
        self.under_way.ended.store(true, Ordering::Release);
        self.publish(headers, body).map(drop)
    }

    /// Sends a message to the caller. Says whether it could be sent.
    fn publish(
        &self,
        headers: Option<HeaderMap>,
        body: Bytes,
    ) -> impl Future<Output = bool> + use<'_> {
        let sending = self.line.send(self.message(headers, body));
        sending.map(|sent| {
            if let Err(error) = &sent {
                tracing::warn!(server = %self.options.server, %error, "an answer could not be sent");
            }
            sent.is_ok()
        })
    }

    fn message(&self, headers: Option<HeaderMap>, body: Bytes) -> OutboundMessage {
        OutboundMessage {
            subject: self.under_way.reply.clone(),
            reply: None,
            headers,
            payload: body,
        }
    }
}

/// Whether the caller asked to be told what happens meanwhile.
fn listens(call: &Call) -> bool {
    call.request.meta().is_some_and(|meta| {
        meta.contains("progressToken") || meta.contains(crate::mcp::version::META_LOG_LEVEL)
    })
}

/// Code and message of a JSON-RPC error, for the headers of a service error.
fn fault_of(body: &Bytes) -> Option<(i64, String)> {
    let response = crate::mcp::Response::parse(body.clone()).ok()?;
    let fault: crate::mcp::Fault = serde_json::from_str(response.error()?).ok()?;
    Some((fault.code, fault.message))
}
