//! Who gets a place at the desk, who waits for one, and who is refused.
//!
//! A flood has to cost less than the work it asks for: whoever is refused is so before his token or his
//! body is looked at. The line goes by the caller in the subject, for whom the broker vouches.

use async_nats::Message;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::{
    Reach,
    accept::{self, Accepted},
    answer::UnderWay,
    desk::Desk,
    queue::Waiting,
};
use crate::error::{Error, Kind, case};

/// Refusals on their way out; what comes beyond them is dropped unanswered.
const REFUSALS_MAX: usize = 1024;

impl Desk {
    /// Takes one message of the queue group.
    pub(super) fn take(&mut self, message: Message) {
        let Some(accepted) = accept::read(&self.options, message) else {
            // Nobody may be told: the reply subject is not one that a caller may name.
            tracing::debug!(server = %self.options.server, "a request without a proper reply subject is dropped");
            return;
        };
        if accepted.is_batch() {
            for one in accepted.split(self.options.reach) {
                self.take_one(one);
            }
        } else {
            self.take_one(accepted);
        }
    }

    fn take_one(&mut self, accepted: Accepted) {
        let size = accepted.size();
        if let Err(error) = self.check(&accepted, size) {
            return self.refuse(accepted, error);
        }
        let limits = self.options.limits;
        if self.calls.len() < limits.calls && self.bytes + size <= limits.bytes {
            return self.start(accepted, size);
        }
        self.wait(accepted, size);
    }

    /// What no place would help.
    fn check(&self, accepted: &Accepted, size: usize) -> Result<(), Error> {
        let largest = match self.options.reach {
            Reach::Imported if accepted.is_large() => self.line.client.max_payload(),
            _ => self.options.bounds.body.min(self.options.limits.bytes),
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
        if self.calls.contains_key(&accepted.id) || self.queue.has(accepted.id) {
            return Err(Error::new(
                Kind::InvalidRequest,
                "a call with this id is under way",
            ));
        }
        Ok(())
    }

    /// Puts a call into the line, where there is room or room can be made.
    fn wait(&mut self, accepted: Accepted, size: usize) {
        let limits = self.options.limits;
        while self.queue.calls() >= limits.queue || self.queue.bytes() + size > limits.bytes {
            let Some(gone) = self.queue.displace(&accepted.caller) else {
                let error = self.full();
                return self.shed(accepted, error);
            };
            let said = "the call lost its place in the line to a caller who has fewer calls in it";
            let error = Error::new(Kind::ServerOverloaded, said).retry_after(self.queue.moves_on());
            self.shed(gone, error);
        }
        let until = accepted.began + accepted.time(&self.options);
        self.queue.join(Waiting::new(accepted, size, until));
        self.tell_load();
    }

    /// Says how much there is to do.
    pub(super) fn tell_load(&self) {
        self.options.load.set(self.calls.len(), self.queue.calls());
    }

    /// Begins those whose turn it is, while there are places.
    pub(super) fn admit(&mut self) {
        let limits = self.options.limits;
        while self.calls.len() < limits.calls
            && let Some(bytes) = self.queue.next_bytes()
            && (self.bytes + bytes <= limits.bytes || self.calls.is_empty())
            && let Some((accepted, size)) = self.queue.next()
        {
            self.start(accepted, size);
        }
        self.tell_load();
    }

    /// Ends the waiting of those whose time is over: they have not begun.
    pub(super) fn expire(&mut self, now: Instant) {
        for late in self.queue.expired(now) {
            let said = "the time was over before it was the call's turn: it was not begun";
            self.refuse(late, Error::new(Kind::Timeout, said));
        }
    }

    /// Refuses a call for the load.
    fn shed(&mut self, accepted: Accepted, error: Error) {
        let began = accepted.began;
        self.refuse(accepted, error);
        self.options.load.refused(began.elapsed());
    }

    fn refuse(&mut self, accepted: Accepted, error: Error) {
        if self.running.len() >= self.calls.len() + REFUSALS_MAX {
            tracing::debug!(server = %self.options.server, "too many refusals wait; a call is dropped");
            return;
        }
        let error = accepted.located(&self.options, error);
        let answering = self.answering(UnderWay::new(accepted.reply));
        let mut refusal = answering.refuse(None, error).boxed();
        // It is on its way at once, where the connection has room.
        if (&mut refusal).now_or_never().is_none() {
            self.run(None, refusal);
        }
    }

    fn full(&self) -> Error {
        let limits = self.options.limits;
        Error::new(
            Kind::ServerOverloaded,
            format!(
                "`{}` works on {} calls and {} wait, {} bytes of them; it takes {}, {} and {} bytes",
                self.options.server,
                self.calls.len(),
                self.queue.calls(),
                self.queue.bytes(),
                limits.calls,
                limits.queue,
                limits.bytes
            ),
        )
        .retry_after(self.queue.moves_on())
    }
}
