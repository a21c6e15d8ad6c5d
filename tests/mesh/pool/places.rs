//! Places, the queue for them, and what becomes of members that nobody uses.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::*;

/// One call a process, three processes.
fn three() -> Options {
    Options {
        max: 3,
        calls: 1,
        ..options()
    }
}

const OVERLOADED: &str = "SERVER_OVERLOADED SERVER_OVERLOADED No";

#[tokio::test]
async fn nine_calls_run_on_three_processes_three_at_a_time_in_order_of_arrival() {
    let stand = Stand::up(three()).await;
    let calls: Vec<Asked> = (0..9).map(|n| stand.hold(&n.to_string())).collect();
    let first = stand.started(3).await;
    assert_eq!(pids(&first).len(), 3, "{first:?}");
    let names: BTreeSet<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["0", "1", "2"]));
    let full = Gauges {
        members: 3,
        up: 3,
        busy: 3,
        calls: 3,
        waiting: 6,
    };
    assert_eq!(stand.pool.gauges(), full);
    // One place becomes free: the one who waits longest has it.
    for n in 0..6 {
        stand.release(&n.to_string());
        let started = stand.started(n + 4).await;
        assert_eq!(started[n + 3].0, (n + 3).to_string());
    }
    for n in 6..9 {
        stand.release(&n.to_string());
    }
    let mut used = BTreeSet::new();
    for call in calls {
        used.insert(call.pid().await);
    }
    assert_eq!(used, pids(&first), "on these three and no other");
    let mut running = BTreeSet::new();
    for (word, name, pid) in stand.lines() {
        if word == "start" {
            assert!(running.insert(pid), "{name} came to a process at work");
        } else {
            assert!(running.remove(&pid));
        }
    }
    assert_eq!(stand.status().restarts, 0);
    stand.stop().await;
    assert!(!used.iter().any(|pid| lives(*pid)));
}

#[tokio::test]
async fn one_more_than_may_wait_is_refused_at_once() {
    let stand = Stand::up(Options {
        waiting: 2,
        ..three()
    })
    .await;
    // Three that run; meanwhile two of them wait for processes to start.
    let mut calls: Vec<Asked> = (0..3).map(|n| stand.hold(&n.to_string())).collect();
    stand.started(3).await;
    calls.push(stand.hold("3"));
    calls.push(stand.hold("4"));
    let error = refused(stand.holding("5"));
    assert_eq!(told(&error), OVERLOADED);
    assert!(error.data().retry_after_ms.is_some());
    let said = error.message();
    assert!(
        said.contains("3 processes") && said.contains("2 calls wait"),
        "{said}"
    );
    // The same call, with one less in the queue.
    stand.release("0");
    stand.started(4).await;
    calls.push(stand.hold("5"));
    for n in 1..6 {
        stand.release(&n.to_string());
    }
    for call in calls {
        call.answer().await.expect("an answer");
    }
    stand.stop().await;
}

#[tokio::test]
async fn a_wait_has_an_end_and_so_has_a_call() {
    let wait = Duration::from_millis(300);
    let one = Options {
        max: 1,
        calls: 1,
        wait,
        ..options()
    };
    // By the pool's own time, and by that of the call.
    let within = Options {
        wait: PATIENCE,
        ..one
    };
    for (options, deadline) in [(one, PATIENCE), (within, wait)] {
        let stand = Stand::up(options).await;
        let first = stand.hold("first");
        stand.started(1).await;
        let began = Instant::now();
        let error = stand
            .run(stand.holding_for("late", deadline))
            .answer()
            .await;
        let error = error.expect_err("no place was free");
        assert!(began.elapsed() >= wait, "{:?}", began.elapsed());
        assert_eq!(told(&error), OVERLOADED);
        assert!(error.data().retry_after_ms.is_some());
        assert!(
            error.message().contains("1 processes at most"),
            "{}",
            error.message()
        );
        assert_eq!(stand.pool.gauges().waiting, 0);
        stand.release("first");
        first.answer().await.expect("an answer");
        // Its twin, with a place.
        stand.release("late");
        let twin = stand.run(stand.holding_for("late", PATIENCE));
        twin.answer().await.expect("an answer");
        assert_eq!(stand.started(2).await.len(), 2);
        stand.stop().await;
    }
}

