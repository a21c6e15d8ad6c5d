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
    /// A token stands in its URL, where logs and histories keep it.
    #[error(
        "a token stands in the URL, where others read it: revoke it, and send the next one as \
         `Authorization: Bearer`"
    )]
    Query,
}

/// The hosts that we are, and the pages that may call.
#[derive(Clone, Debug)]
pub struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
    /// How the pages of our own host begin: behind a proxy TLS may be spoken that is not ours.
    schemes: &'static [&'static str],
}

/// Names under which tokens are put into URLs (RFC 6750, 2.3, and what is found in the wild).
const TOKEN_NAMES: [&str; 9] = [
    "access_token",
    "token",
    "id_token",
    "auth",
    "authorization",
    "bearer",
    "jwt",
    "api_key",
    "apikey",
];

impl Guard {
    /// What the options and the address that is listened on allow.
    #[must_use]
    pub fn new(options: &Options, address: SocketAddr) -> Self {
        let port = address.port();
        let mut hosts = options.hosts.clone();
        hosts.push(address.to_string());
        let usual = if options.tls.is_some() { 443 } else { 80 };
        if port == usual {
            // Then no client says the port.
            let address = address.to_string();
            let name = address.rsplit_once(':').map_or("", |(name, _)| name);
            hosts.push(name.to_owned());
        }
        if address.ip().is_loopback() {
            hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(|name| format!("{name}:{port}")));
        }
        Self {
            hosts,
            origins: options.origins.clone(),
            schemes: match options.tls {
                Some(_) => &["https://"],
                None => &["http://", "https://"],
            },
        }
    }

    /// Looks at a request.
    ///
    /// # Errors
    /// [`GuardError`].
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), GuardError> {
        if uri.query().is_some_and(has_token) {
            return Err(GuardError::Query);
        }
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
        let own = |scheme: &&str| {
            let host = origin.strip_prefix(scheme);
            host.is_some_and(|host| self.is_host(host))
        };
        self.schemes.iter().any(own)
            || self
                .origins
                .iter()
                .any(|known| known.eq_ignore_ascii_case(origin))
    }
}

/// Whether a token stands in this query: under one of its usual names, or one that looks like a
/// signed one under any other.
fn has_token(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name).to_ascii_lowercase().replace('-', "_");
        let signed = value.starts_with("eyJ") && value.matches('.').count() >= 2;
        signed || TOKEN_NAMES.contains(&name.as_str())
    })
}

/// Without its percent-encoding, as far as it is ASCII: no name of a token is anything else.
fn decoded(name: &str) -> String {
    let mut parts = name.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                text.push(char::from(code));
                text.push_str(&part[2..]);
            }
            None => {
                text.push('%');
                text.push_str(part);
            }
        }
    }
    text
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
    fn a_token_in_the_url_is_refused_whatever_it_is_called() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:7420"));
        let asked = |target: &str| guard().check(&target.parse().expect("a URI"), &headers);
        for bad in [
            "/mcp?access_token=x",
            "/mcp?a=b&Access-Token=x",
            "/mcp?%61ccess_token=x",
            "/mcp?token",
            "/mcp?q=eyJhbGciOiJub25lIn0.e30.",
            "/livez?bearer=x",
        ] {
            assert_eq!(asked(bad), Err(GuardError::Query), "{bad}");
        }
        for good in ["/mcp", "/mcp?", "/mcp?page=2&tokens=3", "/mcp?q=eyJ.x"] {
            assert_eq!(asked(good), Ok(()), "{good}");
        }
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
