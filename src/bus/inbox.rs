//! Where the answers of one connection's calls wait: our own multiplexer.
//!
//! The library's leaks an entry per timed-out request and knows one answer only. Ours has one
//! wildcard subscription; its reader never waits. The map is behind a lock that is held for one
//! look-up: an owner task would cost every call a hop more.

use std::{
    collections::{VecDeque, hash_map},
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use async_nats::{Message, StatusCode, Subject};
use foldhash::HashMap;

use super::wire;
use crate::{
    error::{Error, Kind},
    name::{CallId, header::Frame, subject::PROBE},
};

/// Calls under way on one connection.
pub(super) const CALLS_MAX: usize = 8192;
/// Frames of one call that wait for a slow reader: notifications, and as many of all else.
const FRAMES_MAX: usize = 64;
/// Bytes of one call's frames that wait: of notifications, and as many of all else.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// The calls of one connection that wait for an answer.
#[derive(Debug, Default)]
pub(super) struct Pending {
    calls: Mutex<HashMap<CallId, Arc<Inbox>>>,
}

/// What a call waits for.
#[derive(Debug)]
pub(super) enum Heard {
    /// A frame before the end.
    Frame(Frame, Message),
    /// The end.
    Terminal(Message),
    /// Nobody listens on the call's subject.
    NoResponders,
    /// The broker does not let us publish there.
    Denied,
    /// The connection went.
    Lost,
}

/// Where one call's answers wait.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The subject that the call was published to.
    subject: Subject,
    /// The subject that its answers come to.
    reply: Subject,
    /// Whether what a stream stored is the answer.
    of_stream: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<(Frame, Message)>,
    /// Notifications that wait. What finds no room is a gap in their numbers: the reader tells it.
    told: Load,
    /// Parts and the like that wait, counted apart: a flood of notifications costs no part.
    carried: Load,
    /// In a slot of its own: a full queue of frames never costs the answer.
    end: Option<Heard>,
    /// Whether the end came: what comes behind it is no part of the answer.
    ended: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Load {
    frames: usize,
    bytes: usize,
}

impl Pending {
    /// A place for a call's answers; it is gone when the ticket is.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where [`CALLS_MAX`] wait, `INVALID_REQUEST` where this very call does.
    pub(super) fn open(
        self: &Arc<Self>,
        call: CallId,
        subject: Subject,
        reply: Subject,
    ) -> Result<Ticket, Error> {
        self.place((call, subject, reply), false, CALLS_MAX)
    }

    /// A place for a message that a stream stored: who asked for one hears nothing else.
    ///
    /// # Errors
    /// As [`Pending::open`].
    pub(super) fn open_of_stream(
        self: &Arc<Self>,
        call: CallId,
        subject: Subject,
        reply: Subject,
    ) -> Result<Ticket, Error> {
        self.place((call, subject, reply), true, CALLS_MAX)
    }

    /// A place for a probe: there is always one, or a busy connection would pass for a dead one.
    pub(super) fn open_probe(
        self: &Arc<Self>,
        call: CallId,
        subject: Subject,
        reply: Subject,
    ) -> Result<Ticket, Error> {
        self.place((call, subject, reply), false, usize::MAX)
    }

    fn place(
        self: &Arc<Self>,
        (call, subject, reply): (CallId, Subject, Subject),
        of_stream: bool,
        limit: usize,
    ) -> Result<Ticket, Error> {
        let inbox = Arc::new(Inbox {
            subject,
            reply,
            of_stream,
            state: Mutex::default(),
        });
        let mut calls = guard(&self.calls);
        if calls.len() >= limit {
            return Err(Error::new(
                Kind::ServerOverloaded,
                format!("{limit} calls are under way on this connection; that is the limit"),
            ));
        }
        match calls.entry(call) {
            hash_map::Entry::Vacant(place) => place.insert(Arc::clone(&inbox)),
            hash_map::Entry::Occupied(_) => {
                return Err(Error::new(
                    Kind::InvalidRequest,
                    format!("the call {call} is under way: another one needs an id of its own"),
                ));
            }
        };
        Ok(Ticket {
            pending: Arc::clone(self),
            call,
            inbox,
        })
    }

    /// Takes a message to the call that it answers. Says whether there was one.
    pub(super) fn deliver(&self, message: Message) -> bool {
        let Some(call) = call_of(&message.subject) else {
            return false;
        };
        let Some(inbox) = guard(&self.calls).get(&call).cloned() else {
            return false;
        };
        // Somebody else's words under our subject (`Nats-Stream`: a stream repeats them) are no
        // answer, and an answer to another server's subject is none to this call.
        let of_stream = wire::header(&message, &wire::STREAM).is_some();
        if inbox.reply != message.subject || (of_stream && !inbox.of_stream) {
            return false;
        }
        inbox.put(message);
        true
    }

    /// Tells the calls on a subject that the broker denies it.
    pub(super) fn deny(&self, subject: &str) {
        self.end_where(|inbox| *inbox.subject == *subject, || Heard::Denied);
    }

    /// Tells all calls that the connection went.
    pub(super) fn lose(&self) {
        self.end_where(|_| true, || Heard::Lost);
    }

    /// Tells these calls that nobody listens: the broker says it of the message that they were in, to
    /// one of them.
    pub(super) fn absent(&self, calls: &[CallId]) {
        for call in calls {
            let inbox = guard(&self.calls).get(call).cloned();
            if let Some(inbox) = inbox {
                inbox.end(Heard::NoResponders);
            }
        }
    }

    fn end_where(&self, which: impl Fn(&Inbox) -> bool, how: impl Fn() -> Heard) {
        let ended: Vec<_> = guard(&self.calls)
            .values()
            .filter(|inbox| which(inbox))
            .cloned()
            .collect();
        for inbox in ended {
            inbox.end(how());
        }
    }

    /// How many calls wait; a probe is none.
    pub(super) fn len(&self) -> usize {
        let is_call = |inbox: &&Arc<Inbox>| !inbox.subject.starts_with(PROBE);
        guard(&self.calls).values().filter(is_call).count()
    }
}

impl Inbox {
    fn put(&self, message: Message) {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return self.end(Heard::NoResponders);
        }
        let Some(frame) = wire::header(&message, &wire::FRAME) else {
            return self.end(Heard::Terminal(message));
        };
        // A frame of a kind that this build does not know is passed over.
        let Some(frame) = Frame::parse(frame) else {
            return;
        };
        let mut state = guard(&self.state);
        if !state.ended && state.load(frame).take(message.payload.len()) {
            state.frames.push_back((frame, message));
            wake(state);
        }
    }

    fn end(&self, how: Heard) {
        let mut state = guard(&self.state);
        if !std::mem::replace(&mut state.ended, true) {
            state.end = Some(how);
            wake(state);
        }
    }
}

