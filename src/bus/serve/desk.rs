//! The calls under way of one server on one connection.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use async_nats::{Message, Subject, message::OutboundMessage};
use foldhash::HashMap;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Reach, ServeOptions, Side, TICK,
    accept::Accepted,
    answer::{Answering, UnderWay, Upload},
    queue::Queue,
};
use crate::{
    bus::{link::Line, parts, wire},
    call::SharedService,
    error::{Error, Kind, Origin, Started},
    name::{
        CallId, Identity,
        header::{Frame, Terms},
        subject,
    },
};

/// A call under way says that it lives after so long a silence.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Calls that end, or are taken, before the desk looks at anything else.
pub(super) const TURN_MAX: usize = 64;

/// The calls under way. Owned by the serving task.
pub(super) struct Desk {
    pub(super) options: Arc<ServeOptions>,
    pub(super) line: Arc<Line>,
    service: SharedService,
    pub(super) running: FuturesUnordered<Running>,
    pub(super) calls: HashMap<CallId, Entry>,
    /// Of the requests of those.
    pub(super) bytes: usize,
    /// Those that wait for a place.
    pub(super) queue: Queue,
}

/// What is known of one call under way.
pub(super) struct Entry {
    caller: Identity,
    bytes: usize,
    abort: AbortHandle,
    under_way: Arc<UnderWay>,
    /// Where the parts of a large request go.
    upload: Option<mpsc::Sender<(u32, Message)>>,
    began: Instant,
    told: Option<Instant>,
}

/// A call, which says that it ended, or a refusal, which is none.
pub(super) struct Running {
    call: Option<CallId>,
    work: Abortable<BoxFuture<'static, ()>>,
}

impl Future for Running {
    type Output = Option<CallId>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<CallId>> {
        // Ended, or aborted: it is over.
        self.work.poll_unpin(context).map(|_| self.call)
    }
}

impl Desk {
    pub(super) fn new(options: &ServeOptions, line: Arc<Line>, service: SharedService) -> Self {
        Self {
            options: Arc::new(options.clone()),
            line,
            service,
            running: FuturesUnordered::new(),
            calls: HashMap::default(),
            bytes: 0,
            queue: Queue::default(),
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// Drives the calls until some have ended.
    pub(super) async fn answered(&mut self) {
        poll_fn(|context| {
            let mut ended = 0;
            while ended < TURN_MAX
                && let Poll::Ready(Some(call)) = self.running.poll_next_unpin(context)
            {
                ended += 1;
                if let Some(entry) = call.and_then(|call| self.calls.remove(&call)) {
                    self.bytes -= entry.bytes;
                    self.queue.one_ended();
                }
            }
            if ended > 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        self.admit();
    }

    pub(super) fn answering(&self, under_way: Arc<UnderWay>) -> Answering {
        Answering::new(Arc::clone(&self.options), Arc::clone(&self.line), under_way)
    }

    pub(super) fn run(
        &mut self,
        call: Option<CallId>,
        work: BoxFuture<'static, ()>,
    ) -> AbortHandle {
        let (abort, registration) = AbortHandle::new_pair();
        let work = Abortable::new(work, registration);
        self.running.push(Running { call, work });
        abort
    }

    /// Begins a call; what ends at once needs no place.
    pub(super) fn start(&mut self, accepted: Accepted, size: usize) {
        let (id, caller, began) = (accepted.id, accepted.caller.clone(), accepted.began);
        let is_large = accepted.is_large();
        let under_way = UnderWay::new(accepted.reply.clone());
        let answering = self.answering(Arc::clone(&under_way));
        let mut upload = None;
        let mut work = if is_large {
            let (to, from) = mpsc::channel(parts::WINDOW as usize * 2);
            upload = Some(to);
            let service = self.service.clone();
            answering.receive(accepted, Upload(from), service).boxed()
        } else {
            match accepted.into_call(&self.options) {
                Ok(call) => answering.work(call, &mut self.service).boxed(),
                Err((id, error)) => answering.refuse(id, error).boxed(),
            }
        };
        // Many are answered at once: refusals, and what a server has in memory. They need no place.
        // All others are driven again when they have one.
        if (&mut work).now_or_never().is_some() {
            return;
        }
        let entry = Entry {
            caller,
            bytes: size,
            abort: self.run(Some(id), work),
            under_way,
            upload,
            began,
            // Who sends parts is told at once where to.
            told: is_large.then_some(began),
        };
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
        if wire::header(message, &wire::STREAM).is_some() {
            return;
        }
        let (Some(caller), Some(call)) = (caller, call) else {
            return;
        };
        match self.calls.get(&call) {
            // Its future is dropped when it is driven next: that is what cancels it.
            Some(entry) if entry.caller.as_str() == caller => entry.abort.abort(),
            Some(_) => {}
            None => {
                self.queue.leave(call, caller);
                self.tell_load();
            }
        }
    }

    /// A part, an acknowledgement, or a call to this instance alone.
    fn message(&mut self, message: Message) {
        let frame = wire::header(&message, &wire::FRAME).map(Frame::parse);
        let Some(frame) = frame else {
            return self.take(message);
        };
        let Some(entry) = self.entry_of(&message) else {
            return;
        };
        match frame {
            Some(Frame::Got(n)) => entry.under_way.window.acknowledge(n),
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
            .filter(|entry| entry.under_way.reply == *reply && entry.caller.as_str() == caller)
    }

    /// Tells long calls' callers that they were accepted and live, those included that wait.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        self.expire(now);
        if self.options.reach == Reach::Imported {
            return;
        }
        let terms = Terms {
            instance: Some(self.options.instance.as_str().into()),
            ..Terms::default()
        };
        for entry in self.calls.values_mut() {
            let Some(frame) = due(entry.began, entry.told, now) else {
                continue;
            };
            if entry.under_way.ended.load(Ordering::Acquire) {
                continue;
            }
            let message = OutboundMessage {
                subject: entry.under_way.reply.clone(),
                reply: None,
                headers: Some(wire::frame_headers(frame, &terms)),
                payload: bytes::Bytes::new(),
            };
            // No room at once: the next tick tries again.
            if self.line.send_now(message) {
                entry.told = Some(now);
            }
        }
        let (line, frame) = (&self.line, |frame| wire::frame_headers(frame, &terms));
        self.queue.tell(now, |reply, what| {
            line.send_now(OutboundMessage {
                subject: reply.clone(),
                reply: None,
                headers: Some(frame(what)),
                payload: bytes::Bytes::new(),
            })
        });
    }

    /// Drops all calls. Says where those that had no answer yet wait for one.
    pub(super) fn abandon(&mut self) -> Vec<Subject> {
        self.running.clear();
        self.bytes = 0;
        let calls = std::mem::take(&mut self.calls).into_values();
        let unanswered = calls
            .filter(|entry| !entry.under_way.ended.load(Ordering::Acquire))
            .map(|entry| entry.under_way.reply.clone());
        unanswered.chain(self.queue.clear()).collect()
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
pub(super) fn due(began: Instant, told: Option<Instant>, now: Instant) -> Option<Frame> {
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
