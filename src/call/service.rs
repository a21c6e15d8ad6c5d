//! The one seam: `tower::Service<Call>`, with its bounds spelled once.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower::Service;

use super::{Call, Reply};
use crate::error::Error;

/// A call under way. Dropping it cancels the call.
pub type CallFuture = BoxFuture<'static, Result<Reply, Error>>;

/// Anything that answers calls. It is always ready: what has no room for one more call says so
/// in its answer (`SERVER_OVERLOADED`), because a caller must hear it rather than wait.
pub trait CallService:
    Service<Call, Response = Reply, Error = Error, Future = CallFuture> + Clone + Send + Sync + 'static
{
}

impl<S> CallService for S where
    S: Service<Call, Response = Reply, Error = Error, Future = CallFuture>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// A service whose type was forgotten: the top of a stack. A cheap handle.
///
/// `tower`'s own (`BoxCloneSyncService`) makes three allocations for each call, because it does not
/// know that our futures are boxed and that clones may share.
#[derive(Clone)]
pub struct SharedService(Arc<dyn Fn(Call) -> CallFuture + Send + Sync>);

impl SharedService {
    /// Forgets the type of a service.
    pub fn new(service: impl CallService) -> Self {
        Self(Arc::new(move |call| service.clone().call(call)))
    }
}

impl fmt::Debug for SharedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedService").finish_non_exhaustive()
    }
}

impl Service<Call> for SharedService {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> CallFuture {
        (self.0)(call)
    }
}

/// An async function as a service.
#[derive(Clone, Debug)]
pub struct Answer<F>(F);

/// Makes a service of an async function.
pub const fn answer<F, R>(function: F) -> Answer<F>
where
    F: Fn(Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Reply, Error>> + Send + 'static,
{
    Answer(function)
}

impl<F, R> Service<Call> for Answer<F>
where
    F: Fn(Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Reply, Error>> + Send + 'static,
{
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> CallFuture {
        Box::pin((self.0)(call))
    }
}
