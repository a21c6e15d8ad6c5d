//! What is with handlers, and whether the broker still knows that it is.
//!
//! nats-server writes down a little later how far it has handed out. One that was killed in between
//! hands the rest out again, and takes no answer for what it does not know: it says nothing at all.
//! Such a claim is void, and its holder is told so instead of waiting.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a handler may work on one event; then the broker may hand it to another.
const WORK_MAX: Duration = Duration::from_secs(3600);

/// The claims of one subscription, by where each is answered.
#[derive(Debug, Default)]
pub(super) struct Held {
    claims: Mutex<HashMap<String, Holding>>,
}

#[derive(Debug)]
struct Holding {
    stream: String,
    sequence: u64,
    since: Instant,
    void: CancellationToken,
}

impl Held {
    /// Notes what was handed out. The token is cancelled when the claim is void.
    pub(super) fn take(&self, reply: &str, stream: &str, sequence: u64) -> CancellationToken {
        let void = CancellationToken::new();
        let holding = Holding {
            stream: stream.to_owned(),
            sequence,
            since: Instant::now(),
            void: void.clone(),
        };
        self.claims().insert(reply.to_owned(), holding);
        void
    }

    pub(super) fn drop(&self, reply: &str) {
        self.claims().remove(reply);
    }

    /// The broker has handed out no more of this stream than up to this number: what is behind it
    /// will come again.
    pub(super) fn void_behind(&self, stream: &str, delivered: u64) {
        for holding in self.claims().values() {
            if holding.stream == stream && holding.sequence > delivered {
                holding.void.cancel();
            }
        }
    }

    /// Where the broker is to be told that it is worked on.
    pub(super) fn at_work(&self) -> Vec<String> {
        let claims = self.claims();
        let at_work = |(reply, holding): (&String, &Holding)| {
            let known = !holding.void.is_cancelled() && holding.since.elapsed() < WORK_MAX;
            known.then(|| reply.clone())
        };
        claims.iter().filter_map(at_work).collect()
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<String, Holding>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_forgot_is_void() {
        let held = Held::default();
        let known = held.take("a", "WEFT_TASKS", 7);
        let forgotten = held.take("b", "WEFT_TASKS", 8);
        let other = held.take("c", "WEFT_SWARM", 8);
        held.void_behind("WEFT_TASKS", 7);
        assert!(!known.is_cancelled() && forgotten.is_cancelled() && !other.is_cancelled());
        let mut at_work = held.at_work();
        at_work.sort();
        assert_eq!(at_work, ["a", "c"]);
        held.drop("a");
        assert_eq!(held.at_work(), ["c"]);
    }
}
