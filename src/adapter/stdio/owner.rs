//! The owner of one stdio server: process after process, until it is told to end.

use std::sync::{Arc, atomic::AtomicU64};

use tokio::{
    sync::broadcast,
    time::{Duration, Instant, sleep},
};

use super::{
    failure,
    inbox::{Command, Inbox, Stopped},
    open::{OpenError, Opener, Verdict},
    options::Options,
    session::{Ended, Session},
};
use crate::{
    adapter::status::{Changed, State, Touched},
    child::Watchdog,
    name::ServerName,
    spawn::Tasks,
};

/// The owner.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) server: ServerName,
    pub(super) options: Options,
    pub(super) watchdog: Watchdog,
    /// Where the children belong.
    pub(super) tasks: Tasks,
    pub(super) inbox: Inbox,
    pub(super) changed: broadcast::Sender<Changed>,
    pub(super) touched: broadcast::Sender<Touched>,
    pub(super) ids: Arc<AtomicU64>,
}

/// What one process leaves to the next.
#[derive(Debug, Default)]
struct Past {
    verdict: Option<Verdict>,
    /// Failures in a row.
    failures: u32,
}

impl Owner {
    /// Keeps the server until the end.
    pub(super) async fn run(mut self) {
        let mut past = Past::default();
        while let Ok(wait) = self.live(&mut past).await {
            if self.inbox.meanwhile(sleep(wait)).await.is_err() {
                break;
            }
            self.inbox.status.send_modify(|status| {
                status.restarts += 1;
                status.turn(State::Starting);
            });
        }
        self.inbox.status.send_modify(|status| {
            status.turn(State::Unhealthy);
            status.pid = None;
            status.last_error = Some("it was stopped".to_owned());
        });
        self.inbox.commands.close();
        // Not until the channel is empty for good: a call that is under way and not polled keeps
        // its place for as long as it likes.
        while let Ok(command) = self.inbox.commands.try_recv() {
            if let Command::Call(asked) = command {
                asked.end(Err(failure::stopped()));
            }
        }
    }

    /// One process, from its start to its end. Says how long to wait before the next.
    async fn live(&mut self, past: &mut Past) -> Result<Duration, Stopped> {
        let opener = Opener {
            server: &self.server,
            options: &self.options,
            watchdog: &self.watchdog,
            tasks: &self.tasks,
            ids: &self.ids,
            status: Arc::clone(&self.inbox.status),
            stopping: self.inbox.stopping.clone(),
        };
        let opened = self.inbox.through(opener.open(&mut past.verdict)).await;
        let (link, peer) = match opened {
            Ok(opened) => opened,
            Err(OpenError::Stopping) => return Err(Stopped),
            Err(OpenError::Missing(why)) => {
                self.tell(&why);
                return Ok(self.options.backoff.missing);
            }
            Err(OpenError::Failed(why)) => {
                self.tell(&why);
                past.failures = past.failures.saturating_add(1);
                return Ok(self.options.backoff.after(past.failures));
            }
        };
        let since = Instant::now();
        let session = Session::new(self, link, peer);
        match session.run(&mut self.inbox).await {
            Ended::Stopped => Err(Stopped),
            Ended::Failed => {
                if since.elapsed() >= self.options.backoff.reset {
                    past.failures = 0;
                }
                past.failures = past.failures.saturating_add(1);
                Ok(self.options.backoff.after(past.failures))
            }
        }
    }

    /// Says why there is no process.
    fn tell(&self, why: &str) {
        tracing::error!(server = %self.server, error = why, "a server could not be started");
        self.inbox.status.send_modify(|status| {
            status.turn(State::Unhealthy);
            status.pid = None;
            status.last_error = Some(why.to_owned());
        });
    }
}
