//! The mesh, as a program uses it: call a tool by the names of its server and itself.
//!
//! ```no_run
//! # async fn f(options: weftbus::mesh::Options) -> Result<(), weftbus::error::Error> {
//! use serde_json::json;
//! let mesh = weftbus::mesh::Mesh::connect(options).await?;
//! let found = mesh
//!     .call_tool(
//!         "search-aggregator",
//!         "execute_parallel_search",
//!         json!({"query": "market trends in AI", "providers": ["brave", "tavily"], "maxResults": 20}),
//!     )
//!     .await?;
//! println!("{}", found.text());
//! # Ok(())
//! # }
//! ```

mod acting;
mod ask;
mod audit;
mod beside;
mod delivery;
mod events;
mod feed;
mod guest;
mod kept;
mod options;
mod outlet;
mod replay;
mod resources;
mod result;
mod servers;
mod session;
mod subscribe;
mod tail;
mod trust;

use std::{sync::Arc, time::Duration};

use futures_util::TryFutureExt as _;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use tokio::sync::OnceCell;
use tower::Service as _;

pub use self::{
    acting::Acting,
    ask::Ask,
    audit::{Trail, Written},
    beside::Beside,
    delivery::{Delivery, Place},
    events::Events,
    guest::{Guest, Guests},
    options::{Keep, Options, TokenSource},
    outlet::Outlet,
    replay::Replay,
    resources::{Reader, Resources, Upload},
    result::{Answer, ToolResult},
    servers::Servers,
    subscribe::{Subscribe, Subscription},
    tail::{Begin, Stored, Tail, Told},
};
use self::{acting::Tokens, session::Session};
use crate::{
    access::{Trust, exchange::Held},
    bus::{Auth, Batching, Link, Options as BusOptions, Remote, connect::BACKLOG},
    call::{Call, Principal, Reply, SharedService},
    error::{Error, Kind},
    event::{EventKey, Publisher},
    mcp::Method,
    name::{Identity, ServerName},
    policy::{
        self,
        breaker::{self, Breakers},
    },
    spawn::Tasks,
    telemetry::metric::{Side, Tools},
};

/// A member of the mesh. A cheap handle: clones share one connection.
#[derive(Clone, Debug)]
pub struct Mesh {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Link,
    /// How another connection is made.
    bus: BusOptions,
    stack: SharedService,
    remote: Remote,
    session: Session,
    timeout: Duration,
    tools: Tools,
    tasks: Tasks,
    publisher: OnceCell<Publisher>,
    acting: Tokens,
}

