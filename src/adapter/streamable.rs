//! A server at a URL as a `Service<Call>`: Streamable HTTP, of both eras.
//!
//! One owner task opens the server, keeps its session and its list of tools, and hears what it
//! says by itself. A call is a request of its own, made in the caller's task: it needs the owner
//! only where the session is gone.

mod call;
mod client;
mod endpoint;
mod gap;
mod incoming;
mod listen;
mod mirror;
mod open;
mod options;
mod owner;
mod reach;
mod session;
mod sse;
mod stay;

use std::{
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, TryAcquireError, broadcast, mpsc, oneshot, watch},
    time::{timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use self::{
    call::Answered,
    gap::Gap,
    owner::{Command, Owner},
    session::Session,
};
pub use self::{
    endpoint::{Endpoint, EndpointError, HeaderError, Headers},
    options::{Limits, Options, Timeouts},
};
use super::{
    board::{Board, TOUCHES},
    failure, raise,
    status::{Changed, Status, Touched},
};
use crate::{
    call::{Call, CallFuture, Reply},
    error::Error,
    name::ServerName,
    spawn::{Failure, Tasks},
};

/// Changes that wait for a slow reader; older ones are lost to it, and it is told so.
const CHANGES: usize = 16;

/// A handle to a server at a URL. Clones are handles to the same one; with the last its session
/// is ended.
#[derive(Clone, Debug)]
pub struct Upstream {
    commands: mpsc::Sender<Command>,
    session: watch::Receiver<Option<Arc<Session>>>,
    status: watch::Receiver<Status>,
    board: Board,
    ids: Arc<AtomicU64>,
    limits: Limits,
    /// Room for the calls that are under way.
    room: Arc<Semaphore>,
    /// Ends them.
    over: CancellationToken,
    own: Tasks,
    drain: Duration,
    stop_within: Duration,
}

impl Upstream {
    /// Opens the server, and keeps it: it is opened again whenever it could not be reached, until
    /// [`Upstream::stop`], the last handle, or the end of `tasks`. A server that is not there is
    /// no error here but a [`Status`].
    #[must_use]
    pub fn start(server: ServerName, options: Options, tasks: &Tasks) -> Self {
        let limits = options.limits;
        let in_flight = limits.in_flight.clamp(1, Semaphore::MAX_PERMITS);
        // Two places a call: what it asks, and its cancellation.
        let (commands, queue) = mpsc::channel(2 * in_flight);
        let (told, status) = watch::channel(Status::starting());
        let (changed, _) = broadcast::channel(CHANGES);
        let (touched, _) = broadcast::channel(TOUCHES);
        let (opened, session) = watch::channel(None);
        let ids = Arc::new(AtomicU64::new(1));
        let board = Board {
            server,
            status: Arc::new(told),
            changed,
            touched,
        };
        let (drain, stop_within) = (options.timeouts.drain, options.stop_within());
        let own = tasks.group();
        let owner = Owner {
            options,
            board: board.clone(),
            ids: Arc::clone(&ids),
            commands: queue,
            session: opened,
            stopping: own.stopping(),
            turn: 0,
            client: None,
        };
        own.spawn("http server", Failure::Logged, owner.run());
        Self {
            commands,
            session,
            status,
            board,
            ids,
            limits,
            room: Arc::new(Semaphore::new(in_flight)),
            over: CancellationToken::new(),
            own,
            drain,
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
        self.board.changed.subscribe()
    }

    /// Each resource that the server says is not what it was.
    #[must_use]
    pub fn touches(&self) -> broadcast::Receiver<Touched> {
        self.board.touched.subscribe()
    }

    /// Lets the server go: calls under way have their time, then the session is ended. Says
    /// whether that could be had in time.
    pub async fn stop(&self) -> bool {
        let all = u32::try_from(self.limits.in_flight.max(1)).unwrap_or(u32::MAX);
        // Closed: it was stopped before.
        let drained = timeout(self.drain, self.room.acquire_many(all))
            .await
            .is_ok();
        self.room.close();
        self.over.cancel();
        self.own.stop(self.stop_within).await && drained
    }

    /// Begins a call; its future has a handle of its own.
    pub(super) fn begin(&self, call: Call) -> CallFuture {
        let own = self.clone();
        Box::pin(async move {
            let outcome = own.carry(&call).await;
            outcome
                .map_err(|error| error.located(own.board.server.as_str(), || call.error_context()))
        })
    }

    async fn carry(&self, call: &Call) -> Result<Reply, Error> {
        let id = call.request.id().ok_or_else(failure::no_id)?;
        let session = self.open_session()?;
        let peer = &session.peer;
        if let Some(refused) = raise::refusal(call.request.method(), peer.era) {
            return Err(refused);
        }
        if let Some(reply) = raise::answered_here(&call.request, peer) {
            return Ok(reply);
        }
        if let Some(tool) = call.tool() {
            self.know(tool).await?;
        }
        let _room = self.room.try_acquire().map_err(|error| match error {
            TryAcquireError::Closed => failure::stopped(),
            TryAcquireError::NoPermits => {
                let limit = self.limits.in_flight;
                failure::full(&format!("{limit} calls in flight, its limit"))
            }
        })?;
        let answering = timeout_at(call.context.deadline, self.answer(call, session));
        let Answered { answer, session } = tokio::select! {
            answered = answering => match answered {
                Ok(answered) => answered?,
                Err(_) => {
                    let within = call.context.deadline - call.context.began;
                    return Err(Gap::Silent(within).error());
                }
            },
            () = self.over.cancelled() => return Err(Gap::Stopped.error()),
        };
        Ok(raise::raise(
            &answer,
            call.request.method(),
            id,
            &session.peer,
        ))
    }

    fn open_session(&self) -> Result<Arc<Session>, Error> {
        let session = self.session.borrow().clone();
        let status = self.status.borrow();
        session
            .filter(|_| status.is_up())
            .ok_or_else(|| failure::unavailable(&status))
    }

    /// Whether the server has the tool; its list is read again before it is denied.
    async fn know(&self, tool: &str) -> Result<(), Error> {
        if self.status.borrow().may_have(tool) {
            return Ok(());
        }
        self.refresh().await?;
        let status = self.status.borrow();
        if status.may_have(tool) {
            return Ok(());
        }
        Err(failure::no_tool(tool, &status.tools))
    }

    /// Has the list of tools read again, if it was not read just now.
    async fn refresh(&self) -> Result<(), Error> {
        let (read, done) = oneshot::channel();
        self.send(Command::Refresh(read))?;
        // The owner answers within the deadline of a list; without it, what is known stands.
        if done.await.is_err() {
            tracing::trace!("the list of tools was not read again");
        }
        Ok(())
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    failure::full("as many calls as it may have at once")
                }
                mpsc::error::TrySendError::Closed(_) => failure::stopped(),
            })
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
