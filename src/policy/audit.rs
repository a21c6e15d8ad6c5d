//! What is decided of calls, written down.
//!
//! A refusal is written before it is told. A call that may go on is written before it does where
//! its server is strict about that, and else within 200 ms.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use serde_json::value::RawValue;
use tower::Service;

use super::permit::{Need, Needs};
use crate::{
    audit::{self, Record, Trail},
    call::{Call, CallFuture, CallService, Principal, Reply, grant},
    error::{Error, case},
    event::EventKey,
};

/// When a decision that lets a call go on is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Within 200 ms, while the call goes on.
    #[default]
    Soon,
    /// Before the call goes on.
    First,
    /// Not here: the server itself writes more than could be known here.
    Elsewhere,
}

/// Writes down what a server's stack decides. A cheap handle.
#[derive(Clone, Debug)]
pub struct Auditor {
    trail: Trail,
    key: Option<Arc<EventKey>>,
    needs: Needs,
    when: When,
}

impl Auditor {
    /// Writes to `trail`, with digests under `key`; without one, arguments leave no trace.
    #[must_use]
    pub fn new(trail: Trail, key: Option<EventKey>, needs: Needs, when: When) -> Self {
        Self {
            trail,
            key: key.map(Arc::new),
            needs,
            when,
        }
    }

    /// Writes a refusal down, then gives it.
    async fn refuse(self, call: Call, error: Error) -> Error {
        // Whoever is told so sends the token itself: it is a question, and nothing was decided.
        if error.is_case(case::TOKEN_UNKNOWN) {
            return error;
        }
        let record = Record::refused(self.what(&call), &error);
        self.trail.refuse(self.filled(record, &call), error).await
    }

    /// Writes down that a call goes on; gives the record back where that has to be waited for.
    fn allow(&self, call: &Call) -> Result<(), Box<Record>> {
        if self.when == When::Elsewhere {
            return Ok(());
        }
        let mut record = Record::new(audit::Decision::Allowed, self.what(call));
        record.why = call.context.permitted.map(|by| match by {
            grant::Reason::Grant(id) => format!("grant {id}"),
            _ => "token".to_owned(),
        });
        let record = self.filled(record, call);
        match self.when {
            When::First => Err(Box::new(record)),
            When::Soon | When::Elsewhere => self.trail.try_note(record),
        }
    }

    /// Waits until it may go on.
    async fn wait(&self, record: Record) -> Result<(), Error> {
        match self.when {
            When::First => self.trail.write(record).await,
            When::Soon | When::Elsewhere => self.trail.note(record).await,
        }
    }

    /// What is asked for: a tool, or what else needs a permission, or a method.
    fn what(&self, call: &Call) -> String {
        if let Some(tool) = call.tool() {
            return format!("call:tools/{}/{tool}", call.server);
        }
        match (self.needs)(call) {
            Need::One(action, target) => format!("{action}:{}", target.concat()),
            Need::Nothing | Need::Any(..) => named(call),
        }
    }

    fn filled(&self, mut record: Record, call: &Call) -> Record {
        record.arguments = self.digest(call);
        of(record, call)
    }

    /// What stands for the arguments of a tool.
    fn digest(&self, call: &Call) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Params<'a> {
            #[serde(borrow)]
            arguments: Option<&'a RawValue>,
        }
        let key = self.key.as_ref()?;
        call.tool()?;
        let params: Params<'_> = serde_json::from_str(call.request.params()?).ok()?;
        Some(key.digest(params.arguments?.get().as_bytes()))
    }
}

/// The method, and of what, where it says that.
fn named(call: &Call) -> String {
    let method = call.request.method();
    let name = call.request.name();
    name.map_or_else(|| method.to_string(), |name| format!("{method} {name}"))
}

/// A record about a call: who made it, and as part of what.
#[must_use]
pub fn of(record: Record, call: &Call) -> Record {
    let context = &call.context;
    let principal = context.principal.as_deref();
    let who = principal.map(|principal| &principal.identity);
    let mut record = record.by(who.or(context.caller.as_ref()));
    record.actors = principal.map(actors).unwrap_or_default();
    record.correlation_id = Some(context.correlation.to_string());
    record
}

fn actors(principal: &Principal) -> Vec<String> {
    let actors = principal.actors.iter();
    actors.map(|actor| actor.identity.to_string()).collect()
}

/// What becomes of a call that is refused.
pub(super) fn refusal(auditor: Option<&Auditor>, call: Call, error: Error) -> CallFuture {
    match auditor.cloned() {
        None => Box::pin(std::future::ready(Err(error))),
        Some(auditor) => Box::pin(async move { Err(auditor.refuse(call, error).await) }),
    }
}

/// Writes down which calls go on.
#[derive(Clone, Debug)]
pub struct Audit<S> {
    auditor: Option<Auditor>,
    inner: S,
}

impl<S> Audit<S> {
    /// Writes down calls to `inner`.
    pub const fn new(auditor: Option<Auditor>, inner: S) -> Self {
        Self { auditor, inner }
    }
}

impl<S: CallService> Service<Call> for Audit<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let Some(auditor) = &self.auditor else {
            return self.inner.call(call);
        };
        match auditor.allow(&call) {
            Ok(()) => self.inner.call(call),
            Err(record) => {
                let (auditor, mut inner) = (auditor.clone(), self.inner.clone());
                Box::pin(async move {
                    auditor.wait(*record).await?;
                    inner.call(call).await
                })
            }
        }
    }
}
