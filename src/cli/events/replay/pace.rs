//! How fast events are told again: at once, or as far apart as they were stored.

use std::time::Duration;

use clap::ValueEnum;
use tokio::time::{Instant, sleep_until};

/// How fast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// As fast as they are read
    #[default]
    Fast,
    /// As far apart as they were stored
    Original,
}

/// Keeps the distances.
pub(super) struct Pace {
    original: bool,
    /// When the first one was told, and when it was stored.
    first: Option<(Instant, u64)>,
}

impl Pace {
    /// What is counted alone waits for nothing.
    pub(super) fn new(kind: Kind, counted: bool) -> Self {
        Self {
            original: kind == Kind::Original && !counted,
            first: None,
        }
    }

    /// Waits until it is time for what was stored then, milliseconds since 1970. Measured from the
    /// first one, so that the delays of many do not add up.
    pub(super) async fn wait_for(&mut self, at: u64) {
        if !self.original {
            return;
        }
        let (began, first) = *self.first.get_or_insert_with(|| (Instant::now(), at));
        let apart = Duration::from_millis(at.saturating_sub(first));
        sleep_until(began + apart).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_day_between_two_is_waited_for() {
        let day = 24 * 3600 * 1000;
        let began = Instant::now();
        let mut pace = Pace::new(Kind::Original, false);
        for (at, passed) in [(5000, 0), (6000, 1), (5500, 1), (6000 + day, 86_401)] {
            pace.wait_for(at).await;
            assert_eq!(began.elapsed().as_secs(), passed);
        }
        let began = Instant::now();
        for mut pace in [
            Pace::new(Kind::Fast, false),
            Pace::new(Kind::Original, true),
        ] {
            pace.wait_for(0).await;
            pace.wait_for(day).await;
        }
        assert_eq!(began.elapsed().as_secs(), 0);
    }
}
