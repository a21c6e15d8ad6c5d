//! The circuit of a breaker: closed, open, half open. It knows no clock and nothing async: the time
//! comes with each question, as what passed since some moment of its own.
//!
//! The promise is that a half-open circuit lets exactly one call through at a time, whatever
//! becomes of it: one that is dropped without a word gives its place to the next. So what hands out
//! the place and what gives it back stand here together, over the lock alone, and `tests/model`
//! tries all the ways in which threads can meet in it.

use std::time::Duration;

use super::{
    sync::{Arc, Mutex, MutexGuard},
    window::Window,
};

/// When a circuit opens, and when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// So many failures in a row open it, from 1.
    pub threshold: u32,
    /// So long it stays open; each time that its probe fails, twice as long as before.
    pub reset: Duration,
    /// But never longer than this.
    pub most: Duration,
    /// Of so many calls in the last ten seconds, or more, ...
    pub samples: u32,
    /// ... this share of failures opens it too, in percent.
    pub percent: u32,
}

/// Five in a row, or half of twenty or more in ten seconds; a minute, doubled up to ten.
impl Default for Rules {
    fn default() -> Self {
        Self {
            threshold: 5,
            reset: Duration::from_secs(60),
            most: Duration::from_secs(600),
            samples: 20,
            percent: 50,
        }
    }
}

/// How a circuit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Calls pass.
    Closed,
    /// None pass until then.
    Open {
        /// When the next one may, as a probe.
        until: Duration,
    },
    /// One passes, and what comes of it decides.
    HalfOpen {
        /// Whether that one is under way.
        probing: bool,
    },
}

/// No call passes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When to ask again.
    pub after: Duration,
}

/// Who comes while a probe is under way asks again after so long.
const PROBE_TAKES: Duration = Duration::from_secs(1);

/// A circuit. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Circuit {
    rules: Rules,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Counts the changes of the phase: what a call of an earlier one comes to says nothing of
    /// this one.
    turn: u64,
    /// How many failed in a row.
    failures: u32,
    window: Window,
    /// How often it opened since it was closed.
    openings: u32,
}

impl Circuit {
    /// A closed one.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: Arc::new(Mutex::new(State {
                phase: Phase::Closed,
                turn: 0,
                failures: 0,
                window: Window::default(),
                openings: 0,
            })),
        }
    }

    /// Asks for a call to pass.
    ///
    /// # Errors
    /// [`Refused`] while it is open, or half open with a probe under way.
    pub fn enter(&self, now: Duration) -> Result<Passage, Refused> {
        let mut state = self.state();
        let probe = match state.phase {
            Phase::Closed => false,
            Phase::Open { until } if now < until => {
                return Err(Refused { after: until - now });
            }
            Phase::HalfOpen { probing: true } => {
                return Err(Refused { after: PROBE_TAKES });
            }
            Phase::Open { .. } | Phase::HalfOpen { probing: false } => {
                state.turn(Phase::HalfOpen { probing: true });
                true
            }
        };
        Ok(Passage {
            circuit: self.clone(),
            turn: state.turn,
            probe,
        })
    }

    /// How it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; and a state that was left is a state.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A call that passes. One that ends without a word says nothing of the server; where it was the
/// probe, the next one is.
#[derive(Debug)]
#[must_use = "without it nobody learns what came of the call"]
pub struct Passage {
    circuit: Circuit,
    turn: u64,
    probe: bool,
}

impl Passage {
    /// Whether it is the one call of a half-open circuit.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }

    /// The server answered. Says whether that closed the circuit.
    pub fn succeeded(self, now: Duration) -> bool {
        let mut state = self.circuit.state();
        if state.turn != self.turn {
            return false;
        }
        if self.probe {
            state.close();
        } else {
            state.failures = 0;
            state.window.add(now, false);
        }
        self.probe
    }

    /// It failed. Says whether that opened the circuit, and for how long.
    pub fn failed(self, now: Duration) -> Option<Duration> {
        let rules = self.circuit.rules;
        let mut state = self.circuit.state();
        if state.turn != self.turn {
            return None;
        }
        if !self.probe {
            state.failures = state.failures.saturating_add(1);
            state.window.add(now, true);
            let in_a_row = state.failures >= rules.threshold;
            if !(in_a_row || state.window.is_over(now, rules.samples, rules.percent)) {
                return None;
            }
        }
        Some(state.open(rules, now))
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if !self.probe {
            return;
        }
        let mut state = self.circuit.state();
        if state.turn == self.turn {
            state.turn(Phase::HalfOpen { probing: false });
        }
    }
}

impl State {
    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.turn += 1;
    }

    fn close(&mut self) {
        self.turn(Phase::Closed);
        self.failures = 0;
        self.openings = 0;
        self.window = Window::default();
    }

    fn open(&mut self, rules: Rules, now: Duration) -> Duration {
        let doubled = 2_u32.saturating_pow(self.openings);
        let length = rules
            .reset
            .saturating_mul(doubled)
            .min(rules.most.max(rules.reset));
        self.openings = self.openings.saturating_add(1);
        self.turn(Phase::Open {
            until: now + length,
        });
        length
    }
}
