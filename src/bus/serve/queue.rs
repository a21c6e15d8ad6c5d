//! The calls that wait for a place, and how fast they come to one.

use std::{collections::VecDeque, time::Duration};

use async_nats::Subject;
use foldhash::HashMap;
use tokio::time::Instant;

use super::{
    accept::Accepted,
    desk,
    line::{Left, Line},
};
use crate::name::{CallId, Identity, header::Frame};

/// The least that who is refused is asked to wait.
const AGAIN_MIN: Duration = Duration::from_millis(250);
/// The most.
const AGAIN_MAX: Duration = Duration::from_secs(5);
/// Ends of calls from which it is told how fast the line moves.
const ENDS: usize = 64;

/// The calls that wait.
#[derive(Default)]
pub(super) struct Queue {
    line: Line<Waiting>,
    places: HashMap<CallId, Left>,
    /// When the last calls ended.
    ends: VecDeque<Instant>,
}

/// A call that waits.
pub(super) struct Waiting {
    accepted: Accepted,
    size: usize,
    until: Instant,
    told: Option<Instant>,
}

impl Waiting {
    pub(super) const fn new(accepted: Accepted, size: usize, until: Instant) -> Self {
        Self {
            accepted,
            size,
            until,
            told: None,
        }
    }
}

impl Queue {
    pub(super) const fn calls(&self) -> usize {
        self.line.calls()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.line.bytes()
    }

    pub(super) fn has(&self, call: CallId) -> bool {
        self.places.contains_key(&call)
    }

    pub(super) fn join(&mut self, waiting: Waiting) {
        let (id, size) = (waiting.accepted.id, waiting.size);
        let caller = waiting.accepted.caller.clone();
        let left = self.line.join(&caller, size, waiting);
        self.places.insert(id, left);
    }

    /// How many bytes the request has whose turn it is.
    pub(super) fn next_bytes(&self) -> Option<usize> {
        self.line.first().map(|waiting| waiting.size)
    }

    /// Whoever's turn it is.
    pub(super) fn next(&mut self) -> Option<(Accepted, usize)> {
        let Waiting { accepted, size, .. } = self.line.next()?;
        self.places.remove(&accepted.id);
        Some((accepted, size))
    }

    /// Makes room for a caller, where somebody has more than he.
    pub(super) fn displace(&mut self, by: &Identity) -> Option<Accepted> {
        let gone = self.line.displace(by)?.accepted;
        self.places.remove(&gone.id);
        Some(gone)
    }

    /// A call is taken back by its caller.
    pub(super) fn leave(&mut self, call: CallId, caller: &str) {
        if self
            .places
            .get(&call)
            .is_some_and(|left| left.is_of(caller))
            && let Some(left) = self.places.remove(&call)
        {
            drop(self.line.leave(&left));
        }
    }

    /// Those whose time is over.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Accepted> {
        let late = self.line.iter().filter(|waiting| waiting.until <= now);
        let late: Vec<CallId> = late.map(|waiting| waiting.accepted.id).collect();
        let gone = late.into_iter().filter_map(|call| {
            let left = self.places.remove(&call)?;
            Some(self.line.leave(&left)?.accepted)
        });
        gone.collect()
    }

    /// Tells those that wait that they were heard; `tell` says whether that could be sent.
    pub(super) fn tell(&mut self, now: Instant, tell: impl Fn(&Subject, Frame) -> bool) {
        for waiting in self.line.iter_mut() {
            let due = desk::due(waiting.accepted.began, waiting.told, now);
            if due.is_some_and(|frame| tell(&waiting.accepted.reply, frame)) {
                waiting.told = Some(now);
            }
        }
    }

    /// Empties it. Says where they wait for an answer.
    pub(super) fn clear(&mut self) -> Vec<Subject> {
        self.places.clear();
        let line = std::mem::take(&mut self.line);
        line.into_iter()
            .map(|waiting| waiting.accepted.reply)
            .collect()
    }

    /// A call ended.
    pub(super) fn one_ended(&mut self) {
        if self.ends.len() == ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back(Instant::now());
    }

    /// When the line will have moved on, as fast as it moved lately.
    pub(super) fn moves_on(&self) -> Duration {
        let Some((first, last)) = self.ends.front().zip(self.ends.back()) else {
            return AGAIN_MIN;
        };
        let count = u32::try_from(self.ends.len()).unwrap_or(u32::MAX).max(1);
        let each = last.saturating_duration_since(*first) / count;
        let all = u32::try_from(self.line.calls()).unwrap_or(u32::MAX);
        each.saturating_mul(all).clamp(AGAIN_MIN, AGAIN_MAX)
    }
}
