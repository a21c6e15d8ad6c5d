//! Streamable HTTP: `/mcp` shows all servers, `/mcp/{server}` one of them, to clients of both eras.
//!
//! Which era a client is of, it says with every request: one of 2026-07-28 names its revision in
//! `_meta` and in a header, an older one opens a session and names that.

mod get;
mod metadata;
mod post;
mod refuse;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::MethodRouter,
};

pub use self::metadata::Site;
use self::refuse::Refusal;
use super::{
    Gateway,
    door::{Door, Scope},
    headers::{self, SESSION},
    sessions::Sessions,
};
use crate::{
    access::TokenError,
    error::{Error, Kind, case},
    http::Bodies,
    mcp::Extent,
    name::ServerName,
    spawn::Tasks,
};

/// How the endpoints are run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of one request's body.
    pub body: usize,
    /// Bytes of all bodies under way.
    pub in_flight: usize,
    /// How long a body may take to come.
    pub body_time: Duration,
    /// How deep and how wide a request may be.
    pub extent: Extent,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body: 4 * 1024 * 1024,
            in_flight: 256 * 1024 * 1024,
            body_time: Duration::from_secs(30),
            extent: Extent::default(),
        }
    }
}

/// What all endpoints share.
#[derive(Clone, Debug)]
struct Endpoint {
    gateway: Gateway,
    sessions: Sessions,
    bodies: Bodies,
    extent: Extent,
    /// Calls of older clients go on when their connection breaks: these own them.
    tasks: Tasks,
}

/// The routes of a gateway.
pub fn routes(gateway: Gateway, options: Options, site: Site, tasks: &Tasks) -> Router {
    let site = Arc::new(site);
    let endpoint = Arc::new(Endpoint {
        gateway,
        sessions: Sessions::new(),
        bodies: Bodies::new(options.body, options.in_flight, options.body_time),
        extent: options.extent,
        tasks: tasks.clone(),
    });
    let all = MethodRouter::new()
        .post(|State(at): At, request| at.post(Scope::All, request))
        .get(|State(at): At, headers| at.get(Scope::All, headers))
        .delete(|State(at): At, headers| at.delete(Scope::All, headers))
        .fallback(not_allowed);
    let one = MethodRouter::new()
        .post(|State(at): At, Path(server): Name, request| async move {
            match scope(&server) {
                Ok(scope) => at.post(scope, request).await,
                Err(refusal) => refusal.into_response(),
            }
        })
        .get(|State(at): At, Path(server): Name, headers| async move {
            match scope(&server) {
                Ok(scope) => at.get(scope, headers).await,
                Err(refusal) => refusal.into_response(),
            }
        })
        .delete(|State(at): At, Path(server): Name, headers| async move {
            match scope(&server) {
                Ok(scope) => at.delete(scope, headers).await,
                Err(refusal) => refusal.into_response(),
            }
        })
        .fallback(not_allowed);
    Router::new()
        .route("/mcp", all)
        .route("/mcp/{server}", one)
        .with_state(endpoint)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&site),
            metadata::point,
        ))
        .merge(metadata::routes(site))
}

type At = State<Arc<Endpoint>>;
type Name = Path<String>;

/// Which server an endpoint is of.
fn scope(server: &str) -> Result<Scope, Refusal> {
    ServerName::new(server).map(Scope::One).map_err(|error| {
        let error = Error::new(Kind::ToolNotFound, error.to_string()).case(case::SERVER_NOT_FOUND);
        Refusal::at(StatusCode::NOT_FOUND, &error)
    })
}

/// 2026-07-28 knows POST alone; older revisions GET and DELETE as well.
async fn not_allowed() -> Response {
    refuse::not_allowed()
}

impl Endpoint {
    /// Lets a client in.
    async fn door(&self, scope: Scope, headers: &HeaderMap) -> Result<Door, Refusal> {
        let door = match bearer(headers) {
            Ok(token) => self.gateway.door(scope.clone(), token).await,
            Err(missing) => Err(missing.into()),
        };
        match door {
            Ok(door) => Ok(door),
            Err(error) => Err(Refusal::of(&self.gateway.refused(&scope, error).await)),
        }
    }

    /// Ends a session.
    async fn delete(self: Arc<Self>, scope: Scope, headers: HeaderMap) -> Response {
        let door = match self.door(scope, &headers).await {
            Ok(door) => door,
            Err(refusal) => return refusal.into_response(),
        };
        let Some(id) = headers::one(&headers, SESSION) else {
            return refuse::not_allowed();
        };
        let who = door.guest().identity();
        if self.sessions.find(who, id, door.scope()).is_none() {
            return refuse::no_session().into_response();
        }
        self.sessions.end(who, id);
        StatusCode::NO_CONTENT.into_response()
    }
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let shown = headers::one(headers, header::AUTHORIZATION.as_str()).ok_or(TokenError::Missing)?;
    let (scheme, token) = shown.split_once(' ').ok_or(TokenError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    Ok(token.trim())
}
