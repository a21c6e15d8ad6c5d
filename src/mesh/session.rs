//! A member's call token: had for the connect token, renewed before it ends, never shown.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde::Deserialize;
use tower::Service as _;

use super::{Keep, TokenSource, ask, result::Answer};
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
#[derive(Clone)]
pub(super) struct Session {
    state: Arc<ArcSwap<State>>,
    token: TokenSource,
    keep: Option<Keep>,
    stack: SharedService,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A call token.
#[derive(Debug)]
pub(super) struct State {
    pub(super) credential: Credential,
    /// When it ends, seconds since 1970.
    pub(super) expires: u64,
    anchor: Anchor,
    event_key: Option<EventKey>,
    /// Whether the connect token may be renewed.
    renewable: bool,
}

impl Session {
    /// Exchanges the connect token, and goes on doing so.
    pub(super) async fn open(
        token: TokenSource,
        keep: Option<Keep>,
        stack: SharedService,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let first = exchange(&token(), None, stack.clone()).await?;
        let session = Self {
            state: Arc::new(ArcSwap::from_pointee(first)),
            token,
            keep,
            stack,
        };
        let renewing = session.clone();
        let stop = tasks.stopping();
        tasks.spawn("call token", Failure::Logged, async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = renewing.renew() => {}
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
    async fn renew(self) {
        loop {
            let left = self.state.load().expires.saturating_sub(access::now());
            tokio::time::sleep(Duration::from_secs(left * 4 / 5).max(AGAIN)).await;
            if let Err(error) = self.renew_connect_token().await {
                tracing::warn!(%error, "the connect token could not be renewed");
            }
            if let Err(error) = self.renew_now().await {
                tracing::warn!(%error, "the call token could not be renewed");
            }
        }
    }

    /// Renews the connect token where that is our business, and it is time.
    async fn renew_connect_token(&self) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Issued {
            token: String,
        }
        let Some(keep) = self.keep.as_ref().filter(|_| self.state.load().renewable) else {
            return Ok(());
        };
        if !Held::read(&(self.token)())?.is_old() {
            return Ok(());
        }
        let params = serde_json::json!({"name": "token_renew", "arguments": {}});
        let request = ask::request(&Method::TOOLS_CALL, params)?;
        let mut call = Call::new(ServerName::weft(), request, Context::new(EXCHANGE_MAX));
        call.context.credential = Some(self.credential());
        call.context.repeats = false;
        let reply = self.stack.clone().call(call).await?;
        let issued: Issued = Answer::new(reply).tool()?.structured()?;
        keep(&issued.token);
        Ok(())
    }

    /// Exchanges the connect token once more: for a new call token, and the keys of now.
    ///
    /// # Errors
    /// What the control plane says, or its silence.
    pub(super) async fn renew_now(&self) -> Result<(), Error> {
        let next = exchange(&(self.token)(), None, self.stack.clone()).await?;
        self.state.store(Arc::new(next));
        Ok(())
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
    // Who waits for it decides: one who joins hears at once what is wrong, and a renewal comes again.
    call.context.repeats = false;
    let reply = stack.call(call).await?;
    let exchanged: Exchanged = Answer::new(reply).tool()?.structured()?;
    Ok(State {
        credential: credential(exchanged.token),
        expires: exchanged.expires_at,
        anchor: exchanged.anchor,
        event_key: EventKey::read(&exchanged.event_key),
        renewable: exchanged.renewable,
    })
}

/// A call token, long and short.
pub(super) fn credential(token: String) -> Credential {
    Credential::Either {
        reference: access::reference(&token).into(),
        bearer: token.into(),
    }
}
