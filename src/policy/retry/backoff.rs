//! How often a call is made again, and after what waits.

use std::time::Duration;

use rand::Rng as _;

use crate::registry::Retry;

/// How often, and after what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Attempts after the first one, 0 to 10.
    pub max: u32,
    /// The wait before the first of them; doubled before each that follows.
    pub base: Duration,
}

/// Attempts after the first one, at most.
const MAX: u32 = 10;
/// The shortest wait before the first of them.
const BASE_MIN: Duration = Duration::from_millis(10);
/// The longest wait that is made of doubling.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Three more, after 1, 2 and 4 s.
impl Default for Options {
    fn default() -> Self {
        Self {
            max: 3,
            base: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// What the operator of a server says, within what anybody may.
    pub(super) fn told(said: Retry) -> Self {
        Self {
            max: said.max.min(MAX),
            base: Duration::from_millis(said.base_ms).clamp(BASE_MIN, WAIT_MAX),
        }
    }

    /// How long to wait after so many attempts, from 1, of which the last one said when to come
    /// back: equal jitter, half of the wait and up to as much again. The whole of it comes on top
    /// of what was asked for, so that those who were told the same do not come back together.
    pub(super) fn wait(self, made: u32, after: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(made.saturating_sub(1));
        let half = self.base.saturating_mul(doubled).min(WAIT_MAX) / 2;
        let jitter = rand::rng().random_range(Duration::ZERO..=half);
        match after {
            Some(after) if after > half => after + jitter,
            _ => half + jitter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_spread_over_their_second_half() {
        let options = Options::default();
        for (made, whole) in [(1, 1000), (2, 2000), (3, 4000), (40, 60_000)] {
            let waits: Vec<u128> = (0..200)
                .map(|_| options.wait(made, None).as_millis())
                .collect();
            assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)));
            let (least, most) = (waits.iter().min(), waits.iter().max());
            assert_ne!(least, most, "they come at different times");
        }
    }

    #[test]
    fn nobody_comes_back_before_he_may() {
        let options = Options::default();
        let after = Duration::from_secs(5);
        for _ in 0..200 {
            let wait = options.wait(1, Some(after));
            assert!((after..=after + Duration::from_millis(500)).contains(&wait));
            let sooner = options.wait(1, Some(Duration::from_millis(1)));
            assert!(sooner >= Duration::from_millis(500));
        }
    }
}
