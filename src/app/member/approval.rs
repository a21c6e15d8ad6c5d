//! Whether the server's tools are what was approved: the control plane is asked whenever the
//! server lists others.
//!
//! Where they are kept in quarantine, what is shown of the server is not its own status but what
//! of that is approved: an adapter that has no answer yet shows a server that is starting.

mod ask;
mod view;

use std::{
    collections::{BTreeSet, HashMap},
    future::pending,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    time::{Instant, sleep_until},
};

use self::{
    ask::ask,
    view::{Verdict, hide, limit},
};
use super::LISTS;
use crate::{
    adapter::{Backoff, Changed, Pool, Status},
    error::Error,
    mcp::tools::ToolList,
    mesh::Mesh,
    name::ServerName,
    policy::quarantine::Approved,
    spawn::{Failure, Tasks},
};

/// How soon it is asked again whether somebody approved what is held.
const HELD_EVERY: Duration = Duration::from_secs(5);
/// How soon it is asked again where there was no answer, at first; then ever later.
const AGAIN: Duration = Duration::from_secs(1);
/// Changes that wait for a slow reader.
const CHANGES: usize = 16;

/// What of a server is shown to the mesh. Clones show the same.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    status: watch::Receiver<Status>,
    changes: broadcast::Sender<Changed>,
    /// Which tools may be called, where others are kept from callers.
    pub(super) approved: Option<Approved>,
    mesh: watch::Sender<Option<Mesh>>,
}

impl Shown {
    /// Shows the server, and asks about its tools from when [`Shown::joined`] was told.
    pub(super) fn start(
        server: ServerName,
        quarantine: bool,
        upstream: &Pool,
        tasks: &Tasks,
    ) -> Self {
        let own = upstream.status();
        let (joined, mesh) = watch::channel(None);
        let (changes, _) = broadcast::channel(CHANGES);
        let hidden = hide(&own.borrow(), None);
        let (shown, status) = watch::channel(hidden);
        let (callable, approved) = watch::channel(Arc::default());
        let asking = Asking {
            server,
            quarantine,
            own: own.clone(),
            told: upstream.changes(),
            mesh,
            shown,
            changes: changes.clone(),
            callable,
            verdict: None,
            failures: 0,
            why: None,
        };
        let stop = tasks.stopping();
        tasks.spawn("approval of tools", Failure::Logged, async move {
            stop.run_until_cancelled(asking.run()).await;
        });
        Self {
            status: if quarantine { status } else { own },
            changes,
            approved: quarantine.then_some(approved),
            mesh: joined,
        }
    }

    /// How it fares, as far as that is shown.
    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Each change of what is shown of it. The status is up to date when one is told.
    pub(super) fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// With this the control plane can be asked.
    pub(super) fn joined(&self, mesh: &Mesh) {
        self.mesh.send_replace(Some(mesh.clone()));
    }
}

/// A question under way, with the list that it is about.
type Question =
    Pin<Box<dyn Future<Output = (Arc<ToolList>, Result<BTreeSet<String>, Error>)> + Send>>;

struct Asking {
    server: ServerName,
    quarantine: bool,
    own: watch::Receiver<Status>,
    told: broadcast::Receiver<Changed>,
    mesh: watch::Receiver<Option<Mesh>>,
    shown: watch::Sender<Status>,
    changes: broadcast::Sender<Changed>,
    callable: watch::Sender<Arc<HashMap<String, String>>>,
    verdict: Option<Verdict>,
    failures: u32,
    /// Why the last question had no answer.
    why: Option<String>,
}

