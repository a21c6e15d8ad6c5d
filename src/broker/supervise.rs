//! The owner of a running nats-server: hears what it says, starts it again when it dies, stops it.

use std::{collections::VecDeque, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

use super::{
    Instance, STOP_WITHIN, State,
    journal::Journal,
    launch::{Launch, Running, last_lines, said},
};
use crate::child::{Escalation, Exit};

/// So many deaths within so long, and it is left alone.
const DEATHS_MAX: usize = 10;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);
/// Between a death and the next start: the first wait, doubled to the second.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) launch: Launch,
    pub(super) journal: Journal,
    pub(super) orders: mpsc::Receiver<()>,
    pub(super) state: watch::Sender<State>,
    pub(super) instance: watch::Sender<Instance>,
}

impl Supervisor {
    pub(super) async fn run(mut self, mut running: Running) {
        let mut deaths = Deaths::default();
        let port = running.port;
        let pid = running.instance.pid;
        tracing::info!(pid, port, "nats-server serves");
        while let Some(exit) = self.until_it_dies(&mut running).await {
            // What a wrapper script leaves would still hold port and store.
            running.child.stop(Escalation::PROMPT).await;
            last_lines(&mut running.lines, &mut self.journal).await;
            let words = self.journal.words().join("; ");
            let why = format!("nats-server ended with {exit}: {}", said(words));
            match self.revive(port, why, &mut deaths).await {
                Some(again) => running = again,
                None => return,
            }
        }
        self.stop(running).await;
        self.state.send_replace(State::Stopped);
    }

    /// Hears it until it ends by itself. None where it is asked to be stopped.
    async fn until_it_dies(&mut self, running: &mut Running) -> Option<Exit> {
        let stopping = self.launch.tasks.stopping();
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                // No sender left: the handle was dropped.
                _ = self.orders.recv() => return None,
                () = stopping.cancelled() => return None,
                line = running.lines.next(), if open => match line {
                    Some(line) => self.journal.take(&line),
                    None => open = false,
                },
                exit = running.child.wait() => return Some(exit),
            }
        }
    }

    /// Starts it again on the same port until it serves. None where it is asked to be stopped, or
    /// has died too often.
    async fn revive(&mut self, port: u16, mut why: String, deaths: &mut Deaths) -> Option<Running> {
        let stopping = self.launch.tasks.stopping();
        loop {
            let Some(wait) = deaths.another(Instant::now()) else {
                let why = format!(
                    "{why}\nIt died {DEATHS_MAX} times within {DEATHS_WITHIN:?} and is left alone: see {}, then start weft again",
                    self.journal.path().display()
                );
                tracing::error!(why, "no broker");
                self.state.send_replace(State::Failed { why });
                return None;
            };
            tracing::error!(why, ?wait, "nats-server is started again");
            self.state.send_replace(State::Restarting { why });
            let attempt = async {
                sleep(wait).await;
                self.launch.start(Some(port), &mut self.journal).await
            };
            let outcome = tokio::select! {
                // A server that was just started dies with its handle.
                _ = self.orders.recv() => None,
                () = stopping.cancelled() => None,
                outcome = attempt => Some(outcome),
            };
            match outcome {
                None => {
                    self.state.send_replace(State::Stopped);
                    return None;
                }
                Some(Err(error)) => why = error.to_string(),
                Some(Ok(running)) => {
                    let pid = running.instance.pid;
                    tracing::info!(pid, port, "nats-server serves again");
                    self.instance.send_replace(running.instance.clone());
                    self.state.send_replace(State::Running { pid });
                    return Some(running);
                }
            }
        }
    }

    /// Stops it, and hears it to its end.
    async fn stop(&mut self, running: Running) {
        let Running {
            child, mut lines, ..
        } = running;
        let stop = child.stop(Escalation {
            close: Duration::ZERO,
            term: STOP_WITHIN,
        });
        tokio::pin!(stop);
        let mut open = true;
        let exit = loop {
            tokio::select! {
                exit = &mut stop => break exit,
                line = lines.next(), if open => match line {
                    Some(line) => self.journal.take(&line),
                    None => open = false,
                },
            }
        };
        last_lines(&mut lines, &mut self.journal).await;
        tracing::info!(%exit, "nats-server is stopped");
    }
}

/// The deaths of the last minute.
#[derive(Debug, Default)]
struct Deaths {
    at: VecDeque<Instant>,
}

impl Deaths {
    /// Counts another one. How long to wait before the next start; none when they were too many.
    fn another(&mut self, now: Instant) -> Option<Duration> {
        while self
            .at
            .front()
            .is_some_and(|at| now.duration_since(*at) >= DEATHS_WITHIN)
        {
            self.at.pop_front();
        }
        self.at.push_back(now);
        let doubled = u32::try_from(self.at.len() - 1).unwrap_or(u32::MAX);
        (self.at.len() < DEATHS_MAX).then(|| {
            WAIT.0
                .saturating_mul(2_u32.saturating_pow(doubled))
                .min(WAIT.1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_left_alone_after_ten_deaths_in_a_minute_and_forgiven_after_it() {
        let begun = Instant::now();
        let mut deaths = Deaths::default();
        let waits: Vec<_> = (0..10)
            .map(|n| deaths.another(begun + Duration::from_secs(n)))
            .map(|wait| wait.map(|wait| wait.as_millis()))
            .collect();
        let doubled = [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000].map(Some);
        assert_eq!(waits[..9], doubled);
        assert_eq!(waits[9], None);

        let mut deaths = Deaths::default();
        for n in 0..100 {
            let seldom = begun + Duration::from_secs(n * 7);
            assert!(deaths.another(seldom).is_some(), "death {n}");
        }
        let later = begun + Duration::from_secs(3600);
        assert_eq!(deaths.another(later), Some(WAIT.0));
    }
}
