//! The owner of one HTTP server: opening after opening, until it is told to end.

use std::sync::{Arc, atomic::AtomicU64};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Duration, Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    client::Client,
    gap::Gap,
    open::{Opener, Shut},
    options::Options,
    session::Session,
    stay::{Ended, Stay},
};
use crate::{
    adapter::{board::Board, failure, status::State},
    error::Error,
};

/// What a handle asks of the owner.
#[derive(Debug)]
pub(super) enum Command {
    /// The list of tools, read again if it was not read just now. Answered when that is done.
    Refresh(oneshot::Sender<()>),
    /// The session of this opening is gone: the one that takes its place.
    Reopen(u64, oneshot::Sender<Result<Arc<Session>, Error>>),
    /// A call of this opening met something that is about the whole server.
    Trouble(u64, Gap),
    /// A notification about the server's lists, by its method.
    Heard(String),
    /// Something for the server that has no answer.
    Say(Arc<Session>, Bytes),
}

/// The owner.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) options: Options,
    pub(super) board: Board,
    pub(super) ids: Arc<AtomicU64>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    pub(super) stopping: CancellationToken,
    /// Openings so far.
    pub(super) turn: u64,
    pub(super) client: Option<Client>,
}

/// The owner is to end: it was told so, or its last handle is gone.
#[derive(Debug)]
pub(super) struct Stopped;

impl Owner {
    /// Keeps the server until the end.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        while let Ok(wait) = self.live(&mut failures).await {
            if self.meanwhile(sleep(wait)).await.is_err() {
                break;
            }
            self.board.status.send_modify(|status| {
                status.restarts += 1;
                status.turn(State::Starting);
            });
        }
        self.board.unhealthy("it was stopped".to_owned());
        self.session.send_replace(None);
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.refuse(command);
        }
    }

    /// One opening, from its first request to its end. Says how long to wait before the next.
    async fn live(&mut self, failures: &mut u32) -> Result<Duration, Stopped> {
        let shut = match self.open(false).await? {
            Err(shut) => shut,
            Ok(session) => {
                let since = Instant::now();
                let shut = match Stay::new(self, session).run().await {
                    Ended::Stopped => return Err(Stopped),
                    Ended::Failed(shut) => shut,
                };
                if since.elapsed() >= self.options.backoff.reset {
                    *failures = 0;
                }
                shut
            }
        };
        tracing::error!(server = %self.board.server, error = shut.why, "a server can't be reached");
        self.session.send_replace(None);
        self.board.unhealthy(shut.why);
        *failures = failures.saturating_add(1);
        Ok(if shut.is_lasting {
            self.options.backoff.missing
        } else {
            self.options.backoff.after(*failures)
        })
    }

    /// Opens the server; meanwhile nobody is served.
    pub(super) async fn open(
        &mut self,
        is_legacy: bool,
    ) -> Result<Result<Arc<Session>, Shut>, Stopped> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => match Client::new(&self.options) {
                Ok(client) => self.client.insert(client).clone(),
                Err(why) => {
                    let is_lasting = true;
                    return Ok(Err(Shut { why, is_lasting }));
                }
            },
        };
        self.turn += 1;
        let (options, ids) = (self.options.clone(), Arc::clone(&self.ids));
        let turn = self.turn;
        let opening = async move {
            let opener = Opener {
                options: &options,
                ids: &ids,
                client,
                turn,
            };
            opener.open(is_legacy).await
        };
        let opened = self.meanwhile(Box::pin(opening)).await?;
        Ok(opened.map(|session| {
            let session = Arc::new(session);
            let peer = Arc::clone(&session.peer);
            self.board
                .status
                .send_modify(|status| status.peer = Some(peer));
            self.session.send_replace(Some(Arc::clone(&session)));
            session
        }))
    }

    /// Waits for something. Who asks meanwhile is told that nobody is there, at once, but for
    /// those who wait for a session themselves: they are answered by what is read next.
    async fn meanwhile<F: Future>(&mut self, other: F) -> Result<F::Output, Stopped> {
        let is_up = self.board.status.borrow().is_up();
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(Stopped),
                done = &mut other => return Ok(done),
                command = self.commands.recv(), if !is_up => {
                    let command = command.ok_or(Stopped)?;
                    self.refuse(command);
                }
            }
        }
    }

    fn refuse(&self, command: Command) {
        if let Command::Reopen(_, done) = command {
            let why = failure::unavailable(&self.board.status.borrow());
            if done.send(Err(why)).is_err() {
                tracing::trace!("who waited for a session has gone");
            }
        }
        // Dropping what answers the others is the answer: nothing was read, nothing is told.
    }

    /// Ends a session in order: 405 says that the server does not let clients do it.
    pub(super) async fn close(&self, session: &Session) {
        if session.id.is_none() {
            return;
        }
        let within = self.options.timeouts.say;
        match timeout(within, session.client.delete(session.legacy())).await {
            Ok(Ok(response)) => {
                tracing::debug!(status = response.status().as_u16(), "a session was ended")
            }
            Ok(Err(gap)) => tracing::debug!(why = gap.words(), "a session was not ended"),
            Err(_) => tracing::debug!(?within, "a session was not ended in time"),
        }
    }
}