impl Asking {
    /// Until the server or the mesh is gone.
    async fn run(mut self) {
        let mut question: Option<Question> = None;
        let mut due = Some(Instant::now());
        loop {
            if question.is_none() && due.is_some_and(|due| due <= Instant::now()) {
                question = self.question();
                due = None;
            }
            let is_idle = question.is_none();
            let waiting = async {
                match &mut question {
                    Some(question) => question.await,
                    None => pending().await,
                }
            };
            let sleeping = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                (list, answer) = waiting => {
                    question = None;
                    due = self.heard(list, answer);
                    self.show();
                }
                change = self.told.recv() => {
                    self.show();
                    // The change of the status is seen with this, and is not told once more.
                    due = self.when(due);
                    if !self.pass(change) {
                        return;
                    }
                }
                changed = self.own.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.show();
                    due = self.when(due);
                }
                joined = self.mesh.changed() => {
                    if joined.is_err() {
                        return;
                    }
                    due = Some(Instant::now());
                }
                () = sleeping, if is_idle => {}
            }
        }
    }

    /// Whether the server lists something that nobody was asked about.
    fn is_unasked(&self) -> bool {
        let own = self.own.borrow();
        let known = self.verdict.as_ref().map(|verdict| &verdict.list);
        own.is_up() && own.tools.complete && !known.is_some_and(|known| known.is_same(&own.tools))
    }

    /// When to ask after a look at the server: at once where something is to be asked.
    fn when(&self, due: Option<Instant>) -> Option<Instant> {
        if self.is_unasked() || self.waits() {
            return Some(Instant::now());
        }
        due
    }

    /// Whether somebody may approve what is held.
    fn waits(&self) -> bool {
        let verdict = self.verdict.as_ref();
        self.quarantine && verdict.is_some_and(|verdict| !verdict.held.is_empty())
    }

    /// The question about what the server lists now, where it can be asked.
    fn question(&self) -> Option<Question> {
        let mesh = self.mesh.borrow().clone()?;
        let own = self.own.borrow();
        if !(own.is_up() && own.tools.complete) {
            return None;
        }
        let list = Arc::clone(&own.tools);
        let (server, quarantine) = (self.server.clone(), self.quarantine);
        Some(Box::pin(async move {
            let answer = ask(&mesh, &server, quarantine, &list).await;
            (list, answer)
        }))
    }

    /// Takes an answer; says when to ask again.
    fn heard(
        &mut self,
        list: Arc<ToolList>,
        answer: Result<BTreeSet<String>, Error>,
    ) -> Option<Instant> {
        match answer {
            Ok(held) => {
                (self.failures, self.why) = (0, None);
                self.verdict = Some(Verdict { list, held });
                if self.is_unasked() {
                    return Some(Instant::now());
                }
                self.waits().then(|| Instant::now() + HELD_EVERY)
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let backoff = Backoff {
                    first: AGAIN,
                    ..Backoff::default()
                };
                let wait = backoff.after(self.failures);
                tracing::warn!(
                    server = %self.server, %error, again_in = ?wait,
                    "which of its tools are approved is not known"
                );
                self.why = Some(error.to_string());
                Some(Instant::now() + wait)
            }
        }
    }

    /// Shows what is approved, and tells where that is not what it was.
    fn show(&mut self) {
        if !self.quarantine {
            return;
        }
        let own = self.own.borrow_and_update().clone();
        let Some(verdict) = &self.verdict else {
            self.shown.send_replace(hide(&own, self.why.as_deref()));
            return;
        };
        let now = limit(own, verdict, &self.server);
        let callable = now.tools.tools.iter();
        let callable = callable.map(|tool| (tool.name.clone(), tool.digest.clone()));
        self.callable.send_replace(Arc::new(callable.collect()));
        let before = self.shown.send_replace(now.clone());
        if before.is_up() && now.is_up() && !before.tools.is_same(&now.tools) {
            self.tell("tools/list_changed");
        }
    }

    /// Passes a change on; says whether more may come.
    fn pass(&self, change: Result<Changed, RecvError>) -> bool {
        match change {
            Ok(change) => self.tell(change.kind),
            // After a gap nobody can know what changed: everything.
            Err(RecvError::Lagged(_)) => {
                LISTS.into_iter().for_each(|kind| self.tell(kind));
            }
            Err(RecvError::Closed) => return false,
        }
        true
    }

    fn tell(&self, kind: &'static str) {
        if self.changes.send(Changed { kind }).is_err() {
            tracing::trace!(server = %self.server, kind, "nobody follows the changes");
        }
    }
}
