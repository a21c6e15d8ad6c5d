//! What handles ask of the owner, and the owner's end of that: open also while no process runs.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::failure;
use crate::{
    adapter::{
        message::Answer,
        status::{Peer, Status},
    },
    call::Notify,
    error::Error,
    mcp::Request,
};

/// What a handle asks.
#[derive(Debug)]
pub(super) enum Command {
    /// A call.
    Call(Box<Asked>),
    /// Nobody waits for this call any more.
    Cancel(u64),
    /// The list of tools, read again if it was not read just now. Answered when that is done.
    Refresh(oneshot::Sender<()>),
}

/// A call on its way to the server.
#[derive(Debug)]
pub(super) struct Asked {
    /// The id that it has on the server's side.
    pub(super) id: u64,
    pub(super) request: Request,
    pub(super) notify: Option<Notify>,
    pub(super) reply: oneshot::Sender<Result<Answered, Error>>,
}

/// An answer, and who gave it: a server that was started again may be of another era.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) peer: Arc<Peer>,
}

impl Asked {
    /// Answers the call. Whether somebody still waits for it is of no matter here.
    pub(super) fn end(self, outcome: Result<Answered, Error>) {
        end(self.reply, outcome);
    }
}

/// Answers a call. Its caller may have gone meanwhile; then nobody misses the answer.
pub(super) fn end(
    reply: oneshot::Sender<Result<Answered, Error>>,
    outcome: Result<Answered, Error>,
) {
    if reply.send(outcome).is_err() {
        tracing::trace!("the caller of an ended call had gone");
    }
}

/// The owner's end.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) stopping: CancellationToken,
    pub(super) status: Arc<watch::Sender<Status>>,
}

/// The owner is to end: it was told so, or its last handle is gone.
#[derive(Debug)]
pub(super) struct Stopped;

impl Inbox {
    pub(super) fn new(
        commands: mpsc::Receiver<Command>,
        stopping: CancellationToken,
        status: watch::Sender<Status>,
    ) -> Self {
        Self {
            commands,
            stopping,
            status: Arc::new(status),
        }
    }

    /// Waits for something while no calls can be taken: they are told why, at once.
    pub(super) async fn meanwhile<F: Future>(&mut self, other: F) -> Result<F::Output, Stopped> {
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(Stopped),
                done = &mut other => return Ok(done),
                command = self.commands.recv() => self.refuse(command.ok_or(Stopped)?),
            }
        }
    }

    /// Waits for something that ends by itself soon, stopping or not.
    pub(super) async fn through<F: Future>(&mut self, other: F) -> F::Output {
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return done,
                Some(command) = self.commands.recv() => self.refuse(command),
            }
        }
    }

    fn refuse(&self, command: Command) {
        match command {
            Command::Call(asked) => {
                let why = failure::unavailable(&self.status.borrow());
                asked.end(Err(why));
            }
            // Dropping the sender is the answer: nothing was read.
            Command::Cancel(_) | Command::Refresh(_) => {}
        }
    }
}
