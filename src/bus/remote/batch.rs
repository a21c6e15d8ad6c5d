//! Calls that go out together: of one caller, to one tool, with one token.
//!
//! A call that finds none like it under way goes at once, alone. Those that come while one is under
//! way gather, and go in one message when they are enough, when the first of them has waited for the
//! window, or when none is under way any more. Only where it is asked for: a slow tool would have its
//! callers wait for nothing.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::Subject;
use bytes::{BufMut as _, Bytes, BytesMut};
use foldhash::HashMap;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    call::{Call, context::Correlation},
    name::{CallId, Connection, ServerName, header::BATCH_MAX},
};

/// Bytes of the requests in one message: far below what any broker takes.
const BYTES_MAX: usize = 256 * 1024;

/// How calls to a server gather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Calls that go in one message at most, 2 to [`BATCH_MAX`].
    pub max: usize,
    /// How long one waits for others at most.
    pub window: Duration,
}

/// The calls that gather, of all servers. A cheap handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Batches(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is a rule at all: a look without a lock.
    some: AtomicBool,
    rules: RwLock<HashMap<ServerName, Batching>>,
    groups: Mutex<HashMap<Key, Group>>,
}

/// What calls of one message have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Caller, server, method and name are in it.
    to: Box<str>,
    connection: Connection,
    /// The token, or its reference.
    token: Option<Arc<str>>,
    correlation: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Group {
    /// Calls that were sent, or that somebody is about to send.
    under_way: usize,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    item: Item,
    told: oneshot::Sender<Turn>,
}

/// A call in a message.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) call: CallId,
    pub(super) body: Bytes,
    pub(super) deadline: Instant,
}

/// What one that waits hears. Nothing, where who was to send it left: then it goes alone.
#[derive(Debug)]
enum Turn {
    Sent,
    Lead(Batch),
}

/// Calls that are to go in one message, and who waits for that.
#[derive(Debug, Default)]
pub(super) struct Batch {
    items: Vec<Item>,
    told: Vec<(CallId, oneshot::Sender<Turn>)>,
}

/// How a call goes.
#[derive(Debug)]
pub(super) enum Going {
    Alone,
    /// With others, in a message that it has to send.
    Leading(Batch),
    /// Another one has sent it.
    Sent,
}

/// A call's place in its group, until it has ended.
#[derive(Debug)]
pub(super) struct Seat {
    batches: Batches,
    key: Key,
    call: CallId,
    heard: Option<(oneshot::Receiver<Turn>, Instant)>,
    leads: Option<Batch>,
}

impl Batches {
    /// How calls to this server gather from now on; `None`: they do not.
    pub(super) fn set(&self, server: &ServerName, rule: Option<Batching>) {
        let mut rules = self.0.rules.write().unwrap_or_else(PoisonError::into_inner);
        match rule {
            Some(rule) => rules.insert(server.clone(), rule),
            None => rules.remove(server),
        };
        self.0.some.store(!rules.is_empty(), Ordering::Release);
    }

    /// How this call may go with others, where it may.
    pub(super) fn rule(&self, call: &Call) -> Option<Batching> {
        if !self.0.some.load(Ordering::Acquire) {
            return None;
        }
        let (context, size) = (&call.context, call.request.body().len());
        let plain = call.instance.is_none() && context.key.is_none() && context.attempt == 1;
        let rules = self.0.rules.read().unwrap_or_else(PoisonError::into_inner);
        let rule = *rules.get(&call.server)?;
        (plain && size < BYTES_MAX).then_some(Batching {
            max: rule.max.clamp(1, BATCH_MAX),
            ..rule
        })
    }

    /// A place in the group of calls like this one.
    pub(super) fn join(&self, key: Key, item: Item, rule: Batching) -> Seat {
        let mut groups = self.groups();
        let group = groups.entry(key.clone()).or_default();
        let mut seat = Seat {
            batches: self.clone(),
            key,
            call: item.call,
            heard: None,
            leads: None,
        };
        if group.under_way == 0 && group.waiting.is_empty() {
            group.under_way = 1;
            return seat;
        }
        let waits: usize = group.waiting.iter().map(|one| one.item.body.len()).sum();
        if waits + item.body.len() > BYTES_MAX {
            group.go();
        }
        let (told, heard) = oneshot::channel();
        let size = group.waiting.len() + 1;
        let until = Instant::now() + rule.window;
        if size >= rule.max {
            group.under_way += 1;
            let mut batch = group.take();
            batch.items.push(item);
            seat.leads = Some(batch);
        } else {
            group.waiting.push(Waiting { item, told });
            seat.heard = Some((heard, until));
        }
        seat
    }

