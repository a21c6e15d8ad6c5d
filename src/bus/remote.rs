//! A server on the other side of the bus, as a `Service<Call>`.

mod batch;
mod exchange;
mod failure;

use std::{
    sync::{Arc, PoisonError, RwLock},
    task::{self, Poll},
};

use batch::Batches;
pub use batch::Batching;
use exchange::Exchange;
use foldhash::{HashMap, HashSet};
use tower::Service;

use super::{link::Link, parts::Bounds};
use crate::{
    call::{Call, CallFuture, Reply, context::Credential},
    error::{Error, Kind, case},
    name::ServerName,
};

/// Pairs of token and server of which it is remembered that the server knows the token.
const SEEN_MAX: usize = 10_000;

/// Sends calls over a link. A cheap handle.
#[derive(Clone, Debug)]
pub struct Remote {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Link,
    bounds: Bounds,
    seen: RwLock<Seen>,
    batches: Batches,
}

/// Which servers know which tokens, by the tokens' references. A look allocates nothing.
#[derive(Debug, Default)]
struct Seen {
    servers: HashMap<Arc<str>, HashSet<ServerName>>,
    pairs: usize,
}

/// What came of one try.
enum Outcome {
    Answer(Reply),
    /// The instance does not know the token that the reference names, in its own words.
    TokenUnknown(Error),
}

impl Remote {
    /// Sends calls over this link, bodies within these bounds.
    #[must_use]
    pub fn new(link: Link, bounds: Bounds) -> Self {
        Self {
            inner: Arc::new(Inner {
                link,
                bounds,
                seen: RwLock::default(),
                batches: Batches::default(),
            }),
        }
    }

    /// Has calls to a server gather from now on, where they come while others are under way;
    /// `None`: each goes when it comes. The server has to know of batches: adapters do.
    pub fn batch(&self, server: &ServerName, how: Option<Batching>) {
        self.inner.batches.set(server, how);
    }

    /// The link.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.inner.link
    }

    async fn run(&self, call: &Call) -> Result<Reply, Error> {
        let limit = self.inner.bounds.body;
        if call.request.body().len() > limit {
            return Err(Error::new(
                Kind::InvalidRequest,
                format!(
                    "the request has {} bytes; at most {limit} are sent",
                    call.request.body().len(),
                ),
            )
            .case(case::REQUEST_TOO_LARGE));
        }
        if let Some(reference) = self.reference_for(call) {
            match self.exchange(call, Some(reference)).await? {
                Outcome::Answer(reply) => return Ok(reply),
                // It said so before anything ran: once more, with the token, where we have it.
                Outcome::TokenUnknown(error) => {
                    if let Some(Credential::Reference(_)) = call.context.credential {
                        return Err(error);
                    }
                }
            }
        }
        match self.exchange(call, None).await? {
            Outcome::Answer(reply) => {
                self.remember(call);
                Ok(reply)
            }
            Outcome::TokenUnknown(error) => Err(error),
        }
    }

    async fn exchange(&self, call: &Call, reference: Option<&Arc<str>>) -> Result<Outcome, Error> {
        let line = self.inner.link.line()?;
        let mut exchange = Exchange::open(self, &line, call)?;
        match self.inner.batches.rule(call) {
            None => {
                exchange.send(reference).await?;
                exchange.hear().await
            }
            // On the heap, as all that few calls need.
            Some(rule) => Box::pin(self.gather(exchange, reference, rule)).await,
        }
    }

    /// The same beside others like it, where there are some.
    async fn gather(
        &self,
        mut exchange: Exchange<'_>,
        reference: Option<&Arc<str>>,
        rule: Batching,
    ) -> Result<Outcome, Error> {
        let key = exchange.key(reference);
        let mut seat = self.inner.batches.join(key, exchange.item(), rule);
        exchange.send_beside(&mut seat, reference).await?;
        // The seat is left when the call has ended: others wait for that.
        exchange.hear().await
    }

    /// The reference to send in place of the token, where the server has seen it.
    fn reference_for<'a>(&self, call: &'a Call) -> Option<&'a Arc<str>> {
        match call.context.credential.as_ref()? {
            Credential::Reference(reference) => Some(reference),
            Credential::Either { reference, .. } => {
                let seen = self.inner.seen.read();
                let seen = seen.unwrap_or_else(PoisonError::into_inner);
                let servers = seen.servers.get(reference)?;
                servers.contains(&call.server).then_some(reference)
            }
            Credential::Bearer(_) => None,
        }
    }

    fn remember(&self, call: &Call) {
        if let Some(Credential::Either { reference, .. }) = &call.context.credential {
            let seen = self.inner.seen.write();
            let mut seen = seen.unwrap_or_else(PoisonError::into_inner);
            if seen.pairs >= SEEN_MAX {
                *seen = Seen::default();
            }
            let servers = seen.servers.entry(Arc::clone(reference)).or_default();
            if servers.insert(call.server.clone()) {
                seen.pairs += 1;
            }
        }
    }
}

impl Service<Call> for Remote {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let remote = self.clone();
        Box::pin(async move { remote.run(&call).await })
    }
}
