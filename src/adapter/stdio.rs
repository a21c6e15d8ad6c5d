//! A stdio server as a `Service<Call>`: the handle, and what it does in the caller's own task.
//!
//! One owner task has the process, the pending map and the queues; handles talk to it through a
//! bounded channel, in which each call holds the room for its own cancellation. What costs with
//! the size of an answer (raising, splicing) is done by who asked, not by the owner.

mod desk;
mod failure;
mod inbox;
mod link;
mod open;
mod options;
mod owner;
mod pending;
mod session;
mod stderr;
mod trouble;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tower::Service;

pub use self::options::{Backoff, Launch, Limits, Options};
use self::{
    inbox::{Answered, Asked, Command, Inbox},
    owner::Owner,
};
use super::{
    board::TOUCHES,
    raise,
    status::{Changed, Status, Touched},
};
use crate::{
    call::{Call, CallFuture, Reply},
    child::Watchdog,
    error::Error,
    name::ServerName,
    spawn::{Failure, Tasks},
};

/// Changes that wait for a slow reader; older ones are lost to it, and it is told so.
const CHANGES: usize = 16;

/// A handle to a stdio server. Clones are handles to the same one; with the last the server ends.
#[derive(Clone, Debug)]
pub struct Upstream {
    server: ServerName,
    commands: mpsc::Sender<Command>,
    ids: Arc<AtomicU64>,
    status: watch::Receiver<Status>,
    changed: broadcast::Sender<Changed>,
    touched: broadcast::Sender<Touched>,
    own: Tasks,
    stop_within: Duration,
}

impl Upstream {
    /// Starts the server, and keeps it: it is started again whenever it ends, until
    /// [`Upstream::stop`], the last handle, or the end of `tasks`. A program that does not start
    /// is no error here but a [`Status`].
    #[must_use]
    pub fn start(server: ServerName, options: Options, watchdog: &Watchdog, tasks: &Tasks) -> Self {
        // Two places a call: its request, and its cancellation.
        let (commands, queue) = mpsc::channel(2 * options.limits.in_flight.max(1));
        let (told, status) = watch::channel(Status::starting());
        let (changed, _) = broadcast::channel(CHANGES);
        let (touched, _) = broadcast::channel(TOUCHES);
        let ids = Arc::new(AtomicU64::new(1));
        // The child belongs to `tasks`, its owner to a group inside: so that stopping the owner
        // alone leaves it the child to be ended in its own steps.
        let own = tasks.group();
        let stop_within = options.stop_within();
        let owner = Owner {
            server: server.clone(),
            options,
            watchdog: watchdog.clone(),
            tasks: tasks.clone(),
            inbox: Inbox::new(queue, own.stopping(), told),
            changed: changed.clone(),
            touched: touched.clone(),
            ids: Arc::clone(&ids),
        };
        own.spawn("stdio server", Failure::Logged, owner.run());
        Self {
            server,
            commands,
            ids,
            status,
            changed,
            touched,
            own,
            stop_within,
        }
    }

    /// How the server fares, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Each change of what the server has. The status is up to date when one is told.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changed.subscribe()
    }

    /// Each resource that the server says is not what it was.
    #[must_use]
    pub fn touches(&self) -> broadcast::Receiver<Touched> {
        self.touched.subscribe()
    }

    /// Ends the server: its input is closed, calls in flight have until TERM to be answered.
    /// Returns when nobody of its group is left; says whether that could be had in time.
    pub async fn stop(&self) -> bool {
        self.own.stop(self.stop_within).await
    }

    /// Begins a call; its future has a handle of its own.
    pub(super) fn begin(&self, call: Call) -> CallFuture {
        let own = self.clone();
        Box::pin(async move {
            let outcome = own.carry(&call).await;
            outcome.map_err(|error| error.located(own.server.as_str(), || call.error_context()))
        })
    }

    async fn carry(&self, call: &Call) -> Result<Reply, Error> {
        let id = call.request.id().ok_or_else(failure::no_id)?;
        let peer = {
            let status = self.status.borrow();
            match &status.peer {
                Some(peer) if status.is_up() => Arc::clone(peer),
                _ => return Err(failure::unavailable(&status)),
            }
        };
        if let Some(refused) = raise::refusal(call.request.method(), peer.era) {
            return Err(refused);
        }
        if let Some(reply) = raise::answered_here(&call.request, &peer) {
            return Ok(reply);
        }
        if let Some(tool) = call.tool() {
            self.know(tool).await?;
        }
        let Answered { answer, peer } = self.ask(call).await?;
        Ok(raise::raise(&answer, call.request.method(), id, &peer))
    }

    /// Whether the server has the tool; its list is read again before it is denied.
    async fn know(&self, tool: &str) -> Result<(), Error> {
        if self.status.borrow().may_have(tool) {
            return Ok(());
        }
        let (read, done) = oneshot::channel();
        self.send(Command::Refresh(read))?;
        // The owner answers within the deadline of a list; without it, what is known stands.
        if done.await.is_err() {
            tracing::trace!("the list of tools was not read again");
        }
        let status = self.status.borrow();
        if status.may_have(tool) {
            return Ok(());
        }
        Err(failure::no_tool(tool, &status.tools))
    }

    async fn ask(&self, call: &Call) -> Result<Answered, Error> {
        let room = self.commands.clone().try_reserve_owned().map_err(refused)?;
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        self.send(Command::Call(Box::new(Asked {
            id,
            request: call.request.clone(),
            notify: call.context.notify.clone(),
            reply,
        })))?;
        let mut under_way = UnderWay {
            id,
            room: Some(room),
        };
        let outcome = answer.await;
        under_way.room = None;
        outcome.unwrap_or_else(|_owner_is_gone| Err(failure::exited("the adapter ended", None)))
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.try_send(command).map_err(refused)
    }
}

fn refused<T>(error: mpsc::error::TrySendError<T>) -> Error {
    match error {
        mpsc::error::TrySendError::Full(_) => failure::full("as many calls as it may have at once"),
        mpsc::error::TrySendError::Closed(_) => failure::stopped(),
    }
}

/// A call under way: dropped before its end, it tells the owner so.
struct UnderWay {
    id: u64,
    room: Option<mpsc::OwnedPermit<Command>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            room.send(Command::Cancel(self.id));
        }
    }
}

impl Service<Call> for Upstream {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> CallFuture {
        self.begin(call)
    }
}
