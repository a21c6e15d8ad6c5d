//! Several processes, or sessions, of one server behind one handle: a pool.
//!
//! ```text
//!            ┌─ Upstream: a process ──┐
//! Call ─> Pool ─ Upstream: a process ─┼─> Reply      owner task: starts, ends and follows them
//!    │       └─ Upstream: a process ──┘
//!    └── no place free: waits, first come first served ──> SERVER_OVERLOADED
//! ```
//!
//! A call takes a place at a member and goes to it in the caller's own task; the place is given
//! back when the call's future is dropped, however that comes. A call goes to the member that is
//! used most and has a place, so that the others become idle; where none has, another member is
//! started as long as there may be more, and the call waits for the first place, of whichever. One
//! that fails takes no calls: it comes back by itself where it is one of the `min` that are kept,
//! and is let go where it is not; then another one is started when calls ask for it, each time
//! later while they keep failing. With all of them down a call hears what it would hear from the
//! one.
//!
//! A place is free when its call has ended or nobody waits for it any more; a server that works on
//! after it was told that a call is cancelled may have the next one beside it.

mod desk;
mod failure;
mod gather;
mod options;
mod owner;
mod shared;
mod whole;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::{broadcast, watch};
use tokio_util::sync::DropGuard;
use tower::Service;

pub use self::options::{
    CALLS_MAX, Gauges, IDLE, MEMBERS_MAX, Options, Pin, WAIT_MAX, WAITING_MAX,
};
use self::{
    desk::Desk,
    owner::{Owner, Source},
    shared::Shared,
};
use super::{
    board::TOUCHES,
    failure::no_id,
    status::{Changed, Status, Touched},
    upstream,
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
/// Beyond what a member has to end.
const STOP_SLACK: Duration = Duration::from_secs(1);

/// A handle to the pool of a server. Clones are handles to the same one; with the last its members
/// end. It has the outside of an [`upstream::Upstream`], which it is made of.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    status: watch::Receiver<Status>,
    own: Tasks,
    stop_within: Duration,
    /// Ends the pool with the last handle.
    _last: DropGuard,
}

impl Pool {
    /// Starts the members that are kept, and keeps them until [`Pool::stop`], the last handle, or
    /// the end of `tasks`. What fails is no error here but a [`Status`]. The pool is up when its
    /// first member is.
    #[must_use]
    pub fn start(
        server: ServerName,
        upstream: upstream::Options,
        options: Options,
        watchdog: &Watchdog,
        tasks: &Tasks,
    ) -> Self {
        let options = options.bounded();
        let stop_within = upstream.stop_within() + STOP_SLACK;
        let desk = Desk::new(options, upstream.backoff());
        let shared = Arc::new(Shared::new(server, desk, options, (CHANGES, TOUCHES)));
        // The members belong to `tasks`, the owner to a group inside: stopping it alone leaves
        // each of them its own steps.
        let own = tasks.group();
        let source = Source {
            upstream,
            watchdog: watchdog.clone(),
            tasks: tasks.clone(),
        };
        let owner = Owner::new(Arc::clone(&shared), source, own.stopping());
        own.spawn("pool", Failure::Logged, owner.run());
        Self(Arc::new(Handle {
            status: shared.status.subscribe(),
            shared,
            stop_within,
            _last: own.stopping().drop_guard(),
            own,
        }))
    }

    /// How the pool fares, now and whenever that changes.
    ///
    /// It is as good as its best member, and `Degraded` while fewer than `min` are up, with what is
    /// wrong with one that is not. Tools are those of the member that came up last, `pid` is the
    /// first one's; restarts are those of all, a member in the place of one that failed among them.
    /// What was thrown away is that of all as well, as of the last time that something changed.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.0.status.clone()
    }

    /// Each change of what the server has. The status is up to date when one is told. What several
    /// members tell within 250 ms of each other is told once.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.0.shared.changed.subscribe()
    }

    /// Each resource that the server says is not what it was; once where several members say it
    /// within 250 ms of each other.
    #[must_use]
    pub fn touches(&self) -> broadcast::Receiver<Touched> {
        self.0.shared.touched.subscribe()
    }

    /// How full it is now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.0.shared.desk().gauges()
    }

    /// Ends it: whoever waits for a place is told so, and each member is ended in its own steps,
    /// all at once. Says whether that could be had in time.
    pub async fn stop(&self) -> bool {
        self.0.own.stop(self.0.stop_within).await && self.0.shared.has_ended()
    }

    async fn carry(&self, call: Call) -> Result<Reply, Error> {
        let place = match call.request.id() {
            Some(_) => self.0.shared.place(&call).await,
            None => Err(no_id()),
        };
        let place = place.map_err(|error| {
            error.located(self.0.shared.server.as_str(), || call.error_context())
        })?;
        place.member.upstream.begin(call).await
    }
}

impl Service<Call> for Pool {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let own = self.clone();
        Box::pin(async move { own.carry(call).await })
    }
}
