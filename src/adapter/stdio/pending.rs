//! What waits for an answer of the process: calls, and what the adapter itself asks.

use std::collections::HashMap;

use tokio::{sync::oneshot, time::Instant};

use super::inbox::{Answered, Asked, end};
use crate::{adapter::progress::Ear, error::Error};

/// A call that the process works on.
#[derive(Debug)]
pub(super) struct Running {
    reply: oneshot::Sender<Result<Answered, Error>>,
    ear: Option<Ear>,
    /// Its line in the writer's queue.
    pub(super) line: u64,
}

/// All calls that the process works on, by the id that they have there.
#[derive(Debug, Default)]
pub(super) struct Pending {
    calls: HashMap<u64, Running>,
}

impl Running {
    /// Ends the call: what was held back is told first.
    pub(super) fn end(mut self, outcome: Result<Answered, Error>) {
        if let Some(ear) = &mut self.ear {
            ear.flush();
        }
        end(self.reply, outcome);
    }
}

impl Pending {
    pub(super) fn add(&mut self, asked: Asked, line: u64) {
        let running = Running {
            ear: Ear::of(&asked.request, asked.notify),
            reply: asked.reply,
            line,
        };
        self.calls.insert(asked.id, running);
    }

    pub(super) fn take(&mut self, id: u64) -> Option<Running> {
        self.calls.remove(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Running> {
        std::mem::take(&mut self.calls).into_values()
    }

    /// Who hears the progress of a call.
    pub(super) fn ear(&mut self, id: u64) -> Option<&mut Ear> {
        self.calls.get_mut(&id)?.ear.as_mut()
    }

    /// Who hears a log message, which does not say what call it belongs to: the one call that
    /// asked for any, where it alone can be meant. An older server logs without being asked, so
    /// there it must be the only call at all.
    pub(super) fn log_ear(&mut self, asks_count: bool) -> Option<&mut Ear> {
        if !asks_count && self.calls.len() != 1 {
            return None;
        }
        let ears = self.calls.values_mut().filter_map(|call| call.ear.as_mut());
        let mut asked = ears.filter(|ear| ear.wants_log());
        let only = asked.next()?;
        asked.next().is_none().then_some(only)
    }

    /// When something that was held back is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        let ears = self.calls.values().filter_map(|call| call.ear.as_ref());
        ears.filter_map(Ear::due).min()
    }

    /// Tells what is due.
    pub(super) fn flush(&mut self, now: Instant) {
        for ear in self.calls.values_mut().filter_map(|call| call.ear.as_mut()) {
            if ear.due().is_some_and(|due| due <= now) {
                ear.flush();
            }
        }
    }
}
