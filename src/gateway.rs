//! The gateway: all servers to any client of MCP, over HTTP and over stdio, in both eras.
//!
//! ```text
//! client ─> streamable (HTTP) ─┬─ modern: each request alone ──┬─> Door ──> Mesh (in the client's name)
//!           stdio (lines) ─────┴─ session: what was said once ─┘     └─ Catalogue (all tools, kept)
//! ```
//!
//! A client is let in by its connect token and calls with a call token of its own: the gateway
//! decides nothing that adapters do not decide again. What it adds is one list of all tools,
//! names that tell servers apart, and the era that a client speaks. Only [`session`] and [`older`]
//! know older eras.

mod calls;
pub mod catalogue;
pub mod door;
mod event;
pub mod fault;
mod follow;
mod headers;
mod key;
mod message;
pub mod modern;
pub mod name;
pub mod older;
mod page;
mod parameter;
pub mod session;
mod sessions;
pub mod stdio;
pub mod streamable;

use std::{sync::Arc, time::Duration};

use self::door::{Door, House, Scope};
use crate::{
    access::{self, issuer::Issuers},
    audit::{Record, Trail},
    bus::LinkState,
    error::{Error, Kind},
    mesh::{Guests, Mesh},
    spawn::Tasks,
};

/// A gateway. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Gateway {
    house: Arc<House>,
    guests: Guests,
    issuers: Issuers,
    trail: Option<Trail>,
}

impl Gateway {
    /// A gateway of a member: for other clients where it has the role gateway, else for itself
    /// alone. It returns when the tools that are there are known, or after 3 s.
    ///
    /// # Errors
    /// What the control plane says, or its silence.
    pub async fn open(mesh: &Mesh, timeout: Duration, tasks: &Tasks) -> Result<Self, Error> {
        Ok(Self {
            guests: Guests::open(mesh).await?,
            issuers: Issuers::default(),
            trail: None,
            house: Arc::new(House {
                catalogue: follow::follow(mesh, tasks).await?,
                mesh: mesh.clone(),
                timeout,
            }),
        })
    }

    /// One that lets clients in by the tokens of these issuers as well.
    #[must_use]
    pub fn believing(self, issuers: Issuers) -> Self {
        Self { issuers, ..self }
    }

    /// One that writes down whom it does not let in.
    #[must_use]
    pub fn writing(self, trail: Trail) -> Self {
        let trail = Some(trail);
        Self { trail, ..self }
    }

    /// Writes down that somebody is not let in, and gives what he is told then.
    async fn refused(&self, scope: &Scope, error: Error) -> Error {
        let decided = matches!(
            error.kind(),
            Kind::AuthenticationFailed | Kind::AccessDenied
        );
        let Some(trail) = self.trail.as_ref().filter(|_| decided) else {
            return error;
        };
        let server = scope.one().map(|server| format!("/{server}"));
        let what = format!("mcp{}", server.unwrap_or_default());
        trail.refuse(Record::refused(what, &error), error).await
    }

    /// Lets a client in by the connect token that it shows, or by one of an outside issuer.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED`, or what kept the control plane from answering.
    pub async fn door(&self, scope: Scope, token: &str) -> Result<Door, Error> {
        let guest = match self.issuers.of(token) {
            None => self.guests.admit(token).await?,
            Some(issuer) => {
                let outside = issuer
                    .verify(token, access::now())
                    .await
                    .inspect_err(|why| {
                        tracing::debug!(?why, "a token of an outside issuer is refused");
                    })?;
                self.guests.admit_outside(token, &outside).await?
            }
        };
        Ok(Door::new(Arc::clone(&self.house), scope, guest))
    }

    /// Whether calls can be made: there is a connection, and what was revoked is known.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.house.mesh.link().state() == LinkState::Up && self.guests.is_fresh()
    }

    /// The door of the member itself.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED` where its token was revoked.
    pub fn own_door(&self, scope: Scope) -> Result<Door, Error> {
        let guest = self.guests.own()?;
        Ok(Door::new(Arc::clone(&self.house), scope, guest))
    }
}
