//! When a server that went away is tried again.

use std::time::Duration;

/// When a server that ended, or can't be reached, is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure; doubled with each that follows.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
    /// A server that was up for so long begins with `first` again.
    pub reset: Duration,
    /// The wait where waiting does not help: somebody has to install a program, or to set a
    /// credential, first.
    pub missing: Duration,
}

/// 100 ms, doubled up to 30 s; anew after a minute; 30 s for a program that is not there.
impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(30),
            reset: Duration::from_secs(60),
            missing: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// How long to wait after so many failures in a row, from 1.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let waits: Vec<u128> = [1, 2, 3, 9, 10, 1000, u32::MAX]
            .map(|failures| backoff.after(failures).as_millis())
            .into();
        assert_eq!(waits, [100, 200, 400, 25_600, 30_000, 30_000, 30_000]);
    }
}
