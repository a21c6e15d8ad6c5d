//! Calls with an idempotency key: each runs at most once, and whoever asks again hears what came of
//! it.
//!
//! The run goes on when its caller leaves: that is why he gave it a key. What it comes to is written
//! down before he is told, so that nobody who asks again is told something else.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout_at,
};
use tower::Service;

use crate::{
    call::{Call, CallFuture, CallService, Reply},
    error::{Error, Kind, Origin, Started, case},
    mcp::{Response, envelope::splice, members::Members},
    once::{Claim, Claimed, Key, Ledger, Outcome},
    spawn::{Failure, Tasks},
};

/// Runs at a time, those included whose callers have left.
const RUNS_MAX: usize = 1024;
/// Who asks while it runs asks again not later than this.
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// The keys of one server. A cheap handle.
#[derive(Clone, Debug)]
pub struct Keys {
    ledger: Ledger,
    room: Arc<Semaphore>,
    tasks: Tasks,
}

impl Keys {
    /// In this ledger; runs whose callers leave go on in these tasks.
    #[must_use]
    pub fn new(ledger: Ledger, tasks: &Tasks) -> Self {
        Self {
            ledger,
            room: Arc::new(Semaphore::new(RUNS_MAX)),
            tasks: tasks.group(),
        }
    }

    /// Waits for the runs that go on, at most `grace`. Says whether all ended.
    pub async fn settle(&self, grace: Duration) -> bool {
        let count = u32::try_from(RUNS_MAX).unwrap_or(u32::MAX);
        let all = self.room.acquire_many(count);
        tokio::time::timeout(grace, all).await.is_ok()
    }
}

/// Runs each key once.
#[derive(Clone, Debug)]
pub struct Once<S> {
    keys: Option<Keys>,
    inner: S,
}

impl<S> Once<S> {
    /// In front of `inner`; without keys it takes no call that has one.
    pub const fn new(keys: Option<Keys>, inner: S) -> Self {
        Self { keys, inner }
    }
}

impl<S: CallService> Service<Call> for Once<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let key = call.context.key.as_ref().zip(call.tool());
        let Some(key) = key.and_then(|(key, tool)| key_of(&call, tool, key)) else {
            return self.inner.call(call);
        };
        match self.keys.clone() {
            Some(keys) => Box::pin(run(keys, key, call, self.inner.clone())),
            None => Box::pin(std::future::ready(Err(no_keys(&call)))),
        }
    }
}

fn key_of(call: &Call, tool: &str, key: &str) -> Option<Key> {
    // In whose name it is made; behind the check of the token there is always somebody.
    let who = call.context.principal.as_ref().map(|who| &who.identity);
    let who = who.or(call.context.caller.as_ref())?;
    let params = call.request.params().and_then(Members::read);
    let arguments = params.as_ref().and_then(|params| params.get("arguments"));
    Some(Key::new((who, &call.server), tool, key, arguments))
}

async fn run(keys: Keys, key: Key, call: Call, inner: impl CallService) -> Result<Reply, Error> {
    let Ok(place) = Arc::clone(&keys.room).try_acquire_owned() else {
        return Err(too_many());
    };
    let id = call.request.id().map(str::to_owned);
    let claim = keys.ledger.claim(&key, call.context.remaining());
    let claim = timeout_at(call.context.deadline, claim).await;
    match claim.map_err(|_| not_in_time())?? {
        Claim::Mine(claimed) => begin(keys, claimed, (call, inner), place).await,
        Claim::Ended(outcome) => told(outcome, id.as_deref()),
        Claim::Runs(left) => Err(in_use(left)),
        Claim::Gone => Err(unknown()),
        Claim::Other => Err(misused()),
    }
}

