//! Leaving a queue group without losing a call.
//!
//! The client library gives a subscription up at its next turn after it has told the broker so.
//! What the broker sends until it has read that is thrown away there: under load a call or two each
//! time, which nobody answers. So the broker is told a number instead: so many calls more, and then
//! none. Broker and library count the same calls, and the last of them ends the subscription on
//! both sides. Where hardly any come, a few places are left open for as long as this member stays:
//! whoever takes one is answered. Only a member that goes gives them up, and not before the broker
//! has answered once more: what it sent until then has come too.

use std::time::Duration;

use async_nats::Subscriber;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::{bus::link::Line, name::Identity};

/// How long the library may have no room for what it is told, and the broker take to answer.
const TELL_MAX: Duration = Duration::from_secs(1);
/// So long no call came: then hardly one is on its way.
const QUIET: Duration = Duration::from_millis(500);
/// How long the calls that were counted may take to come; then they are counted anew.
const ROUND_MAX: Duration = Duration::from_millis(1500);
/// So often. By then it is left, or so few come that hardly one is on its way.
const ROUNDS_MAX: u32 = 8;
/// Places that are left open, where hardly a call comes.
const PLACES: u64 = 4;
/// So many calls more are taken as come in this time; as many may be on their way.
const AHEAD: Duration = Duration::from_millis(500);
/// And so many times those that came while the broker answered once.
const AHEAD_FENCES: u64 = 4;
/// Calls that may be on their way at least, as long as nobody knows how fast they come.
const AHEAD_MIN: u64 = 64;
/// The span in which calls are counted, and the least that says something.
const SPAN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(10));

/// The calls that came by one subscription, and how fast they come.
#[derive(Debug)]
pub(super) struct Pace {
    /// All of them, on this connection.
    came: u64,
    last: Option<Instant>,
    /// When the span of now began, and what came in it and in the one before.
    span: (Instant, u64, u64),
    /// What came while the broker answered last.
    in_fence: u64,
    /// Cancelled when the connection goes; with the next one the broker counts anew.
    life: CancellationToken,
}

/// Which way a queue group is being left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It is not.
    No,
    /// The broker was told how many calls more are taken.
    Counted {
        /// Until when they may come.
        until: Instant,
        /// How often they were counted before.
        rounds: u32,
    },
    /// A few places are left open, for as long as it takes.
    Open,
    /// It was given up; what had come before is still there.
    GivenUp,
}

impl Pace {
    pub(super) fn new(life: CancellationToken) -> Self {
        Self {
            came: 0,
            last: None,
            span: (Instant::now(), 0, 0),
            in_fence: 0,
            life,
        }
    }

    /// So many calls came.
    pub(super) fn count(&mut self, calls: usize) {
        if calls == 0 {
            return;
        }
        let calls = calls as u64;
        let now = Instant::now();
        let (began, in_this, before) = self.span;
        let spans = now.duration_since(began).as_millis() / SPAN.0.as_millis();
        self.span = match spans {
            0 => (began, in_this + calls, before),
            1 => (began + SPAN.0, calls, in_this),
            _ => (now, calls, 0),
        };
        self.came += calls;
        self.last = Some(now);
    }

    /// How many calls come in so long.
    fn expected(&self, within: Duration) -> u64 {
        let (began, in_this, before) = self.span;
        let counted = began.elapsed() + if before > 0 { SPAN.0 } else { Duration::ZERO };
        let counted = counted.max(SPAN.1).as_micros();
        let calls = u128::from(in_this + before) * within.as_micros() / counted;
        u64::try_from(calls).unwrap_or(u64::MAX)
    }

    /// All calls that came.
    pub(super) fn came(&self) -> u64 {
        self.came
    }

    /// While the broker answered, all those came that are not in `before`.
    pub(super) fn fenced(&mut self, before: u64) {
        self.in_fence = self.came - before;
    }

    /// Whether a call came just now.
    fn is_recent(&self) -> bool {
        self.last.is_some_and(|last| last.elapsed() < QUIET)
    }

    /// Whether the broker is to be asked first what is on its way: nothing came for a while, or
    /// not what was expected.
    pub(super) fn needs_fence(&self, before: Leaving) -> bool {
        before != Leaving::No || !self.is_recent()
    }