impl State {
    fn load(&mut self, frame: Frame) -> &mut Load {
        match frame {
            Frame::Message(_) => &mut self.told,
            Frame::Part(_) | Frame::Got(_) | Frame::Ack | Frame::KeepAlive => &mut self.carried,
        }
    }
}

impl Load {
    /// Takes one more, where there is room.
    fn take(&mut self, bytes: usize) -> bool {
        let room = self.frames < FRAMES_MAX && self.bytes + bytes <= FRAME_BYTES_MAX;
        if room {
            self.frames += 1;
            self.bytes += bytes;
        }
        room
    }

    fn give(&mut self, bytes: usize) {
        self.frames -= 1;
        self.bytes -= bytes;
    }
}

/// A call's place among the pending ones; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Ticket {
    pending: Arc<Pending>,
    call: CallId,
    inbox: Arc<Inbox>,
}

impl Ticket {
    /// What comes next.
    pub(super) async fn next(&self) -> Heard {
        poll_fn(|context| {
            let mut state = guard(&self.inbox.state);
            if let Some((frame, message)) = state.frames.pop_front() {
                state.load(frame).give(message.payload.len());
                return Poll::Ready(Heard::Frame(frame, message));
            }
            if let Some(end) = state.end.take() {
                return Poll::Ready(end);
            }
            match &mut state.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }

    /// Gives the end back, which came while something else was waited for.
    pub(super) fn put_back(&self, end: Heard) {
        guard(&self.inbox.state).end = Some(end);
    }

    /// The subject that the call was published to.
    pub(super) fn subject(&self) -> &Subject {
        &self.inbox.subject
    }

    /// The subject that its answers come to.
    pub(super) fn reply(&self) -> &Subject {
        &self.inbox.reply
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        guard(&self.pending.calls).remove(&self.call);
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn call_of(subject: &str) -> Option<CallId> {
    CallId::parse(subject.rsplit_once('.')?.1)
}

/// A lock whose holder panicked holds what it held: every change here is one step.
fn guard<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
