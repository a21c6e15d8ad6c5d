//! The calls under way of one server on one connection.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Message, Subject, message::OutboundMessage};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Reach, ServeOptions, Side, TICK,
    accept::{self, Accepted},
    answer::{Answering, Upload},
};
use crate::{
    bus::{
        link::Line,
        parts::{self, Window},
        wire,
    },
    call::SharedService,
    error::{Error, Kind, Origin, Started, case},
    name::{
        CallId, header,
        header::{Frame, Terms},
        subject,
    },
};

/// A call under way says that it lives after so long a silence.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Refusals on their way out; what comes beyond them is dropped unanswered.
const REFUSALS_MAX: usize = 1024;

/// The calls under way. Owned by the serving task.
pub(super) struct Desk {
    options: ServeOptions,
    line: Arc<Line>,
    service: SharedService,
    /// Calls, which say that they ended, and refusals, which are none.
    running: FuturesUnordered<BoxFuture<'static, Option<CallId>>>,
    calls: HashMap<CallId, Entry>,
    bytes: usize,
}

/// What is known of one call under way.
struct Entry {
    caller: String,
    reply: Subject,
    bytes: usize,
    abort: AbortHandle,
    /// How far the caller got with the parts of the answer.
    window: Arc<Window>,
    /// Where the parts of a large request go.
    upload: Option<mpsc::Sender<(u32, Message)>>,
    /// Whether an end is on its way: then nothing else may follow it.
    ended: Arc<AtomicBool>,
    began: Instant,
    told: Option<Instant>,
}