    /// After how many calls in all this subscription is to end; nothing where none is on its way,
    /// or where the broker counts others than we do.
    fn end(&self, rounds: u32) -> Option<u64> {
        let least = if rounds == 0 { AHEAD_MIN } else { 4 };
        let ahead = self.expected(AHEAD).max(least);
        let ahead = ahead.max(self.in_fence * AHEAD_FENCES);
        let counts = self.is_recent() && rounds < ROUNDS_MAX && !self.life.is_cancelled();
        counts.then(|| self.came + ahead)
    }

    /// Begins to leave, or goes on with it where the calls that were counted did not come. Who
    /// `stays` on the connection leaves places open in place of giving up.
    pub(super) async fn leave(
        &self,
        subscriber: &mut Subscriber,
        before: Leaving,
        stays: bool,
    ) -> Leaving {
        let rounds = match before {
            Leaving::Counted { rounds, .. } => rounds + 1,
            Leaving::Open => ROUNDS_MAX,
            Leaving::No | Leaving::GivenUp => 0,
        };
        let until = Instant::now() + ROUND_MAX;
        let (end, leaving) = match self.end(rounds) {
            Some(end) => (end, Leaving::Counted { until, rounds }),
            None if stays && !self.life.is_cancelled() => {
                let places = PLACES.max(self.in_fence * AHEAD_FENCES);
                (self.came + places, Leaving::Open)
            }
            None => return give_up(subscriber).await,
        };
        let told = timeout(TELL_MAX, subscriber.unsubscribe_after(end));
        if matches!(told.await, Ok(Ok(()))) {
            leaving
        } else {
            give_up(subscriber).await
        }
    }

    /// When the calls that were to come are not waited for any more.
    pub(super) fn patience(&self, leaving: Leaving) -> Option<Instant> {
        let Leaving::Counted { until, .. } = leaving else {
            return None;
        };
        let quiet = self.last.map_or(until, |last| last + QUIET);
        Some(until.min(quiet))
    }
}

/// Waits for one answer of the broker: by then all has come that it sent us before. Without an
/// answer there is nothing to learn, and leaving goes on.
pub(super) async fn fence(line: &Line, who: &Identity) {
    if !matches!(timeout(TELL_MAX, line.probe(who)).await, Ok(Ok(()))) {
        tracing::debug!("the broker did not say what is on its way");
    }
}

/// Gives the subscription up; what has come stays.
pub(super) async fn give_up(subscriber: &mut Subscriber) -> Leaving {
    if !matches!(timeout(TELL_MAX, subscriber.drain()).await, Ok(Ok(()))) {
        tracing::debug!("the queue group could not be left in order");
    }
    Leaving::GivenUp
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_many_are_waited_for_as_come_in_half_a_second() {
        let mut pace = Pace::new(CancellationToken::new());
        assert_eq!(pace.end(0), None, "nothing ever came");
        pace.count(32);
        assert_eq!(pace.end(0), Some(32 + 1600), "as if it went on so");
        for _ in 0..30 {
            advance(Duration::from_millis(100)).await;
            pace.count(100);
        }
        let ahead = |pace: &Pace, rounds| pace.end(rounds).expect("calls come") - pace.came;
        assert!((450..=600).contains(&ahead(&pace, 0)));
        for _ in 0..3 {
            advance(Duration::from_millis(400)).await;
            pace.count(1);
        }
        advance(Duration::from_secs(2)).await;
        pace.count(1);
        advance(Duration::from_millis(400)).await;
        assert_eq!((ahead(&pace, 0), ahead(&pace, 1)), (AHEAD_MIN, 4));
        assert_eq!(pace.end(ROUNDS_MAX), None);
        advance(QUIET).await;
        assert_eq!(pace.end(0), None, "none is on its way");
        let before = pace.came();
        pace.count(20);
        pace.fenced(before);
        assert_eq!(ahead(&pace, 1), 80, "while the broker answered 20 came");
        pace.life.cancel();
        assert_eq!(pace.end(0), None, "the broker began to count anew");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_with_the_calls() {
        let mut pace = Pace::new(CancellationToken::new());
        pace.count(1);
        let now = Instant::now();
        let until = now + ROUND_MAX;
        let leaving = Leaving::Counted { until, rounds: 0 };
        assert_eq!(pace.patience(leaving), Some(now + QUIET));
        advance(ROUND_MAX - Duration::from_millis(100)).await;
        pace.count(1);
        assert_eq!(pace.patience(leaving), Some(until));
        assert_eq!(pace.patience(Leaving::GivenUp), None);
    }
}
