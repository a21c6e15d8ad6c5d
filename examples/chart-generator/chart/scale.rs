//! From values to pixels: the ticks of an axis, and numbers as people write them.

/// A linear axis from its first tick to its last. 0 is always on it, so that a bar has a foot
/// and no difference looks greater than it is.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    low: f64,
    step: f64,
    steps: u32,
}

impl Scale {
    /// An axis over all `values` with about `ticks` ticks at round numbers.
    pub(super) fn over(values: &[f64], ticks: f64) -> Self {
        let least = values.iter().copied().fold(0.0, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        // Nothing but zeros still needs an axis.
        let most = if most > least { most } else { 1.0 };
        let step = round_step((most - least) / ticks.max(1.0));
        let low = (least / step).floor();
        let high = (most / step).ceil().max(low + 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the step is a share of the span: there are about as many steps as ticks"
        )]
        let steps = (high - low) as u32;
        Self {
            low: low * step,
            step,
            steps,
        }
    }

    /// The values to mark, from below.
    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        (0..=self.steps).map(|number| self.low + self.step * f64::from(number))
    }

    /// Where on the axis a value lies: 0 at the first tick, 1 at the last.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.step * f64::from(self.steps))
    }
}

/// The least of 1, 2, 2.5, 5 times a power of ten that is not below `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    let lead = raw / power;
    // A little slack: 0.30000000000000004 shall still count as 0.3.
    let round = [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .find(|round| lead <= round + 1e-9);
    round.unwrap_or(10.0) * power
}

/// A number in few characters: `1.5k`, `20M`, `0.25`, `3e-9`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let (divisor, unit) = match size {
        _ if size >= 1e15 => return format!("{value:.2e}"),
        _ if size >= 999_500_000_000.0 => (1e12, "T"),
        _ if size >= 999_500_000.0 => (1e9, "G"),
        _ if size >= 999_500.0 => (1e6, "M"),
        _ if size >= 10_000.0 => (1e3, "k"),
        _ => (1.0, ""),
    };
    if size < 0.01 && size > 1e-12 {
        return format!("{value:.1e}");
    }
    let digits = format!("{:.2}", value / divisor);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let digits = if digits == "-0" { "0" } else { digits };
    format!("{digits}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64]) -> Vec<String> {
        Scale::over(values, 5.0).ticks().map(number).collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_zero_and_the_data() {
        assert_eq!(ticks(&[3.0, 9.0]), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(ticks(&[-4.0, 4.0]), ["-4", "-2", "0", "2", "4"]);
        assert_eq!(ticks(&[-7.0, -3.0]), ["-8", "-6", "-4", "-2", "0"]);
        assert_eq!(ticks(&[0.3]), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(ticks(&[0.0]), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
    }

    #[test]
    fn shares_run_from_the_first_tick_to_the_last() {
        let scale = Scale::over(&[-4.0, 4.0], 5.0);
        for (value, share) in [(-4.0, 0.0), (0.0, 0.5), (4.0, 1.0)] {
            assert!((scale.share(value) - share).abs() < 1e-12);
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (2.5, "2.5"),
            (1234.0, "1234"),
            (15_500.0, "15.5k"),
            (2e6, "2M"),
            (999_999.0, "1M"),
            (-3e9, "-3G"),
            (1e15, "1.00e15"),
            (0.001, "1.0e-3"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
