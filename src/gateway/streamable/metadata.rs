//! OAuth protected-resource metadata (RFC 9728): where a client that has no token gets one.
//!
//! It is there where an outside issuer is configured that has a URL. Without one there is nobody to
//! send a client to: tokens are given out by hand.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::json;

use crate::gateway::headers;

/// Where the documents are: the path of an endpoint follows (RFC 9728, 3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The gateway as clients see it from outside.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Scheme and host, where they are not those of the request.
    pub public_url: Option<String>,
    /// Whether TLS is spoken here.
    pub tls: bool,
    /// The issuers that people can ask for a token.
    pub issuers: Vec<String>,
}

impl Site {
    /// Scheme and host. The host of a request was checked: it is one of ours.
    fn base(&self, headers: &HeaderMap) -> Option<String> {
        if let Some(url) = &self.public_url {
            return Some(url.clone());
        }
        let host = headers::one(headers, header::HOST.as_str())?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
        let scheme = if self.tls { "https" } else { "http" };
        host.bytes()
            .all(plain)
            .then(|| format!("{scheme}://{host}"))
    }

    /// The end of a challenge that says where the document of an endpoint is.
    fn pointer(&self, headers: &HeaderMap, path: &str) -> Option<String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_/".contains(&b);
        if self.issuers.is_empty() || !path.bytes().all(plain) {
            return None;
        }
        let base = self.base(headers)?;
        Some(format!(r#", resource_metadata="{base}{WELL_KNOWN}{path}""#))
    }
}

/// The documents: of the host, of `/mcp`, and of each `/mcp/{server}`.
pub(super) fn routes(site: Arc<Site>) -> Router {
    Router::new()
        .route(WELL_KNOWN, get(document))
        .route(&format!("{WELL_KNOWN}/mcp"), get(document))
        .route(&format!("{WELL_KNOWN}/mcp/{{server}}"), get(document))
        .with_state(site)
}

async fn document(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().strip_prefix(WELL_KNOWN).unwrap_or_default();
    let base = site.base(&headers);
    let Some(base) = base.filter(|_| !site.issuers.is_empty()) else {
        let said = "no issuer is configured (`gateway.issuers`): tokens are given out by hand";
        return (StatusCode::NOT_FOUND, said).into_response();
    };
    let document = json!({
        "resource": format!("{base}{path}"),
        "authorization_servers": site.issuers,
        "bearer_methods_supported": ["header"],
        "resource_name": "Weft",
    });
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], document.to_string()).into_response()
}

/// Says in each challenge where the document is (RFC 9728, 5.1).
pub(super) async fn point(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    if site.issuers.is_empty() {
        return next.run(request).await;
    }
    let pointer = site.pointer(request.headers(), request.uri().path());
    let mut response = next.run(request).await;
    let challenge = response.headers().get(header::WWW_AUTHENTICATE);
    let pointed = challenge
        .and_then(|said| Some(format!("{}{}", said.to_str().ok()?, pointer?)))
        .and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(pointed) = pointed {
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, pointed);
    }
    response
}