    /// All of a group that wait, where this call is among them.
    fn take_with(&self, key: &Key, call: CallId) -> Option<Batch> {
        let mut groups = self.groups();
        let group = groups.get_mut(key)?;
        let own = |waiting: &Waiting| waiting.item.call == call;
        group.waiting.iter().any(own).then(|| group.take())
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Key, Group>> {
        let groups = self.0.groups.lock();
        groups.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    /// All that wait; whoever has them is to send them.
    fn take(&mut self) -> Batch {
        let mut batch = Batch::default();
        for waiting in self.waiting.drain(..) {
            self.under_way += 1;
            batch.told.push((waiting.item.call, waiting.told));
            batch.items.push(waiting.item);
        }
        batch
    }

    /// Has the first that still waits send them all.
    fn go(&mut self) {
        let mut batch = self.take();
        while !batch.told.is_empty() {
            let (_, first) = batch.told.remove(0);
            match first.send(Turn::Lead(batch)) {
                Ok(()) => return,
                // It left: its item stands at the same place.
                Err(Turn::Lead(rest)) => {
                    batch = rest;
                    batch.items.remove(0);
                }
                Err(Turn::Sent) => return,
            }
        }
    }
}

impl Seat {
    /// Waits until it is this call's turn to be sent, or until it was.
    pub(super) async fn go(&mut self) -> Going {
        if let Some(batch) = self.leads.take() {
            return Going::Leading(batch);
        }
        let Some((heard, until)) = &mut self.heard else {
            return Going::Alone;
        };
        if let Ok(told) = timeout_at(*until, &mut *heard).await {
            return Going::of(told);
        }
        if let Some(batch) = self.batches.take_with(&self.key, self.call) {
            return Going::Leading(batch);
        }
        // Somebody has them and sends them: that has its own time.
        Going::of(heard.await)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut groups = self.batches.groups();
        let Some(group) = groups.get_mut(&self.key) else {
            return;
        };
        let waiting = group.waiting.len();
        group.waiting.retain(|one| one.item.call != self.call);
        if group.waiting.len() == waiting {
            group.under_way = group.under_way.saturating_sub(1);
        }
        if group.under_way == 0 {
            group.go();
        }
        if group.under_way == 0 {
            groups.remove(&self.key);
        }
    }
}

impl Going {
    fn of(told: Result<Turn, oneshot::error::RecvError>) -> Self {
        match told {
            Ok(Turn::Sent) => Self::Sent,
            Ok(Turn::Lead(batch)) => Self::Leading(batch),
            Err(_) => Self::Alone,
        }
    }
}

impl Batch {
    /// Leaves out those that left meanwhile. Says whether more than this one remain.
    pub(super) fn settle(&mut self) -> bool {
        let told = std::mem::take(&mut self.told);
        let (left, stay) = told.into_iter().partition(|(_, told)| told.is_closed());
        self.told = stay;
        let left: Vec<_> = left;
        self.items
            .retain(|item| left.iter().all(|(call, _)| *call != item.call));
        self.items.len() > 1
    }

    /// The calls, each with what is left of its time.
    pub(super) fn calls(&self) -> Arc<[(CallId, Duration)]> {
        let now = Instant::now();
        let left = |item: &Item| item.deadline.saturating_duration_since(now);
        self.items
            .iter()
            .map(|item| (item.call, left(item)))
            .collect()
    }

    /// The array of their requests.
    pub(super) fn body(&self) -> Bytes {
        let size = self
            .items
            .iter()
            .map(|item| item.body.len() + 1)
            .sum::<usize>();
        let mut body = BytesMut::with_capacity(size + 1);
        for (at, item) in self.items.iter().enumerate() {
            body.put_u8(if at == 0 { b'[' } else { b',' });
            body.put_slice(&item.body);
        }
        body.put_u8(b']');
        body.freeze()
    }

    /// Tells those in it that they were sent. Says who of them left meanwhile, and who is there.
    pub(super) fn sent(self) -> (Vec<CallId>, Vec<CallId>) {
        let tell =
            |(call, told): (CallId, oneshot::Sender<Turn>)| (call, told.send(Turn::Sent).is_ok());
        let (there, gone): (Vec<_>, Vec<_>) =
            self.told.into_iter().map(tell).partition(|(_, is)| *is);
        let calls = |of: Vec<(CallId, bool)>| of.into_iter().map(|(call, _)| call).collect();
        (calls(gone), calls(there))
    }
}

impl Key {
    /// Of a call to this subject, which goes with this token, or reference of one.
    pub(super) fn new(
        to: &Subject,
        connection: &Connection,
        token: Option<Arc<str>>,
        call: &Call,
    ) -> Self {
        Self {
            to: to.as_str().into(),
            connection: connection.clone(),
            token,
            correlation: match &call.context.correlation {
                Correlation::Given(text) => Some(Arc::clone(text)),
                Correlation::Derived(_) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests;