impl Desk {
    pub(super) fn new(options: &ServeOptions, line: Arc<Line>, service: SharedService) -> Self {
        Self {
            options: options.clone(),
            line,
            service,
            running: FuturesUnordered::new(),
            calls: HashMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// Drives the calls until one has ended.
    pub(super) async fn answered(&mut self) {
        if let Some(Some(call)) = self.running.next().await
            && let Some(entry) = self.calls.remove(&call)
        {
            self.bytes -= entry.bytes;
        }
    }

    /// Takes one message of the queue group.
    pub(super) fn take(&mut self, message: Message) {
        let Some(accepted) = accept::read(&self.options, &message) else {
            // Nobody may be told: the reply subject is not one that a caller may name.
            tracing::debug!(server = %self.options.server, "a request without a proper reply subject is dropped");
            return;
        };
        let size = accepted.size();
        let Err(error) = self.room_for(&accepted, size) else {
            return self.start(accepted, message, size);
        };
        if self.running.len() >= self.calls.len() + REFUSALS_MAX {
            tracing::debug!(server = %self.options.server, "too many refusals wait; a call is dropped");
            return;
        }
        let answering = Answering::new(&self.options, &self.line, &accepted);
        self.running
            .push(answering.refuse(error).map(|()| None).boxed());
    }

    fn room_for(&self, accepted: &Accepted, size: usize) -> Result<(), Error> {
        let limits = self.options.limits;
        let largest = match self.options.reach {
            Reach::Imported if accepted.is_large() => self.line.client.max_payload(),
            _ => self.options.bounds.body,
        };
        if size > largest {
            return Err(Error::new(
                Kind::InvalidRequest,
                format!(
                    "the request has {size} bytes; `{}` takes at most {largest}",
                    self.options.server
                ),
            )
            .case(case::REQUEST_TOO_LARGE)
            .with("limitBytes", largest));
        }
        if self.calls.contains_key(&accepted.id) {
            return Err(Error::new(
                Kind::InvalidRequest,
                "a call with this id is under way",
            ));
        }
        if self.calls.len() >= limits.calls || self.bytes + size > limits.bytes {
            return Err(Error::new(
                Kind::ServerOverloaded,
                format!(
                    "`{}` has {} calls under way ({} bytes of them); it takes {} ({} bytes)",
                    self.options.server,
                    self.calls.len(),
                    self.bytes,
                    limits.calls,
                    limits.bytes
                ),
            )
            .retry_after(Duration::from_millis(250)));
        }
        Ok(())
    }

    fn start(&mut self, accepted: Accepted, message: Message, size: usize) {
        let id = accepted.id;
        let answering = Answering::new(&self.options, &self.line, &accepted);
        let (upload, parts) = if accepted.is_large() {
            let (to, from) = mpsc::channel(parts::WINDOW as usize * 2);
            (Some(to), Some(Upload(from)))
        } else {
            (None, None)
        };
        let (abort, registration) = AbortHandle::new_pair();
        let entry = Entry {
            caller: accepted.caller.to_string(),
            reply: accepted.reply.clone(),
            bytes: size,
            abort,
            window: answering.window(),
            upload,
            ended: answering.ended(),
            began: Instant::now(),
            // Who sends parts is told at once where to.
            told: accepted.is_large().then(Instant::now),
        };
        let service = self.service.clone();
        let work = answering.run(accepted, message.payload, parts, service);
        let work = Abortable::new(Box::pin(work), registration);
        self.running.push(work.map(move |_| Some(id)).boxed());
        self.calls.insert(id, entry);
        self.bytes += size;
    }

    /// Takes a message to this instance, or a cancel.
    pub(super) fn aside(&mut self, side: Side) {
        match side {
            Side::Cancel(message) => self.cancel(&message),
            Side::Message(message) => self.message(message),
        }
    }

    /// Ends a call, but only its own caller's.
    fn cancel(&mut self, message: &Message) {
        let caller = subject::cancel_caller(&message.subject);
        let call = std::str::from_utf8(&message.payload)
            .ok()
            .and_then(CallId::parse);
        if wire::header(message, header::STREAM).is_some() {
            return;
        }
        if let (Some(caller), Some(call)) = (caller, call)
            && let Some(entry) = self.calls.get(&call)
            && entry.caller == caller
        {
            // Its future is dropped when it is driven next: that is what cancels it.
            entry.abort.abort();
        }
    }

    /// A part, an acknowledgement, or a call to this instance alone.
    fn message(&mut self, message: Message) {
        let frame = wire::header(&message, header::FRAME).map(Frame::parse);
        let Some(frame) = frame else {
            return self.take(message);
        };
        let Some(entry) = self.entry_of(&message) else {
            return;
        };
        match frame {
            Some(Frame::Got(n)) => entry.window.acknowledge(n),
            Some(Frame::Part(n)) => {
                if let Some(upload) = &entry.upload {
                    // More than the window under way: the reader of the parts sees the gap.
                    if upload.try_send((n, message)).is_err() {
                        tracing::debug!("a part over the window is dropped");
                    }
                }
            }
            _ => {}
        }
    }

    /// The call that a message to this instance belongs to: same caller, same reply subject.
    fn entry_of(&self, message: &Message) -> Option<&Entry> {
        let reply = message.reply.as_ref()?;
        let call = subject::ReplyTo::parse(reply)?.call;
        let caller = subject::Operation::parse(&message.subject)?.caller;
        self.calls
            .get(&call)
            .filter(|entry| entry.reply == *reply && entry.caller == caller)
    }

    /// Tells long calls' callers that they were accepted and live.
    pub(super) fn tick(&mut self) {
        if self.options.reach == Reach::Imported {
            return;
        }
        let now = Instant::now();
        let terms = Terms {
            instance: Some(self.options.instance.to_string()),
            ..Terms::default()
        };
        for entry in self.calls.values_mut() {
            let Some(frame) = due(entry.began, entry.told, now) else {
                continue;
            };
            if entry.ended.load(Ordering::Acquire) {
                continue;
            }
            let message = OutboundMessage {
                subject: entry.reply.clone(),
                reply: None,
                headers: Some(wire::frame_headers(frame, &terms)),
                payload: bytes::Bytes::new(),
            };
            // No room at once: the next tick tries again.
            if self.line.send_now(message) {
                entry.told = Some(now);
            }
        }
    }

    /// Drops all calls. Says where those that had no answer yet wait for one.
    pub(super) fn abandon(&mut self) -> Vec<Subject> {
        self.running.clear();
        self.bytes = 0;
        let calls = std::mem::take(&mut self.calls).into_values();
        calls
            .filter(|entry| !entry.ended.load(Ordering::Acquire))
            .map(|entry| entry.reply)
            .collect()
    }

    /// Ends what is still under way, with an answer.
    pub(super) async fn refuse_the_rest(&mut self) {
        let error = Error::new(
            Kind::ServerOverloaded,
            format!("`{}` is being stopped", self.options.server),
        )
        .origin(Origin::Adapter)
        .started(Started::Maybe);
        let rest = self.abandon();
        let line = Arc::clone(&self.line);
        last_words(&line, rest, &error).await;
    }

    /// Waits until what was said has left.
    pub(super) async fn flush(&mut self) {
        let flush = tokio::time::timeout(Duration::from_millis(500), self.line.client.flush());
        if !matches!(flush.await, Ok(Ok(()))) {
            tracing::debug!("the last answers may not have left");
        }
    }
}

/// What a caller is to be told now of a call that began then, and was last told of then.
fn due(began: Instant, told: Option<Instant>, now: Instant) -> Option<Frame> {
    match told {
        None => (now.duration_since(began) >= TICK).then_some(Frame::Ack),
        Some(told) => (now.duration_since(told) >= KEEP_ALIVE_EVERY).then_some(Frame::KeepAlive),
    }
}

/// The answer to calls whose futures were dropped.
pub(super) async fn last_words(line: &Line, replies: Vec<Subject>, error: &Error) {
    let code = (error.kind().code(), error.message());
    let headers = wire::terminal_headers(&Terms::default(), Some(code));
    let payload = wire::error_body(None, error);
    for subject in replies {
        let message = OutboundMessage {
            subject,
            reply: None,
            headers: headers.clone(),
            payload: payload.clone(),
        };
        // One that waited two seconds for room is the last: the broker takes nothing.
        if let Err(error) = line.send(message).await {
            tracing::debug!(%error, "last words could not be sent");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_call_is_accepted_once_and_lives_every_15_s() {
        let began = Instant::now();
        let after = |ms| began + Duration::from_millis(ms);
        assert_eq!(due(began, None, after(49)), None);
        assert_eq!(due(began, None, after(50)), Some(Frame::Ack));
        let told = Some(after(50));
        assert_eq!(due(began, told, after(100)), None);
        assert_eq!(due(began, told, after(15_049)), None);
        assert_eq!(due(began, told, after(15_050)), Some(Frame::KeepAlive));
        let told = Some(after(15_050));
        assert_eq!(due(began, told, after(30_049)), None);
        assert_eq!(due(began, told, after(30_050)), Some(Frame::KeepAlive));
    }
}
