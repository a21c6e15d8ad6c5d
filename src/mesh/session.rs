//! A member's call token: had for the connect token, renewed before it ends, never shown.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tower::Service as _;

use super::{TokenSource, ask, result::Answer};
use crate::{
    access::{
        self, Anchor,
        exchange::{Exchanged, Held},
    },
    call::{Call, Context, SharedService, context::Credential},
    error::{Error, Kind},
    event::EventKey,
    mcp::Method,
    name::{Identity, ServerName},
    spawn::{Failure, Tasks},
};

/// How long one exchange may take.
const EXCHANGE_MAX: Duration = Duration::from_secs(5);
/// How soon a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The call token of now. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Session {
    state: Arc<ArcSwap<State>>,
}

/// A call token.
#[derive(Debug)]
pub(super) struct State {
    pub(super) credential: Credential,
    /// When it ends, seconds since 1970.
    pub(super) expires: u64,
    anchor: Anchor,
    event_key: Option<EventKey>,
}

impl Session {
    /// Exchanges the connect token, and goes on doing so.
    pub(super) async fn open(
        token: TokenSource,
        stack: SharedService,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let first = exchange(&token(), None, stack.clone()).await?;
        let session = Self {
            state: Arc::new(ArcSwap::from_pointee(first)),
        };
        let renewing = session.clone();
        let stop = tasks.stopping();
        tasks.spawn("call token", Failure::Logged, async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = renewing.renew(token, stack) => {}
            }
        });
        Ok(session)
    }

    /// The token of now, long and short.
    pub(super) fn credential(&self) -> Credential {
        self.state.load().credential.clone()
    }

    /// Whom this mesh believes.
    pub(super) fn anchor(&self) -> Anchor {
        self.state.load().anchor.clone()
    }

    /// What the ids of this member's events are made with.
    pub(super) fn event_key(&self) -> Option<EventKey> {
        self.state.load().event_key.clone()
    }

    /// Renews at four fifths of each token's life.
    async fn renew(self, token: TokenSource, stack: SharedService) {
        loop {
            let left = self.state.load().expires.saturating_sub(access::now());
            tokio::time::sleep(Duration::from_secs(left * 4 / 5).max(AGAIN)).await;
            match exchange(&token(), None, stack.clone()).await {
                Ok(next) => self.state.store(Arc::new(next)),
                Err(error) => tracing::warn!(%error, "the call token could not be renewed"),
            }
        }
    }
}

/// A call token for a connect token: our own, or that of the `caller` in whose name we ask.
pub(super) async fn exchange(
    token: &str,
    caller: Option<Identity>,
    mut stack: SharedService,
) -> Result<State, Error> {
    let arguments = serde_json::to_value(Held::read(token)?.exchange(token))
        .map_err(|error| Error::new(Kind::InternalError, error.to_string()))?;
    let params = serde_json::json!({"name": "token_exchange", "arguments": arguments});
    let request = ask::request(&Method::TOOLS_CALL, params)?;
    let mut call = Call::new(ServerName::weft(), request, Context::new(EXCHANGE_MAX));
    call.context.caller = caller;
    let reply = stack.call(call).await?;
    let exchanged: Exchanged = Answer::new(reply).tool()?.structured()?;
    Ok(State {
        credential: Credential::Either {
            reference: access::reference(&exchanged.token).into(),
            bearer: exchanged.token.into(),
        },
        expires: exchanged.expires_at,
        anchor: exchanged.anchor,
        event_key: EventKey::read(&exchanged.event_key),
    })
}