impl Mesh {
    /// Joins: connects with the token, and gets a call token for it.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` (BROKER_UNAVAILABLE, SERVER_UNAVAILABLE) where there is no broker or no
    /// control plane, `AUTHENTICATION_FAILED` where the token is refused.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        Self::connect_in(options, &Tasks::new()).await
    }

    /// Joins, with all background work in this group.
    ///
    /// # Errors
    /// As [`Mesh::connect`].
    pub async fn connect_in(options: Options, tasks: &Tasks) -> Result<Self, Error> {
        let tasks = tasks.group();
        let held = Held::read(&(options.token)())?;
        let bus = BusOptions {
            urls: options.urls,
            identity: held.sub.clone(),
            auth: options
                .broker
                .unwrap_or_else(|| Auth::Token(Arc::clone(&options.token))),
            tls: options.tls,
            name: format!("weft {}", held.sub),
            backlog: BACKLOG,
        };
        // A login of the broker's own says nothing about the token.
        let by_token = matches!(bus.auth, Auth::Token(_));
        let link = Link::connect(bus.clone(), &tasks)
            .await
            .map_err(|refused| {
                let why = held.why_refused().filter(|_| by_token);
                match why.filter(|_| refused.kind() == Kind::AuthenticationFailed) {
                    Some(why) => Error::from(why).source(refused),
                    None => refused,
                }
            })?;
        let tools = Tools::new(Side::Client);
        let remote = Remote::new(link.clone(), options.bounds);
        let breaker = breaker::Options {
            rules: options.breaker,
            ..breaker::Options::new(options.timeout)
        };
        let policies = policy::caller::Options {
            retry: options.retry,
            breakers: Breakers::new(breaker),
            ..policy::caller::Options::new(tools.clone(), options.timeout)
        };
        let stack = policy::caller::stack(remote.clone(), policies);
        let session = Session::open(options.token, options.keep, stack.clone(), &tasks).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                link,
                bus,
                stack,
                remote,
                session,
                timeout: options.timeout,
                tools,
                tasks,
                publisher: OnceCell::new(),
                acting: acting::tokens(),
            }),
        })
    }

    /// Who we are.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.inner.link.identity()
    }

    /// Calls a tool and waits for its result.
    ///
    /// # Errors
    /// Whatever kept the tool from answering; an answer that says `isError` is a result.
    pub async fn call_tool(
        &self,
        server: &str,
        tool: &str,
        arguments: impl Serialize,
    ) -> Result<ToolResult, Error> {
        self.tool(server, tool, arguments)?.send().await?.tool()
    }

    /// A tool call to be sent: with another time-out, notifications, a correlation id.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where a name is none or the arguments are no JSON.
    pub fn tool(&self, server: &str, tool: &str, arguments: impl Serialize) -> Result<Ask, Error> {
        let arguments = serde_json::to_value(arguments)
            .map_err(|error| Error::new(Kind::InvalidParams, error.to_string()))?;
        let params = serde_json::json!({"name": tool, "arguments": arguments});
        self.ask(server, Method::TOOLS_CALL, params)
    }

    /// Any request of MCP to a server, to be sent.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the server's name is none or `params` is no object.
    pub fn ask(&self, server: &str, method: Method, params: Value) -> Result<Ask, Error> {
        let server = ServerName::new(server)
            .map_err(|error| Error::new(Kind::InvalidParams, error.to_string()))?;
        Ask::new(self.clone(), server, method, params)
    }

    /// The tools of a server, all pages of them, each as the server wrote it.
    ///
    /// # Errors
    /// Whatever kept the server from answering; more than 100 pages.
    pub async fn list_tools(&self, server: &str) -> Result<Vec<Box<RawValue>>, Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            tools: Vec<Box<RawValue>>,
            next_cursor: Option<String>,
        }
        let mut tools = Vec::new();
        let mut params = Value::Object(serde_json::Map::new());
        for _ in 0..100 {
            let answer = self.ask(server, Method::TOOLS_LIST, params)?.send().await?;
            let page: Page = answer.result()?;
            tools.extend(page.tools);
            let Some(cursor) = page.next_cursor else {
                return Ok(tools);
            };
            params = serde_json::json!({"cursor": cursor});
        }
        Err(Error::new(
            Kind::ToolExecutionError,
            format!("`{server}` has more than 100 pages of tools"),
        ))
    }

    /// Calls a tool of the control plane and reads its structured result.
    ///
    /// # Errors
    /// What the control plane says; a result that is not of the shape.
    pub async fn control<T: DeserializeOwned>(
        &self,
        tool: &str,
        arguments: impl Serialize,
    ) -> Result<T, Error> {
        let result = self
            .call_tool(crate::name::id::WEFT, tool, arguments)
            .await?;
        result.structured()
    }

    /// Sends a call as this member. The reply is the response as it came.
    ///
    /// # Errors
    /// Whatever the mesh or an adapter says; a server's own error is a reply.
    pub fn send(
        &self,
        mut call: Call,
    ) -> impl Future<Output = Result<Reply, Error>> + Send + use<'_> {
        let own = || self.inner.session.credential();
        call.context.credential.get_or_insert_with(own);
        let about = call.about();
        // Outside of the future, which is moved: so it is to be small.
        let answer = self.inner.stack.clone().call(call);
        answer
            .map_err(move |error| error.located(self.identity().as_str(), || about.error_context()))
    }

    /// Sends a call in the name of a guest: what an edge does for its clients.
    ///
    /// # Errors
    /// As [`Mesh::send`]; `ACCESS_DENIED` where this member may not call in other names.
    pub fn send_as(
        &self,
        guest: &Guest,
        mut call: Call,
    ) -> impl Future<Output = Result<Reply, Error>> + Send + use<> {
        call.context.credential = Some(guest.credential.clone());
        call.context.caller = Some(guest.identity().clone());
        let (about, own) = (call.about(), self.identity().clone());
        let answer = self.inner.stack.clone().call(call);
        answer.map_err(move |error| error.located(own.as_str(), || about.error_context()))
    }

    /// Calls for somebody who called us, who is the `principal` of a call that we serve. What comes of
    /// it may be no more than both may.
    ///
    /// # Errors
    /// What the control plane says; `AUTHENTICATION_FAILED` where that caller showed no token.
    pub async fn acting_for(&self, principal: &Principal) -> Result<Acting, Error> {
        Acting::open(self, principal).await
    }

    /// Has calls to a server go out together from now on, where they come while others like them are
    /// under way; `None`: each goes when it comes. For servers whose registry entry says `batch`.
    pub fn batch(&self, server: &ServerName, how: Option<Batching>) {
        self.inner.remote.batch(server, how);
    }

    /// The servers that this member may see, now and whenever one of them joins, changes or
    /// leaves: a change is seen within a second.
    ///
    /// # Errors
    /// What the control plane says, or its silence.
    pub async fn servers(&self) -> Result<tokio::sync::watch::Receiver<Servers>, Error> {
        servers::follow(self, &self.inner.tasks).await
    }

    /// What this process knows of tokens, kept up to date by the control plane: what a server
    /// needs to check who calls it.
    ///
    /// # Errors
    /// What the control plane says, or its silence.
    pub async fn trust(&self) -> Result<Trust, Error> {
        trust::follow(self, &self.inner.tasks).await
    }

    /// The events of the mesh.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.clone())
    }

    /// The shared resources.
    #[must_use]
    pub fn resources(&self) -> Resources {
        Resources::new(self.clone())
    }

    /// The connection.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.inner.link
    }

    /// The calls that this member made, counted.
    #[must_use]
    pub fn counts(&self) -> &Tools {
        &self.inner.tools
    }

    /// Leaves: lets what was said arrive and stops what runs in the background, each at most two
    /// seconds.
    pub async fn close(self) {
        self.inner.link.settle().await;
        if !self.inner.tasks.stop(Duration::from_secs(2)).await {
            tracing::debug!("the mesh was left before all of its tasks ended");
        }
    }

    /// The secret under whose ids this member publishes.
    pub(crate) fn event_key(&self) -> Result<EventKey, Error> {
        self.inner.session.event_key().ok_or_else(|| {
            Error::new(
                Kind::InternalError,
                "the control plane gave no secret for the ids of events: is it older than this \
                 program?",
            )
        })
    }

    fn stack(&self) -> SharedService {
        self.inner.stack.clone()
    }

    fn session(&self) -> &Session {
        &self.inner.session
    }

    fn timeout(&self) -> Duration {
        self.inner.timeout
    }
}
