//! The one owner of background work: every task has a name, an owner that can stop it and wait
//! for it, and a word for what its panic means.
//!
//! A [`Tasks`] is a group. A component makes a group of its own with [`Tasks::group`], so that it
//! can be stopped alone; stopping a group stops the groups made from it.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What it means when a task panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing works without it: the whole group is asked to stop.
    Stops,
    /// It is told in the log, and the rest goes on.
    Logged,
}

/// A group of tasks that is stopped and awaited together. Clones are handles to the same group.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A group inside this one: stopped with it, or alone.
    #[must_use]
    pub fn group(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: self.stop.child_token(),
        }
    }

    /// Resolves when the group is asked to stop. Every long task selects on it.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task. It ends by itself after [`Tasks::stopping`] resolved.
    pub fn spawn<F>(&self, name: &'static str, failure: Failure, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                let why = reason(&*panic);
                tracing::error!(task = name, panic = why, "a background task panicked");
                if failure == Failure::Stops {
                    stop.cancel();
                }
            }
        })
    }

    /// Asks the group to stop, without waiting.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// Asks the group to stop and waits for its tasks, at most `grace`. Says whether all ended.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait())
            .await
            .is_ok()
    }
}

/// The text of a panic, where it has one.
fn reason(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_stops_the_group_only_where_it_was_said_to() {
        for (failure, stops) in [(Failure::Stops, true), (Failure::Logged, false)] {
            let tasks = Tasks::new();
            tasks
                .spawn("doomed", failure, async { panic!("on purpose") })
                .await
                .expect("the panic was caught");
            assert_eq!(tasks.stopping().is_cancelled(), stops);
        }
    }

    #[tokio::test]
    async fn a_group_is_stopped_with_its_parent_and_waited_for() {
        let parent = Tasks::new();
        let group = parent.group();
        let stop = group.stopping();
        group.spawn("waiter", Failure::Logged, async move {
            stop.cancelled().await;
        });
        parent.cancel();
        assert!(group.stop(Duration::from_secs(5)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_told() {
        let tasks = Tasks::new();
        tasks.spawn("deaf", Failure::Logged, std::future::pending());
        assert!(!tasks.stop(Duration::from_secs(1)).await);
    }
}
