//! The circuit of a breaker in all the ways in which threads can meet in it (loom).
//!
//! The code is that of the library, over loom's lock in place of the standard one: loom takes
//! over every step, so nothing else of the library is in this program.

#![expect(unreachable_pub, reason = "in the library it is public")]

#[path = "../../src/policy/breaker/circuit.rs"]
mod circuit;
#[path = "../../src/policy/breaker/window.rs"]
mod window;

/// What `circuit` and the library call by these names.
mod sync {
    pub(super) use loom::sync::{Arc, Mutex, MutexGuard};
}

use std::time::Duration;

use circuit::{Circuit, Phase, Rules};
use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Open until the second 60.
fn open() -> Circuit {
    let circuit = Circuit::new(Rules {
        threshold: 1,
        ..Rules::default()
    });
    let first = circuit.enter(at(0)).expect("it is closed");
    assert_eq!(first.failed(at(0)), Some(at(60)));
    circuit
}

/// What becomes of a probe.
#[derive(Clone, Copy)]
enum End {
    Succeeds,
    Fails,
    /// It is cancelled: nobody says anything.
    Dropped,
    Panics,
}

/// Two threads come to a circuit that is due; `ends` is what becomes of whoever passes.
fn two_meet(ends: [End; 2]) {
    loom::model(move || {
        let circuit = open();
        let under_way = Arc::new(AtomicUsize::new(0));
        let threads = ends.map(|end| {
            let (circuit, under_way) = (circuit.clone(), Arc::clone(&under_way));
            thread::spawn(move || {
                let Ok(passage) = circuit.enter(at(61)) else {
                    return;
                };
                if !passage.is_probe() {
                    // The other one had closed it.
                    assert_eq!(circuit.phase(), Phase::Closed);
                    return;
                }
                assert_eq!(
                    under_way.fetch_add(1, Ordering::SeqCst),
                    0,
                    "two probes at once"
                );
                thread::yield_now();
                under_way.fetch_sub(1, Ordering::SeqCst);
                match end {
                    End::Succeeds => assert!(passage.succeeded(at(61))),
                    End::Fails => assert!(passage.failed(at(61)).is_some()),
                    End::Dropped => drop(passage),
                    End::Panics => {
                        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                            let _passage = passage;
                            std::panic::resume_unwind(Box::new("the call panicked"));
                        }));
                        assert!(gone.is_err());
                    }
                }
            })
        });
        for thread in threads {
            thread.join().expect("no assertion failed");
        }
        // However it went: it is not stuck. Late enough for whatever it was opened for anew.
        let later = circuit.enter(at(1000)).expect("somebody passes again");
        match later.is_probe() {
            true => assert!(later.succeeded(at(1000)), "and closes it"),
            false => assert_eq!(circuit.phase(), Phase::Closed),
        }
    });
}

#[test]
fn one_probe_at_a_time_and_none_is_lost() {
    use End::{Dropped, Fails, Panics, Succeeds};
    for first in [Succeeds, Fails, Dropped, Panics] {
        for second in [Succeeds, Fails, Dropped, Panics] {
            two_meet([first, second]);
        }
    }
}

/// A failure that comes late, of a call from before, does not open what a probe closed.
#[test]
fn a_late_word_says_nothing_of_a_later_turn() {
    loom::model(|| {
        let circuit = Circuit::new(Rules {
            threshold: 1,
            ..Rules::default()
        });
        let late = circuit.enter(at(0)).expect("it is closed");
        let first = circuit.enter(at(0)).expect("it is closed");
        assert!(first.failed(at(0)).is_some());
        let talks = thread::spawn(move || late.failed(at(61)));
        let probe = circuit.enter(at(61)).expect("it is due");
        assert!(probe.succeeded(at(61)));
        assert_eq!(talks.join().expect("it ends"), None);
        assert_eq!(circuit.phase(), Phase::Closed);
    });
}
