//! One request to the server: its headers, its redirects, what breaks on the way.

use std::{error::Error as _, fmt, time::Duration};

use bytes::Bytes;
use reqwest::{
    Method, Request, Response, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION},
    redirect::Policy,
};

use super::{
    endpoint::Endpoint,
    gap::{Gap, Status},
    options::Options,
    reach::Public,
};

/// Redirects of one request that are followed.
const REDIRECTS_MAX: usize = 5;
/// Idle connections are closed before servers do it (Node and uvicorn after 5 s): a request on one
/// that is just being closed would be lost.
const IDLE: Duration = Duration::from_secs(4);
/// How soon a connection whose other end has gone is found out.
const KEEPALIVE: Duration = Duration::from_secs(30);
const EITHER: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Connections to one server. Clones share them.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
    headers: HeaderMap,
}

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// There is no TLS on this machine: in words.
    pub(super) fn new(options: &Options) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("weft/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(options.timeouts.connect)
            .tcp_keepalive(KEEPALIVE)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.limits.idle);
        if options.endpoint.url().scheme() == "http" {
            // The authorities of the machine are not read for a server without TLS.
            builder = builder.tls_certs_only([]);
        }
        if options.endpoint.is_outside() {
            builder = builder.dns_resolver(Public);
        }
        let http = builder.build().map_err(|error| {
            format!(
                "HTTPS can't be spoken here: {}. Are the certificates of authorities installed?",
                chain(&error)
            )
        })?;
        Ok(Self {
            http,
            endpoint: options.endpoint.clone(),
            headers: options.headers.map().clone(),
        })
    }

    /// A message to the server.
    pub(super) async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Response, Gap> {
        self.send(Method::POST, EITHER, headers, body).await
    }

    /// A stream from the server.
    pub(super) async fn get(&self, headers: HeaderMap) -> Result<Response, Gap> {
        self.send(Method::GET, EVENTS, headers, Bytes::new()).await
    }

    /// The end of a session.
    pub(super) async fn delete(&self, headers: HeaderMap) -> Result<Response, Gap> {
        self.send(Method::DELETE, EITHER, headers, Bytes::new())
            .await
    }

    async fn send(
        &self,
        method: Method,
        accept: HeaderValue,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Gap> {
        let mut url = self.endpoint.url().clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut request = Request::new(method.clone(), url.clone());
            let all = request.headers_mut();
            all.clone_from(&self.headers);
            all.extend(headers.clone());
            all.insert(ACCEPT, accept.clone());
            if method == Method::POST {
                all.insert(CONTENT_TYPE, JSON);
                *request.body_mut() = Some(body.clone().into());
            }
            let response = self
                .http
                .execute(request)
                .await
                .map_err(|error| self.gap(error))?;
            match self.redirect(&response, &url)? {
                Some(next) => url = next,
                None => return Ok(response),
            }
        }
        let why = format!("more than {REDIRECTS_MAX} redirects. Write the URL that they end at");
        Err(Gap::Away(why))
    }

    /// Where a redirect leads: within the same origin, and with the same method and body
    /// (RFC 9110, 15.4: 307 and 308). Anywhere else our headers have no business.
    fn redirect(&self, response: &Response, at: &Url) -> Result<Option<Url>, Gap> {
        let code = response.status();
        let Some(to) = response
            .headers()
            .get(LOCATION)
            .filter(|_| code.is_redirection())
        else {
            return Ok(None);
        };
        let to = to.to_str().ok().and_then(|to| at.join(to).ok());
        let why = match to {
            Some(to) if to.origin() != at.origin() => format!(
                "it redirects from {} to {}, another origin, and is not followed there: if that \
                 is the server, write its URL",
                self.endpoint.origin(),
                to.origin().ascii_serialization()
            ),
            Some(to) if matches!(code.as_u16(), 307 | 308) => return Ok(Some(to)),
            Some(to) => format!("it redirects to {}: write that URL", to.path()),
            None => "it redirects to what is no URL".to_owned(),
        };
        Err(Gap::Rejected(Status::new(code, why.as_bytes(), None)))
    }

    fn gap(&self, error: reqwest::Error) -> Gap {
        let nothing_sent = error.is_connect() || error.is_builder();
        let why = format!(
            "{}: {}",
            self.endpoint.origin(),
            chain(&error.without_url())
        );
        if nothing_sent {
            Gap::Away(why)
        } else {
            Gap::Broken(why)
        }
    }
}

/// Neither values of headers nor a query.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// An error and what lay beneath it, each once.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        let said = error.to_string();
        if words.last() != Some(&said) {
            words.push(said);
        }
        next = error.source();
    }
    if words.is_empty() {
        return error.to_string();
    }
    words.join(": ")
}
