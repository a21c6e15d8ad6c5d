//! How many of the last calls failed: ten buckets of a second each.

use std::time::Duration;

const BUCKETS: usize = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Which second it is about.
    second: u64,
    calls: u32,
    failed: u32,
}

/// Calls of the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct Window([Bucket; BUCKETS]);

impl Window {
    pub(super) fn add(&mut self, now: Duration, failed: bool) {
        let second = now.as_secs();
        let bucket = &mut self.0[usize::try_from(second % BUCKETS as u64).unwrap_or_default()];
        if bucket.second != second {
            *bucket = Bucket {
                second,
                ..Bucket::default()
            };
        }
        bucket.calls = bucket.calls.saturating_add(1);
        bucket.failed = bucket.failed.saturating_add(u32::from(failed));
    }

    /// Whether there were so many calls, and this share of them failed.
    pub(super) fn is_over(&self, now: Duration, samples: u32, percent: u32) -> bool {
        let oldest = now.as_secs().saturating_sub(BUCKETS as u64 - 1);
        let lately = self.0.iter().filter(|bucket| bucket.second >= oldest);
        let (calls, failed) = lately.fold((0_u64, 0_u64), |(calls, failed), bucket| {
            (
                calls + u64::from(bucket.calls),
                failed + u64::from(bucket.failed),
            )
        });
        calls >= u64::from(samples) && failed * 100 >= calls * u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_ten_seconds_is_forgotten() {
        let at = Duration::from_secs;
        let mut window = Window::default();
        for _ in 0..10 {
            window.add(at(1), true);
            window.add(at(3), false);
        }
        assert!(window.is_over(at(10), 20, 50));
        assert!(!window.is_over(at(10), 21, 50), "too few");
        assert!(!window.is_over(at(10), 20, 51), "too few of them failed");
        assert!(
            !window.is_over(at(11), 20, 50),
            "the failures are forgotten"
        );
        window.add(at(11), true);
        assert!(window.is_over(at(12), 1, 9), "their bucket is used anew");
        assert!(!window.is_over(at(40), 1, 0));
    }
}
