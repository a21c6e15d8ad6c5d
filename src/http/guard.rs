//! Whether a request is meant for us, and may come from where it comes from.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Uri, header, uri::Authority};

use super::Options;

/// Why a request is turned away before it is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// It is for somebody else.
    #[error("this is not `{0}`: name the host in `gateway.hosts` if it is")]
    Host(String),
    /// A page of another site sent it.
    #[error("pages of `{0}` may not call: name the origin in `gateway.origins` if they may")]
    Origin(String),
}

/// The hosts that we are, and the pages that may call.
#[derive(Clone, Debug)]
pub struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Guard {
    /// What the options and the address that is listened on allow.
    #[must_use]
    pub fn new(options: &Options, address: SocketAddr) -> Self {
        let port = address.port();
        let mut hosts = options.hosts.clone();
        hosts.push(address.to_string());
        if address.ip().is_loopback() {
            hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(|name| format!("{name}:{port}")));
        }
        Self {
            hosts,
            origins: options.origins.clone(),
        }
    }

    /// Looks at a request.
    ///
    /// # Errors
    /// [`GuardError`].
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), GuardError> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default();
        if !self.is_host(host) || hosts.next().is_some() {
            return Err(GuardError::Host(shortened(host)));
        }
        // A target with a host of its own has to name us as well.
        if let Some(authority) = uri.authority().map(Authority::as_str)
            && !self.is_host(authority)
        {
            return Err(GuardError::Host(shortened(authority)));
        }
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            if !self.is_origin(origin) {
                return Err(GuardError::Origin(shortened(origin)));
            }
        }
        Ok(())
    }

    fn is_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| {
            // A host that was configured without a port is meant with any.
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(name)
        })
    }

    fn is_origin(&self, origin: &str) -> bool {
        let own = |scheme| {
            let host = origin.strip_prefix(scheme);
            host.is_some_and(|host| self.is_host(host))
        };
        own("http://")
            || own("https://")
            || self
                .origins
                .iter()
                .any(|known| known.eq_ignore_ascii_case(origin))
    }
}

/// What a stranger sent, at a length that can be shown.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn guard() -> Guard {
        let address = SocketAddr::from(([127, 0, 0, 1], 7420));
        let mut options = Options::new(address);
        options.hosts = vec!["mesh.example".into()];
        options.origins = vec!["https://app.example".into()];
        Guard::new(&options, address)
    }

    fn checked(pairs: &[(header::HeaderName, &'static str)]) -> Result<(), GuardError> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        guard().check(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn a_request_is_for_us_or_turned_away() {
        for good in [
            "127.0.0.1:7420",
            "LocalHost:7420",
            "[::1]:7420",
            "mesh.example",
            "mesh.example:80",
        ] {
            assert_eq!(checked(&[(header::HOST, good)]), Ok(()), "{good}");
        }
        for bad in [
            "evil.example",
            "127.0.0.1:80",
            "127.0.0.1",
            "localhost.evil.example:7420",
            "",
        ] {
            assert!(checked(&[(header::HOST, bad)]).is_err(), "{bad}");
        }
        assert!(checked(&[]).is_err(), "no host");
        let twice = [
            (header::HOST, "localhost:7420"),
            (header::HOST, "localhost:7420"),
        ];
        assert!(checked(&twice).is_err(), "two hosts");
        let target = Uri::from_static("http://evil.example/mcp");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:7420"));
        assert!(guard().check(&target, &headers).is_err(), "absolute form");
    }

    #[test]
    fn a_page_of_another_site_is_turned_away() {
        let from = |origin| checked(&[(header::HOST, "localhost:7420"), (header::ORIGIN, origin)]);
        for good in [
            "http://localhost:7420",
            "https://app.example",
            "http://127.0.0.1:7420",
        ] {
            assert_eq!(from(good), Ok(()), "{good}");
        }
        for bad in [
            "http://evil.example",
            "null",
            "https://app.example.evil",
            "http://localhost:1",
            "",
        ] {
            assert!(from(bad).is_err(), "{bad}");
        }
    }
}
