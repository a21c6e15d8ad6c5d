//! A server on the other side of the bus, as a `Service<Call>`.

mod exchange;

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    task::{self, Poll},
};

use exchange::Exchange;
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
    link: Link,
    bounds: Bounds,
    seen: Arc<RwLock<Seen>>,
}

/// Which servers know which tokens, by the tokens' references.
type Seen = HashSet<(Arc<str>, ServerName)>;

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
            link,
            bounds,
            seen: Arc::default(),
        }
    }

    /// The link.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    async fn run(self, call: Call) -> Result<Reply, Error> {
        if call.request.body().len() > self.bounds.body {
            return Err(Error::new(
                Kind::InvalidRequest,
                format!(
                    "the request has {} bytes; at most {} are sent",
                    call.request.body().len(),
                    self.bounds.body
                ),
            )
            .case(case::REQUEST_TOO_LARGE));
        }
        if let Some(reference) = self.reference_for(&call) {
            match self.exchange(&call, Some(&reference)).await? {
                Outcome::Answer(reply) => return Ok(reply),
                // It said so before anything ran: once more, with the token, where we have it.
                Outcome::TokenUnknown(error) => {
                    if let Some(Credential::Reference(_)) = call.context.credential {
                        return Err(error);
                    }
                }
            }
        }
        match self.exchange(&call, None).await? {
            Outcome::Answer(reply) => {
                self.remember(&call);
                Ok(reply)
            }
            Outcome::TokenUnknown(error) => Err(error),
        }
    }

    async fn exchange(&self, call: &Call, reference: Option<&str>) -> Result<Outcome, Error> {
        let line = self.link.line()?;
        let mut exchange = Exchange::open(self, &line, call)?;
        exchange.send(reference).await?;
        exchange.hear().await
    }

    /// The short form of the token, where this server is known to know the token.
    fn reference_for(&self, call: &Call) -> Option<Arc<str>> {
        match &call.context.credential {
            Some(Credential::Reference(reference)) => Some(Arc::clone(reference)),
            Some(Credential::Either { reference, .. }) => {
                let key = (Arc::clone(reference), call.server.clone());
                let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
                seen.contains(&key).then_some(key.0)
            }
            Some(Credential::Bearer(_)) | None => None,
        }
    }

    fn remember(&self, call: &Call) {
        if let Some(Credential::Either { reference, .. }) = &call.context.credential {
            let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            if seen.len() >= SEEN_MAX {
                seen.clear();
            }
            seen.insert((Arc::clone(reference), call.server.clone()));
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
        Box::pin(self.clone().run(call))
    }
}
