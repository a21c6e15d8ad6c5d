//! Who calls: the token of the call, checked against what this process trusts.

use std::task::{Context, Poll};

use tower::Service;

use super::audit::{Auditor, refusal};
use crate::{
    access::{self, Trust},
    call::{Call, CallFuture, CallService, Reply},
    error::{Error, Kind, case},
};

/// Which calls need no token: there the broker's word for the caller is enough.
pub type Open = fn(&Call) -> bool;

/// Lets nobody in without a token.
#[derive(Clone, Debug)]
pub struct Auth<S> {
    trust: Trust,
    open: Open,
    auditor: Option<Auditor>,
    inner: S,
}

impl<S> Auth<S> {
    /// Checks the tokens of calls to `inner`.
    pub const fn new(trust: Trust, open: Open, auditor: Option<Auditor>, inner: S) -> Self {
        Self {
            trust,
            open,
            auditor,
            inner,
        }
    }

    fn authenticate(&self, call: &mut Call) -> Result<(), Error> {
        let Some(caller) = &call.context.caller else {
            return Err(
                Error::new(Kind::AuthenticationFailed, "the call names no caller")
                    .case(case::TOKEN_MISSING),
            );
        };
        let principal = if (self.open)(call) {
            access::vouched(caller)
        } else {
            self.trust
                .authenticate(call.context.credential.as_ref(), caller.as_str())?
        };
        call.context.principal = Some(principal);
        // From here on nobody needs the token: it goes no further.
        call.context.credential = None;
        Ok(())
    }
}

impl<S: CallService> Service<Call> for Auth<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> CallFuture {
        match self.authenticate(&mut call) {
            Ok(()) => self.inner.call(call),
            Err(error) => refusal(self.auditor.as_ref(), call, error),
        }
    }
}
