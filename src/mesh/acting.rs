//! Calling for somebody who called us: with a call token that says both (RFC 8693).
//!
//! ```no_run
//! # async fn f(mesh: weftbus::mesh::Mesh, call: weftbus::call::Call)
//! # -> Result<(), weftbus::error::Error> {
//! use weftbus::error::{Error, Kind};
//! let principal = call.context.principal.as_deref();
//! let principal = principal.ok_or_else(|| Error::new(Kind::InternalError, "nobody calls"))?;
//! let acting = mesh.acting_for(principal).await?;
//! let ask = acting.tool("search-aggregator", "search", serde_json::json!({}))?;
//! let found = ask.within(&call.context).send().await?.tool()?;
//! # drop(found);
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use moka::future::Cache;
use serde::Serialize;

use super::{
    Ask, Mesh, ToolResult,
    guest::again,
    kept::{Kept, Renewal},
};
use crate::{
    access::{
        self, TokenError,
        exchange::{Delegate, Delegated},
    },
    call::{Principal, context::Credential},
    error::Error,
};

/// Callers that are remembered. Of another one the control plane is asked anew.
const CALLERS_MAX: u64 = 1_000;

/// The tokens with which we act for others, by the reference of theirs.
pub(super) type Tokens = Cache<Arc<str>, Arc<Kept>>;

pub(super) fn tokens() -> Tokens {
    Cache::builder()
        .max_capacity(CALLERS_MAX)
        .expire_after(Renewal)
        .build()
}

/// A member that calls for somebody else.
#[derive(Clone, Debug)]
pub struct Acting {
    mesh: Mesh,
    credential: Credential,
}

impl Acting {
    pub(super) async fn open(mesh: &Mesh, principal: &Principal) -> Result<Self, Error> {
        let Some(Credential::Either { bearer, reference }) = &principal.shown else {
            return Err(TokenError::Missing.into());
        };
        let having = delegate(mesh, principal, bearer);
        let tokens = &mesh.inner.acting;
        let kept = match tokens.get(reference).await {
            Some(kept) => kept,
            None => tokens
                .try_get_with(Arc::clone(reference), having)
                .await
                .map_err(|error| again(&error))?,
        };
        Ok(Self {
            mesh: mesh.clone(),
            credential: kept.credential.clone(),
        })
    }

    /// Calls a tool and waits for its result.
    ///
    /// # Errors
    /// As [`Mesh::call_tool`].
    pub async fn call_tool(
        &self,
        server: &str,
        tool: &str,
        arguments: impl Serialize,
    ) -> Result<ToolResult, Error> {
        self.tool(server, tool, arguments)?.send().await?.tool()
    }

    /// A tool call to be sent.
    ///
    /// # Errors
    /// As [`Mesh::tool`].
    pub fn tool(&self, server: &str, tool: &str, arguments: impl Serialize) -> Result<Ask, Error> {
        let ask = self.mesh.tool(server, tool, arguments)?;
        // Who called us makes his own call again; if we did as well, there would be too many.
        Ok(ask.with(self.credential.clone()).once())
    }
}

async fn delegate(mesh: &Mesh, principal: &Principal, bearer: &str) -> Result<Arc<Kept>, Error> {
    let shown = Delegate {
        subject_token: bearer.to_owned(),
    };
    let delegated: Delegated = mesh.control("token_delegate", shown).await?;
    let credential = Credential::Either {
        reference: access::reference(&delegated.token).into(),
        bearer: delegated.token.into(),
    };
    let identity = principal.identity.clone();
    Ok(Kept::new(identity, credential, delegated.expires_at)?)
}
