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
    call::{Call, Notify, Reply, SharedService, notify::Notifications},
    error::{Context, Error, Kind, Origin, Started, case},
    name::header::{Frame, Terms},
};

/// So long between two parts of a body, or two acknowledgements of them, and it is given up.
const PART_SILENCE_MAX: Duration = Duration::from_secs(10);
/// Characters of an error's sentence where all of it finds no room.
const SENTENCE_MAX: usize = 512;

/// The parts of a large request, as they come.
pub(super) struct Upload(pub(super) mpsc::Receiver<(u32, Message)>);

/// Where one call is answered, and how far that got.
pub(super) struct Answering {
    options: ServeOptions,
    line: Arc<Line>,
    reply: Subject,
    window: Arc<Window>,
    ended: Arc<AtomicBool>,
    frames: u32,
}

impl Answering {
    pub(super) fn new(options: &ServeOptions, line: &Arc<Line>, accepted: &Accepted) -> Self {
        Self {
            options: options.clone(),
            line: Arc::clone(line),
            reply: accepted.reply.clone(),
            window: Arc::default(),
            ended: Arc::default(),
            frames: 0,
        }
    }

    pub(super) fn window(&self) -> Arc<Window> {
        Arc::clone(&self.window)
    }

    pub(super) fn ended(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ended)
    }

    /// Answers without asking the service.
    pub(super) async fn refuse(mut self, error: Error) {
        self.fail(None, error).await;
    }

    /// Answers with what the service says. What few calls need is on the heap: the future of a call
    /// is moved often, and is the larger by the largest of its parts.
    pub(super) async fn run(
        mut self,
        accepted: Accepted,
        body: Bytes,
        upload: Option<Upload>,
        service: SharedService,
    ) {
        let body = match upload {
            None => Ok(body),
            Some(upload) => Box::pin(self.receive(&accepted, upload)).await,
        };
        let call = match body {
            Err(error) => Err((None, error)),
            Ok(body) => accepted.into_call(&self.options, body),
        };
        match call {
            Err((id, error)) => Box::pin(self.fail(id.as_deref(), error)).await,
            Ok(call) => self.work(call, service).await,
        }
    }

    async fn work(&mut self, mut call: Call, mut service: SharedService) {
        let id = call.request.id().map(str::to_owned);
        let about = call.about();
        let mut notifications = listens(&call).then(|| {
            let (notify, notifications) = Notify::channel();
            call.context.notify = Some(notify);
            notifications
        });
        // Inside a future of ours: it may panic before it has made its own.
        let answer = AssertUnwindSafe(async move { service.call(call).await }).catch_unwind();
        let answer = match &mut notifications {
            None => answer.await,
            Some(notifications) => Box::pin(self.forward_while(answer, notifications)).await,
        };
        match answer {
            Ok(Ok(reply)) => self.finish(id.as_deref(), reply).await,
            Ok(Err(error)) => {
                let server = self.options.server.as_str().to_owned();
                let error = error.located(&server, || about.error_context());
                Box::pin(self.fail(id.as_deref(), error)).await;
            }
            Err(_) => {
                let error = Error::new(Kind::InternalError, "the server's code panicked")
                    .started(Started::Yes)
                    .located(self.options.server.as_str(), || about.error_context());
                Box::pin(self.fail(id.as_deref(), error)).await;
            }
        }
    }

    /// Passes notifications on until the answer is there, and those that came before it.
    async fn forward_while<T>(
        &mut self,
        answer: impl Future<Output = T>,
        notifications: &mut Notifications,
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
            let room = self.window.room_for(n);
            if tokio::time::timeout(PART_SILENCE_MAX, room).await.is_err() {
                let text = "the answer's parts were not acknowledged";
                let error = Error::new(Kind::InternalError, text).started(Started::Yes);
                return self.fail(None, error).await;
            }
            let part = parts::part(&body, n);
            digest.add(&part);
            let terms = Terms {
                parts: (n == 1).then_some((last, body.len())),
                instance: (n == 1).then(|| self.options.instance.to_string()),
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
            digest: Some(digest.finish()),
            ..self.last_terms()
        };
        self.end(wire::terminal_headers(&terms, failure), Bytes::new())
            .await;
    }

    /// Takes the parts of a request. They start when the caller knows which instance took it.
    async fn receive(&mut self, accepted: &Accepted, mut upload: Upload) -> Result<Bytes, Error> {
        let size = accepted.announced().unwrap_or_default();
        let mut assembly = Assembly::new(size, self.options.bounds.body)?;
        let deadline = Instant::now() + accepted.time(&self.options);
        let terms = Terms {
            instance: Some(self.options.instance.to_string()),
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

    async fn end(&mut self, headers: Option<HeaderMap>, body: Bytes) {
        self.ended.store(true, Ordering::Release);
        self.publish(headers, body).await;
    }

    /// Sends a message to the caller. Says whether it could be sent.
    async fn publish(&self, headers: Option<HeaderMap>, body: Bytes) -> bool {
        let sent = self.line.send(self.message(headers, body)).await;
        if let Err(error) = &sent {
            tracing::warn!(server = %self.options.server, %error, "an answer could not be sent");
        }
        sent.is_ok()
    }

    fn message(&self, headers: Option<HeaderMap>, body: Bytes) -> OutboundMessage {
        OutboundMessage {
            subject: self.reply.clone(),
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
