//! What one client sees through one endpoint: all servers as one, or one server as itself.
//!
//! A [`Door`] answers requests as 2026-07-28 has them; what older clients need beyond that is the
//! business of [`super::session`]. It neither knows HTTP nor lines.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{catalogue::Catalogue, key, page, parameter::Parameter};
use crate::{
    call::{Call, Context, Notify, Principal, Reply},
    error::{self, Error, Kind, case},
    mcp::{Method, Request, version},
    mesh::{Guest, Mesh},
    name::{ServerName, id},
};

/// Which servers an endpoint shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them, their tools under the names of [`super::name`].
    All,
    /// One, under its own names.
    One(ServerName),
}

impl Scope {
    /// The one server.
    #[must_use]
    pub const fn one(&self) -> Option<&ServerName> {
        match self {
            Self::All => None,
            Self::One(server) => Some(server),
        }
    }
}

/// What all doors of a gateway share.
#[derive(Debug)]
pub(super) struct House {
    pub(super) mesh: Mesh,
    pub(super) catalogue: watch::Receiver<Arc<Catalogue>>,
    /// How long a call may take.
    pub(super) timeout: Duration,
}

/// One client at one endpoint. Cheap to make and to clone.
#[derive(Clone, Debug)]
pub struct Door {
    house: Arc<House>,
    scope: Scope,
    guest: Guest,
}

impl Door {
    pub(super) const fn new(house: Arc<House>, scope: Scope, guest: Guest) -> Self {
        Self {
            house,
            scope,
            guest,
        }
    }

    /// Which servers it shows.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Who stands at it.
    #[must_use]
    pub const fn guest(&self) -> &Guest {
        &self.guest
    }

    /// What he may do.
    fn may(&self) -> &Principal {
        &self.guest.principal
    }

    /// Answers a request; what is said before the answer goes to `notify`. Dropping the future
    /// cancels what is under way.
    ///
    /// # Errors
    /// What the mesh or an adapter says; a server's own error is a reply.
    pub async fn answer(&self, request: Request, notify: Option<Notify>) -> Result<Reply, Error> {
        let method = request.method();
        match &self.scope {
            Scope::One(server) => {
                let server = server.clone();
                self.carry(server, request, notify).await
            }
            Scope::All if *method == Method::TOOLS_CALL => {
                let (server, request) = self.routed(&request)?;
                self.carry(server, request, notify).await
            }
            Scope::All if *method == Method::TOOLS_LIST => self.list(&request),
            // Names of resources are URIs, which can't be told apart by a prefix: here are those that
            // the mesh itself keeps. Those of a server are at its own endpoint.
            Scope::All if SHARED.contains(&method.as_str()) => {
                self.carry(ServerName::weft(), request, notify).await
            }
            Scope::All if *method == Method::DISCOVER => Ok(reply(&request, &self.about())),
            Scope::All => Err(Error::new(
                Kind::MethodNotFound,
                format!(
                    "`{method}` is not answered for all servers together: ask one of them, at the \
                     endpoint that ends with its name"
                ),
            )),
        }
        .map_err(|error| {
            error.located(id::GATEWAY, || error::Context {
                operation: "gateway".to_owned(),
                user_id: Some(self.guest.identity().to_string()),
                ..error::Context::default()
            })
        })
    }

    async fn carry(
        &self,
        server: ServerName,
        request: Request,
        notify: Option<Notify>,
    ) -> Result<Reply, Error> {
        let mut context = Context::new(self.house.timeout);
        context.notify = notify;
        context.key = key::of(&request)?;
        let call = Call::new(server, request, context);
        self.house.mesh.send_as(&self.guest, call).await
    }

    /// A tool call under the tool's own name, and the server that it goes to.
    fn routed(&self, request: &Request) -> Result<(ServerName, Request), Error> {
        let shown = request.name().unwrap_or_default();
        let catalogue = self.catalogue();
        let (server, tool) = catalogue.find(shown).ok_or_else(|| {
            Error::new(
                Kind::ToolNotFound,
                format!("`{shown}` is no name of a tool here: they are `server__tool`, as `tools/list` has them"),
            )
            .case(case::SERVER_NOT_FOUND)
        })?;
        let request = request
            .renamed(tool)
            .map_err(|error| Error::new(Kind::InvalidParams, error.to_string()))?;
        Ok((server, request))
    }

    fn list(&self, request: &Request) -> Result<Reply, Error> {
        let catalogue = self.catalogue();
        let result = page::tools(
            &catalogue,
            self.may(),
            page::cursor(request.params())?.as_ref(),
        )?;
        Ok(Reply {
            body: wrapped(request, &result),
            failed: false,
        })
    }

    /// What the gateway says of itself.
    pub(super) fn about(&self) -> Value {
        json!({
            "resultType": "complete",
            "supportedVersions": [version::MESH],
            "capabilities": {"tools": {"listChanged": true}, "resources": {}, "logging": {}},
            "instructions": INSTRUCTIONS,
            "ttlMs": page::TTL_MS,
            "cacheScope": "private",
            "_meta": {version::META_SERVER_INFO: about_us()},
        })
    }

    pub(super) fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.house.catalogue.borrow())
    }

    /// The arguments of the tool that a request calls which are repeated in headers.
    pub(super) fn parameters(&self, request: &Request) -> Option<Arc<[Parameter]>> {
        let name = (*request.method() == Method::TOOLS_CALL).then(|| request.name())??;
        let catalogue = self.house.catalogue.borrow();
        let found = match &self.scope {
            Scope::One(server) => catalogue.parameters(server, name),
            Scope::All => {
                let (server, name) = catalogue.find(name)?;
                catalogue.parameters(&server, name)
            }
        };
        found.cloned()
    }

    /// What he sees of the tools now, as a number that changes with it.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.catalogue().mark(self.scope.one(), self.may())
    }

    /// Follows what he sees of the tools, from what he saw when they had this mark.
    #[must_use]
    pub fn changes(&self, since: u64) -> Changes {
        Changes {
            door: self.clone(),
            catalogue: self.house.catalogue.clone(),
            mark: since,
        }
    }
}

/// The changes of what one client sees.
#[derive(Debug)]
pub struct Changes {
    door: Door,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    mark: u64,
}

impl Changes {
    /// Resolves with their mark when the tools that he sees are others than before; never when the
    /// gateway ended.
    pub async fn next(&mut self) -> u64 {
        loop {
            let now = {
                let catalogue = self.catalogue.borrow_and_update();
                catalogue.mark(self.door.scope.one(), self.door.may())
            };
            if now != self.mark {
                self.mark = now;
                return now;
            }
            if self.catalogue.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What is answered for the mesh's own resources.
const SHARED: [&str; 3] = [
    "resources/list",
    "resources/templates/list",
    "resources/read",
];

/// How a model is told what it looks at.
const INSTRUCTIONS: &str = "Tools of several servers, each named server__tool. Servers that can't be reached now stand in the list's _meta under weftbus/unavailable.";

/// What the gateway calls itself.
pub(super) fn about_us() -> Value {
    json!({"name": "weft", "title": "Weft", "version": env!("CARGO_PKG_VERSION")})
}

fn reply(request: &Request, result: &Value) -> Reply {
    Reply {
        body: wrapped(request, &result.to_string()),
        failed: false,
    }
}

/// A result as the answer to a request.
pub(super) fn wrapped(request: &Request, result: &str) -> Bytes {
    let id = request.id().unwrap_or("null");
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into()
}
