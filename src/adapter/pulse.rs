//! Whether a server that seems to be up answers at all. One may take requests for ever and answer none,
//! and nobody would know until a call has run out of time.
//!
//! It is asked something small when it has answered nothing for a while. Any answer counts, an error
//! as well. Where it does not answer that, it is asked for its tools, which it has told before: some
//! servers pass over what they do not know. Only where nothing of ours runs on it does silence mean
//! that it hangs: one that works on a call may be busy.

use tokio::time::{Duration, Instant};

/// How often a server is asked whether it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    /// So long after its last answer.
    pub every: Duration,
    /// So long it may take to answer that.
    pub within: Duration,
}

/// After 15 s, and 5 s.
impl Default for Probing {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(15),
            within: Duration::from_secs(5),
        }
    }
}

/// So often in a row it may not answer while calls run before that is told.
const BUSY_MAX: u32 = 3;

/// How a server answers.
#[derive(Debug)]
pub(super) struct Pulse {
    probing: Probing,
    next: Instant,
    asked: Option<(u64, Instant)>,
    /// Questions in a row without an answer.
    missed: u32,
    /// Whether it answers the small question.
    is_small: bool,
}

/// What an unanswered question means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing yet.
    Nothing,
    /// It is busy, and has been for long.
    Busy,
    /// It hangs.
    Hangs,
}

impl Pulse {
    pub(super) fn new(probing: Probing, now: Instant) -> Self {
        Self {
            probing,
            next: now + probing.every,
            asked: None,
            missed: 0,
            is_small: true,
        }
    }

    /// When there is something to do next.
    pub(super) fn due(&self) -> Instant {
        self.asked
            .map_or(self.next, |(_, at)| at + self.probing.within)
    }

    /// Whether it is to be asked now.
    pub(super) fn asks_now(&self, now: Instant) -> bool {
        self.asked.is_none() && now >= self.next
    }

    /// Whether the small question is the one to ask.
    pub(super) const fn is_small(&self) -> bool {
        self.is_small
    }

    /// It was asked, under this id.
    pub(super) fn asked(&mut self, id: u64, now: Instant) {
        self.asked = Some((id, now));
    }

    /// Takes an answer, where it is to our question; says how long that took.
    pub(super) fn answered(&mut self, id: u64, now: Instant) -> Option<Duration> {
        let (_, at) = self.asked.take_if(|(asked, _)| *asked == id)?;
        self.lived(now);
        Some(now.saturating_duration_since(at))
    }

    /// It answered something else.
    pub(super) fn lived(&mut self, now: Instant) {
        self.missed = 0;
        self.next = now + self.probing.every;
    }

    /// What it means that it has not answered by now, where calls run on it or not; `None` where it
    /// still has time.
    pub(super) fn silence(&mut self, now: Instant, calls_run: bool) -> Option<Silence> {
        let (_, at) = self.asked?;
        if now < at + self.probing.within {
            return None;
        }
        self.asked = None;
        self.missed = self.missed.saturating_add(1);
        if calls_run {
            self.next = now + self.probing.every;
            let for_long = self.missed >= BUSY_MAX;
            return Some(if for_long {
                Silence::Busy
            } else {
                Silence::Nothing
            });
        }
        // At once, and in the other way.
        self.next = now;
        let both_ways = !std::mem::replace(&mut self.is_small, false);
        Some(if both_ways {
            Silence::Hangs
        } else {
            Silence::Nothing
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse() -> (Pulse, impl Fn(u64) -> Instant) {
        let began = Instant::now();
        let at = move |seconds| began + Duration::from_secs(seconds);
        (Pulse::new(Probing::default(), began), at)
    }

    #[test]
    fn who_answers_is_asked_now_and_then() {
        let (mut pulse, at) = pulse();
        assert!(!pulse.asks_now(at(14)) && pulse.asks_now(at(15)));
        pulse.asked(1, at(15));
        assert!(!pulse.asks_now(at(16)));
        assert_eq!(pulse.silence(at(19), false), None);
        assert_eq!(pulse.answered(2, at(17)), None);
        assert_eq!(pulse.answered(1, at(17)), Some(Duration::from_secs(2)));
        // Its answers to calls count as well.
        pulse.lived(at(30));
        assert!(!pulse.asks_now(at(44)) && pulse.asks_now(at(45)));
    }

    #[test]
    fn who_answers_in_no_way_hangs() {
        let (mut pulse, at) = pulse();
        pulse.asked(1, at(15));
        assert_eq!(pulse.silence(at(20), false), Some(Silence::Nothing));
        assert!(pulse.asks_now(at(20)) && !pulse.is_small());
        pulse.asked(2, at(20));
        assert_eq!(pulse.silence(at(25), false), Some(Silence::Hangs));
    }

    #[test]
    fn who_answers_in_one_way_lives() {
        let (mut pulse, at) = pulse();
        pulse.asked(1, at(15));
        assert_eq!(pulse.silence(at(20), false), Some(Silence::Nothing));
        pulse.asked(2, at(20));
        assert!(pulse.answered(2, at(21)).is_some());
        assert!(!pulse.is_small(), "and is asked in that one from then on");
        pulse.asked(3, at(36));
        assert_eq!(pulse.silence(at(41), false), Some(Silence::Hangs));
    }

    #[test]
    fn who_works_on_a_call_may_be_silent() {
        let (mut pulse, at) = pulse();
        for n in 0..2 {
            pulse.asked(n, at(20 * n));
            assert_eq!(pulse.silence(at(20 * n + 5), true), Some(Silence::Nothing));
        }
        pulse.asked(3, at(60));
        assert_eq!(pulse.silence(at(65), true), Some(Silence::Busy));
        assert_eq!(pulse.missed, 3);
        pulse.lived(at(66));
        assert_eq!(pulse.missed, 0);
    }
}