#[tokio::test]
async fn who_leaves_the_queue_leaves_no_hole() {
    let stand = Stand::up(Options {
        max: 1,
        calls: 1,
        ..options()
    })
    .await;
    let first = stand.hold("0");
    stand.started(1).await;
    let second = stand.hold("1");
    let mut third = stand.holding("2");
    assert!((&mut third).now_or_never().is_none());
    let fourth = stand.hold("3");
    assert_eq!(stand.pool.gauges().waiting, 3);
    drop(third);
    assert_eq!(stand.pool.gauges().waiting, 2);
    stand.release("0");
    assert_eq!(stand.started(2).await[1].0, "1");
    stand.release("1");
    assert_eq!(stand.started(3).await[2].0, "3");
    stand.release("3");
    for call in [first, second, fourth] {
        call.answer().await.expect("an answer");
    }
    assert_eq!(stand.pool.gauges().calls, 0);
    stand.stop().await;
}

#[tokio::test]
async fn a_call_that_is_dropped_or_panics_gives_its_place_back() {
    let stand = Stand::up(Options {
        max: 1,
        calls: 1,
        ..options()
    })
    .await;
    let mut dropped = stand.holding("dropped");
    assert!((&mut dropped).now_or_never().is_none());
    stand.started(1).await;
    let panics = stand.holding("panics");
    let next = stand.run(panics);
    drop(dropped);
    stand.started(2).await;
    stand.release("panics");
    next.answer().await.expect("its place was free");
    let mut call = stand.holding("again");
    let panicking = AssertUnwindSafe(async move {
        assert!((&mut call).now_or_never().is_some(), "on purpose");
    });
    assert!(panicking.catch_unwind().await.is_err());
    assert_eq!(stand.pool.gauges().calls, 0);
    stand.release("last");
    stand.hold("last").answer().await.expect("an answer");
    stand.stop().await;
}

#[tokio::test]
async fn members_beyond_those_that_are_kept_are_closed_when_they_are_idle() {
    let idle = Duration::from_millis(500);
    for min in [1, 2] {
        let stand = Stand::up(Options {
            min,
            idle,
            ..three()
        })
        .await;
        let calls: Vec<Asked> = (0..3).map(|n| stand.hold(&n.to_string())).collect();
        let all = pids(&stand.started(3).await);
        assert_eq!(all.len(), 3);
        let began = Instant::now();
        (0..3).for_each(|n| stand.release(&n.to_string()));
        for call in calls {
            call.answer().await.expect("an answer");
        }
        assert_eq!(stand.pool.gauges().members, 3, "not at once");
        stand
            .gauge("the others were closed", |gauges| gauges.members == min)
            .await;
        assert!(began.elapsed() >= idle);
        let alive: Vec<u32> = all.iter().copied().filter(|pid| lives(*pid)).collect();
        assert_eq!(alive.len(), min, "{alive:?}");
        assert!(stand.status().is_up());
        assert_eq!(stand.status().pid, Some(alive[0]));
        stand.release("more");
        let pid = stand.hold("more").pid().await;
        assert!(alive.contains(&pid), "and it goes on");
        stand.stop().await;
    }
}

#[tokio::test]
async fn unless_told_otherwise_one_process_takes_all() {
    for options in [Options::default(), Options::one()] {
        let stand = Stand::up(options).await;
        let calls: Vec<Asked> = (0..100).map(|n| stand.hold(&n.to_string())).collect();
        let started = stand.started(100).await;
        let only = pids(&started);
        assert_eq!(Vec::from_iter(only), [stand.status().pid.expect("it runs")]);
        let gauges = stand.pool.gauges();
        assert_eq!((gauges.members, gauges.calls, gauges.waiting), (1, 100, 0));
        (0..100).for_each(|n| stand.release(&n.to_string()));
        for call in calls {
            call.answer().await.expect("an answer");
        }
        stand.stop().await;
    }
}