/// Runs the call, however long its caller stays.
async fn begin(
    keys: Keys,
    claimed: Claimed,
    (call, mut inner): (Call, impl CallService),
    place: OwnedSemaphorePermit,
) -> Result<Reply, Error> {
    let (tell, told) = oneshot::channel();
    let ledger = keys.ledger.clone();
    keys.tasks
        .spawn("a call with a key", Failure::Logged, async move {
            let outcome = inner.call(call).await;
            write_down(&ledger, claimed, &outcome).await;
            drop(place);
            // Whoever asked may have gone.
            drop(tell.send(outcome));
        });
    told.await.unwrap_or_else(|_| Err(unknown()))
}

async fn write_down(ledger: &Ledger, claimed: Claimed, outcome: &Result<Reply, Error>) {
    let written = match outcome {
        // It was refused before the server had it: another attempt may run.
        Err(error) if error.has_started() == Started::No => ledger.release(claimed).await,
        Err(error) => ledger.end(claimed, &Outcome::Error(error.to_fault())).await,
        Ok(Reply { body, failed }) => {
            let answer = Outcome::Answer {
                body: body.clone(),
                failed: *failed,
            };
            ledger.end(claimed, &answer).await
        }
    };
    if let Err(error) = written {
        tracing::warn!(%error, "what came of a call with a key was not written down: whoever asks again hears that nobody knows");
    }
}

/// What came of it the first time, as the answer to this request.
fn told(outcome: Outcome, id: Option<&str>) -> Result<Reply, Error> {
    match outcome {
        Outcome::Answer { body, failed } => Ok(Reply {
            body: with_id(body, id),
            failed,
        }),
        Outcome::Large(bytes) => Err(Error::new(
            Kind::ToolExecutionError,
            format!(
                "the call with this idempotency key was answered before; the answer has {bytes} \
                 bytes, too many to be kept"
            ),
        )
        .case(case::RESULT_TOO_LARGE)
        .started(Started::Yes)
        .origin(Origin::Adapter)),
        Outcome::Error(fault) => Err(Error::from_fault(&fault).unwrap_or_else(unknown)),
    }
}

fn with_id(body: Bytes, id: Option<&str>) -> Bytes {
    let response = Response::parse(body.clone()).ok();
    match (response.and_then(|response| response.id_span()), id) {
        (Some(at), Some(id)) => splice(&body, &[(at, id)]).into(),
        _ => body,
    }
}

fn not_now(said: String) -> Error {
    Error::new(Kind::ServerOverloaded, said).origin(Origin::Adapter)
}

fn too_many() -> Error {
    let said = format!("{RUNS_MAX} calls with idempotency keys run, and this server takes no more");
    not_now(said).retry_after(AGAIN_MAX)
}

fn in_use(left: Duration) -> Error {
    let said = "a call with this idempotency key runs; ask again for what came of it".to_owned();
    let again = left.min(AGAIN_MAX);
    not_now(said).case(case::KEY_IN_USE).retry_after(again)
}

fn not_in_time() -> Error {
    let said = "the time was over before the call's idempotency key was written down; nothing was \
                begun";
    Error::new(Kind::Timeout, said).origin(Origin::Adapter)
}

fn unknown() -> Error {
    Error::new(
        Kind::ToolExecutionError,
        "outcome unknown: the call with this idempotency key was begun, and whoever ran it is gone \
         without a word. It is not run again; look at what it was to change, and take another key",
    )
    .case(case::OUTCOME_UNKNOWN)
    .started(Started::Maybe)
    .origin(Origin::Adapter)
}

fn misused() -> Error {
    Error::new(
        Kind::InvalidParams,
        "this idempotency key belongs to a call with other arguments: another call needs a key of \
         its own",
    )
    .case(case::KEY_MISUSED)
    .origin(Origin::Adapter)
}

fn no_keys(call: &Call) -> Error {
    Error::new(
        Kind::InvalidParams,
        format!(
            "`{}` keeps no idempotency keys: call it without one",
            call.server
        ),
    )
    .origin(Origin::Adapter)
}
