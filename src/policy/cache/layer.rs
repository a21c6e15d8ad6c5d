//! The layer: what a call finds, and what is done with what comes of the calls that it makes.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use tower::Service;

use super::{
    ANSWER_MAX, Cache, Found,
    answer::{Answer, Scope, Verdict, read},
    flight::{Given, Lease, Reach, Turn, tell},
    key::{Asked, Key},
    store::Known,
};
use crate::{
    call::{Call, CallFuture, CallService, Reply},
    error::{self, Error, Kind, Origin},
    policy::timeout::late,
};

/// How long it is remembered that an answer may not be kept, or not for all: so long calls for it
/// do not wait for each other to find that out.
const NOTED: Duration = Duration::from_secs(60);
/// So often a call looks, where what it waited for was for others; then it goes its own way.
const LOOKS_MAX: usize = 4;

/// Answers calls with what was kept, and makes one call for all that ask for the same.
#[derive(Clone, Debug)]
pub struct Cached<S> {
    cache: Option<Cache>,
    inner: S,
}

impl<S> Cached<S> {
    /// Keeps answers of `inner` in this cache; without one it only passes calls on.
    pub const fn new(cache: Option<Cache>, inner: S) -> Self {
        Self { cache, inner }
    }
}

impl<S: CallService> Service<Call> for Cached<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let Some(cache) = &self.cache else {
            return self.inner.call(call);
        };
        match Asked::of(&call, &cache.0.rules) {
            None => self.inner.call(call),
            Some(asked) => Box::pin(answer(cache.clone(), asked, call, self.inner.clone())),
        }
    }
}

async fn answer<S: CallService>(
    cache: Cache,
    asked: Asked,
    call: Call,
    mut inner: S,
) -> Result<Reply, Error> {
    for _ in 0..LOOKS_MAX {
        let turn = match cache.find(&asked) {
            Found::Answer(answer, age) => {
                return Ok(answer.reply(call.request.id().unwrap_or("null"), age));
            }
            Found::Lead(lease) => Turn::Lead(lease),
            Found::Wait(mut seat) => {
                let (began, deadline) = (call.context.began, call.context.deadline);
                let told = timeout_at(deadline, seat.turn()).await;
                told.map_err(|_| late(&call.server, began, deadline))?
            }
            Found::Nothing => Turn::Alone,
        };
        match turn {
            Turn::Lead(lease) => {
                let outcome = inner.call(call).await;
                conclude(lease, &asked, &outcome);
                return outcome;
            }
            Turn::Given(given) => return given.to(&call),
            Turn::Again => {}
            Turn::Alone => break,
        }
    }
    inner.call(call).await
}

impl Given {
    /// The same for this call, which waited for it.
    fn to(&self, call: &Call) -> Result<Reply, Error> {
        match self {
            Self::Answer(answer) => {
                let id = call.request.id().unwrap_or("null");
                Ok(answer.reply(id, Duration::ZERO))
            }
            Self::Error(error) => Err(error.befalls(call.error_context())),
        }
    }
}

/// What comes of a call, for others than who made it.
struct Worth {
    given: Option<Given>,
    reach: Reach,
    /// What those do that are not reached.
    rest: Rest,
    /// Where it is kept, and how long.
    keep: Option<(Key, Known, Duration)>,
    /// What is noted for all, beside that.
    note: Option<Known>,
}

/// What those do that wait, and are given nothing.
enum Rest {
    /// One of them makes the call.
    Lead,
    /// They look again.
    Again,
    /// Each makes its own.
    Alone,
}

/// Keeps what may be kept, and tells those that wait.
fn conclude(lease: Lease, asked: &Asked, outcome: &Result<Reply, Error>) {
    let cache = lease.cache.clone();
    let worth = match outcome {
        Ok(reply) => of_reply(&cache, asked, reply),
        Err(error) => of_error(asked, error),
    };
    let (reached, others) = {
        let now = Instant::now();
        let mut table = cache.table();
        if table.flights.is_open(lease.flight) {
            let note = asked.shared.clone().zip(worth.note);
            if let Some((key, note)) = note {
                table.store.put(key, note, NOTED, now);
            }
            if let Some((key, known, ttl)) = worth.keep
                && table.store.put(key, known, ttl, now)
            {
                table.store.counts.stored += 1;
            }
        }
        let reached = table.flights.reached(lease.flight, worth.reach);
        table.store.counts.shared += reached.len() as u64;
        let others = match worth.rest {
            Rest::Lead => Vec::new(),
            Rest::Again | Rest::Alone => table.flights.end(lease.flight),
        };
        (reached, others)
    };
    if let Some(given) = &worth.given {
        tell(reached, || Turn::Given(given.clone()));
    }
    match worth.rest {
        // What waits still is led by whoever the lease passes to.
        Rest::Lead => drop(lease),
        Rest::Again => {
            lease.end();
            tell(others, || Turn::Again);
        }
        Rest::Alone => {
            lease.end();
            tell(others, || Turn::Alone);
        }
    }
}

fn of_reply(cache: &Cache, asked: &Asked, reply: &Reply) -> Worth {
    let keep = |key: &Key, answer: &Answer, ttl| {
        let fits = answer.len() <= ANSWER_MAX;
        fits.then(|| (key.clone(), Known::Answer(Arc::new(answer.kept())), ttl))
    };
    match read(reply, asked, &cache.0.rules) {
        Verdict::Keep(answer, ttl, scope) => {
            let shared = asked.shared.as_ref();
            let shared = shared.filter(|_| scope == Scope::Public);
            Worth {
                keep: keep(shared.unwrap_or(&asked.own), &answer, ttl),
                note: shared.is_none().then_some(Known::Apart),
                given: Some(Given::Answer(Arc::new(answer))),
                reach: shared.map_or(Reach::Principal(asked.scope), |_| Reach::Everybody),
                rest: Rest::Again,
            }
        }
        // One principal's error may be about him: others find out for themselves.
        Verdict::Failed(answer) => Worth {
            keep: None,
            note: None,
            given: Some(Given::Answer(Arc::new(answer))),
            reach: Reach::Principal(asked.scope),
            rest: Rest::Lead,
        },
        Verdict::Alone => Worth {
            keep: None,
            note: Some(Known::Never),
            given: None,
            reach: Reach::Nobody,
            rest: Rest::Alone,
        },
    }
}

fn of_error(asked: &Asked, error: &Error) -> Worth {
    // An adapter knows no principals: what it says is about the server. That the time of a call ran
    // out is about that call alone.
    let reach = match (error.made_by(), error.kind()) {
        (Origin::Adapter, _) => Reach::Everybody,
        (_, Kind::Timeout) => Reach::Nobody,
        _ => Reach::Principal(asked.scope),
    };
    Worth {
        keep: None,
        note: None,
        given: Some(Given::Error(Arc::new(
            error.befalls(error::Context::default()),
        ))),
        reach,
        rest: Rest::Lead,
    }
}
