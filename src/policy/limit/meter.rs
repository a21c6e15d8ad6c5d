//! What one caller used up: of one server, or of one tool of it.

use std::{sync::Arc, time::Duration};

/// How often and how much may be called. Where nothing stands, as much as anybody likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Where it is written: `limits.perCaller`. Refusals name it.
    pub key: Arc<str>,
    /// How often, and how many of them at once.
    pub rate: Option<Rate>,
    /// How many under way.
    pub in_flight: Option<u32>,
    /// How many in each span, from the first on.
    pub quota: Option<Quota>,
}

/// How often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many, 1 at least…
    pub count: u32,
    /// … in so long.
    pub per: Duration,
    /// How many may come at once, 1 at least.
    pub burst: u32,
    /// As it was written: `20/s`.
    pub text: Arc<str>,
}

/// How many in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// So many…
    pub count: u32,
    /// … in so long.
    pub per: Duration,
    /// As it was written: `10000/d`.
    pub text: Arc<str>,
}

impl Rule {
    /// Whether it allows everything.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rate.is_none() && self.in_flight.is_none() && self.quota.is_none()
    }
}

impl Rate {
    /// The time that one call is worth.
    fn each(&self) -> Duration {
        (self.per / self.count.max(1)).max(Duration::from_nanos(1))
    }

    /// How far ahead of the clock a caller may be.
    fn ahead(&self) -> Duration {
        self.each().saturating_mul(self.burst.max(1) - 1)
    }
}

/// Which part of a rule does not let a call through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Too often; the time after which one more may come.
    Rate(Duration),
    /// All are used up; the time until there are more.
    Quota(Duration),
    /// Too many are under way.
    InFlight,
}

/// What was used up. Times are counted from the beginning of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meter {
    /// When the bucket is full again. A bucket that is full holds `burst` calls; each takes the
    /// time that it is worth (the generic cell rate algorithm).
    full_at: Duration,
    in_flight: u32,
    /// When the span of the quota ends, and what was used in it.
    quota_until: Duration,
    used: u32,
}

impl Meter {
    /// Whether one more call is within the rule now.
    pub(super) fn check(&self, rule: &Rule, now: Duration) -> Result<(), Over> {
        if rule.in_flight.is_some_and(|most| self.in_flight >= most) {
            return Err(Over::InFlight);
        }
        if let Some(quota) = &rule.quota
            && now < self.quota_until
            && self.used >= quota.count
        {
            return Err(Over::Quota(self.quota_until - now));
        }
        if let Some(rate) = &rule.rate {
            let early = self.full_at.saturating_sub(now + rate.ahead());
            if !early.is_zero() {
                return Err(Over::Rate(early));
            }
        }
        Ok(())
    }

    /// Takes a call that was checked.
    pub(super) fn take(&mut self, rule: &Rule, now: Duration) {
        self.in_flight += 1;
        if let Some(quota) = &rule.quota {
            if now >= self.quota_until {
                (self.quota_until, self.used) = (now + quota.per, 0);
            }
            self.used += 1;
        }
        if let Some(rate) = &rule.rate {
            self.full_at = self.full_at.max(now) + rate.each();
        }
    }

    /// A call ended.
    pub(super) const fn give_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The rule is another one: what was spent of the old rate says nothing about the new one.
    /// What was used of a quota stays used, within the new span at most.
    pub(super) fn adapt(&mut self, rule: &Rule, now: Duration) {
        self.full_at = Duration::ZERO;
        let longest = rule
            .quota
            .as_ref()
            .map_or(Duration::ZERO, |quota| quota.per);
        self.quota_until = self.quota_until.min(now + longest);
    }

    /// Whether it could be forgotten: a new one would say the same.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        self.in_flight == 0 && self.full_at <= now && self.quota_until <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(count: u32, per: Duration, burst: u32) -> Rule {
        Rule {
            rate: Some(Rate {
                count,
                per,
                burst,
                text: "r".into(),
            }),
            ..Rule::default()
        }
    }

    fn quota(count: u32) -> Rule {
        Rule {
            quota: Some(Quota {
                count,
                per: SECOND,
                text: "q".into(),
            }),
            ..Rule::default()
        }
    }

    proptest! {
        /// However calls come, no span of time sees more than the burst and what the rate gives in
        /// it; and whoever waits as long as he is told passes, and not a nanosecond before.
        #[test]
        fn a_rate_is_kept_and_its_hint_is_exact(
            (count, burst) in (1u32..50, 1u32..20),
            gaps in proptest::collection::vec(0u64..200_000_000, 1..200),
        ) {
            let rule = rate(count, SECOND, burst);
            let (mut meter, mut now) = (Meter::default(), Duration::ZERO);
            let mut passed: Vec<Duration> = Vec::new();
            for gap in gaps {
                now += Duration::from_nanos(gap);
                match meter.check(&rule, now) {
                    Ok(()) => {
                        meter.take(&rule, now);
                        passed.push(now);
                    }
                    Err(Over::Rate(wait)) => {
                        prop_assert!(!wait.is_zero());
                        prop_assert_eq!(meter.check(&rule, now + wait), Ok(()));
                        let before = now + wait - Duration::from_nanos(1);
                        prop_assert!(meter.check(&rule, before).is_err());
                    }
                    Err(other) => prop_assert!(false, "{:?}", other),
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let given = (*to - *from).as_secs_f64() * f64::from(count) + f64::from(burst);
                    prop_assert!((last - first + 1) as f64 <= given + 0.001);
                }
            }
        }
    }

    #[test]
    fn a_quota_is_for_a_span_that_begins_with_the_first_call() {
        let rule = quota(2);
        let mut meter = Meter::default();
        let began = SECOND * 7;
        for _ in 0..2 {
            meter.check(&rule, began).expect("two are allowed");
            meter.take(&rule, began);
        }
        let half = began + SECOND / 2;
        assert_eq!(meter.check(&rule, half), Err(Over::Quota(SECOND / 2)));
        assert_eq!(meter.check(&rule, began + SECOND), Ok(()));
        meter.give_back();
        meter.give_back();
        assert!(!meter.is_idle(half), "what was used is still known");
        assert!(meter.is_idle(began + SECOND));
    }

    #[test]
    fn what_ended_makes_room() {
        let rule = Rule {
            in_flight: Some(1),
            ..Rule::default()
        };
        let mut meter = Meter::default();
        meter.take(&rule, SECOND);
        assert_eq!(meter.check(&rule, SECOND), Err(Over::InFlight));
        assert!(!meter.is_idle(SECOND * 99));
        meter.give_back();
        assert_eq!(meter.check(&rule, SECOND), Ok(()));
    }

    #[test]
    fn another_rule_lets_go_of_the_old_one() {
        let slow = rate(1, Duration::from_secs(3600), 1);
        let mut meter = Meter::default();
        meter.take(&slow, SECOND);
        meter.give_back();
        let fast = rate(100, SECOND, 1);
        assert!(meter.check(&fast, SECOND * 2).is_err(), "an hour was spent");
        meter.adapt(&fast, SECOND * 2);
        assert_eq!(meter.check(&fast, SECOND * 2), Ok(()));
        meter.take(&quota(1), SECOND);
        meter.adapt(&quota(1), SECOND);
        assert!(meter.check(&quota(1), SECOND).is_err(), "it stays used");
    }
}
