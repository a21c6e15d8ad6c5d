//! [`Call`] and [`Reply`]: the only two things that cross a policy stack.
//!
//! Everything that answers a call is a `tower::Service<Call>`: a stdio child, a server written in
//! Rust, a server on the other side of the bus. Every policy is a layer over one.
//!
//! A reply is one answer. What a server says before it (progress, log messages) goes past the
//! stack, through the [`Notify`] that the caller put into the call: so a deadline, a retry or a
//! metric is about one future, and dropping that future is what cancels a call, everywhere.

pub mod condition;
pub mod context;
pub mod grant;
pub mod notify;
pub mod permission;
pub mod principal;
pub mod service;

use bytes::Bytes;
pub use context::Context;
pub use notify::Notify;
pub use permission::{Permission, Permissions};
pub use principal::{Actor, Principal};
pub use service::{CallFuture, CallService, SharedService};

use crate::{
    mcp::Request,
    name::{Identity, Instance, ServerName},
};

/// One call, on its way to a server.
#[derive(Clone, Debug)]
pub struct Call {
    /// The server that is called.
    pub server: ServerName,
    /// One of its instances, where it must be that one.
    pub instance: Option<Instance>,
    /// The JSON-RPC request.
    pub request: Request,
    /// Everything about the call that is not in the request.
    pub context: Context,
}

impl Call {
    /// A call of this server with this request.
    #[must_use]
    pub const fn new(server: ServerName, request: Request, context: Context) -> Self {
        Self {
            server,
            instance: None,
            request,
            context,
        }
    }

    /// The tool, where a tool is called.
    #[must_use]
    pub fn tool(&self) -> Option<&str> {
        (*self.request.method() == crate::mcp::Method::TOOLS_CALL)
            .then(|| self.request.name())
            .flatten()
    }

    /// What an error says about the operation.
    #[must_use]
    pub fn error_context(&self) -> crate::error::Context {
        self.about().error_context()
    }

    /// What is kept of a call while it is under way, for the error that may come of it.
    #[must_use]
    pub fn about(&self) -> About {
        About {
            server: self.server.clone(),
            request: self.request.clone(),
            correlation: self.context.correlation.clone(),
            caller: self.context.caller.clone(),
        }
    }
}

/// What an error says about a call. Nothing is put into words before there is one.
#[derive(Clone, Debug)]
pub struct About {
    server: ServerName,
    request: Request,
    correlation: context::Correlation,
    caller: Option<Identity>,
}

impl About {
    /// The id of the request, as it was spelt.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request.id()
    }

    /// In words.
    #[must_use]
    pub fn error_context(&self) -> crate::error::Context {
        let method = self.request.method();
        crate::error::Context {
            server_name: self.server.as_str().to_owned(),
            operation: self
                .request
                .name()
                .map_or_else(|| method.to_string(), |name| format!("{method} {name}")),
            request_id: self.correlation.to_string(),
            user_id: self.caller.as_ref().map(ToString::to_string),
            ..crate::error::Context::default()
        }
    }
}

/// The answer to a call: a JSON-RPC response, as the server wrote it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The response.
    pub body: Bytes,
    /// Whether it is known to be an error: a JSON-RPC error, or a result with `isError`.
    /// A side that only carries the body does not look.
    pub failed: bool,
}
