//! The URL of a server, and the headers that its operator adds: checked once, and shown without
//! what must not be seen.

use std::{fmt, net::IpAddr};

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::reach;

/// Where a server is.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
    outside: bool,
}

/// Why a URL is none of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It can't be read.
    #[error("this is no URL ({0}): one looks like `https://example.com/mcp`")]
    Url(String),
    /// Neither HTTP nor HTTPS.
    #[error("`{0}:` is not carried: a server's URL begins with `http://` or `https://`")]
    Scheme(String),
    /// There is a name or a password in it.
    #[error(
        "there are credentials in the URL, where they end in logs: take them out, and write \
         `headers: {{ Authorization: {{ env: NAME }} }}` instead"
    )]
    Credentials,
    /// It came from outside, and leads inside.
    #[error("{0}")]
    Private(String),
}

impl Endpoint {
    /// The URL of an operator's own configuration: it may lead to this machine.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn own(url: &str) -> Result<Self, EndpointError> {
        let mut url =
            Url::parse(url.trim()).map_err(|error| EndpointError::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        url.set_fragment(None);
        Ok(Self {
            url,
            outside: false,
        })
    }

    /// A URL that somebody else wrote, as one of a registry: addresses of this machine, of private
    /// networks and of link-local ones are refused, here and after a name was resolved.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn outside(url: &str) -> Result<Self, EndpointError> {
        let mut own = Self::own(url)?;
        own.outside = true;
        let host = own.url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(at) = host.parse::<IpAddr>()
            && !reach::is_public(at)
        {
            return Err(EndpointError::Private(reach::refusal(at)));
        }
        Ok(own)
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    pub(super) const fn is_outside(&self) -> bool {
        self.outside
    }

    /// Scheme, host and port, as people are shown them.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// Without its query, in which there may be a key.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.url.query().is_some() {
            "?***"
        } else {
            ""
        };
        write!(f, "{}{}{query}", self.origin(), self.url.path())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Headers that an operator adds to every request. Their `Debug` shows names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(HeaderMap);

/// Why a header can't be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No name of a header.
    #[error("`{0}` is no name of a header")]
    Name(String),
    /// A header that the transport writes.
    #[error("the header `{0}` is written by Weft itself: leave it out")]
    Taken(String),
    /// A value that can't stand in a header. It is not shown: it may be a secret.
    #[error(
        "the value of the header `{0}` has a character that can't stand in a header, as a line end"
    )]
    Value(String),
    /// It stands there twice, spelt with other capitals.
    #[error("the header `{0}` is given twice: names of headers are the same in capitals")]
    Twice(String),
}

/// What belongs to the connection (RFC 9110, 7.6.1), to the framing, or to the protocol.
const TAKEN: [&str; 14] = [
    "accept",
    "accept-encoding",
    "connection",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const TAKEN_PREFIXES: [&str; 2] = ["content-", "mcp-"];

impl Headers {
    /// Whether a header of this name may be added.
    ///
    /// # Errors
    /// [`HeaderError::Name`], [`HeaderError::Taken`].
    pub fn check(name: &str) -> Result<(), HeaderError> {
        known(name).map(drop)
    }

    /// Adds a header.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let key = known(name)?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| HeaderError::Value(name.to_owned()))?;
        // What prints headers, here and in the HTTP library, says `Sensitive` instead.
        value.set_sensitive(true);
        match self.0.insert(key, value) {
            None => Ok(()),
            Some(_) => Err(HeaderError::Twice(name.to_owned())),
        }
    }

    pub(super) const fn map(&self) -> &HeaderMap {
        &self.0
    }

    /// Whether one of this name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

fn known(name: &str) -> Result<HeaderName, HeaderError> {
    let key = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| HeaderError::Name(name.escape_debug().to_string()))?;
    let is_taken = TAKEN.contains(&key.as_str())
        || TAKEN_PREFIXES
            .iter()
            .any(|prefix| key.as_str().starts_with(prefix));
    if is_taken {
        return Err(HeaderError::Taken(name.to_owned()));
    }
    Ok(key)
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_shown_without_secrets() {
        let own = Endpoint::own("http://LOCALHOST:9000/mcp?key=s3cret#x").expect("a URL");
        assert_eq!(own.to_string(), "http://localhost:9000/mcp?***");
        assert_eq!(format!("{own:?}"), own.to_string());
        assert_eq!(own.url().query(), Some("key=s3cret"));
        for (url, why) in [
            ("localhost:9000/mcp", "`localhost:`"),
            ("/mcp", "no URL"),
            ("http://", "no URL"),
            ("ftp://a/b", "`ftp:`"),
            ("https://user@a/mcp", "headers"),
            ("https://:pass@a/mcp", "headers"),
        ] {
            let error = Endpoint::own(url).expect_err(url).to_string();
            assert!(
                error.contains(why) && !error.contains("pass"),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn a_url_from_outside_does_not_lead_inside() {
        for url in [
            "http://127.0.0.1/mcp",
            "http://127.1/mcp",
            "http://0x7f000001/mcp",
            "http://2130706433/mcp",
            "http://[::1]/mcp",
            "http://[::ffff:10.0.0.1]/mcp",
            "http://169.254.169.254/latest",
        ] {
            assert!(Endpoint::own(url).is_ok(), "{url}");
            let error = Endpoint::outside(url).expect_err(url);
            assert!(matches!(error, EndpointError::Private(_)), "{url}: {error}");
        }
        assert!(Endpoint::outside("https://8.8.8.8/mcp").is_ok());
        // A name is looked at when it was resolved.
        assert!(Endpoint::outside("http://localhost/mcp").is_ok());
    }

    #[test]
    fn headers_of_the_transport_are_its_own() {
        for name in [
            "Authorization",
            "X-Api-Key",
            "Cookie",
            "User-Agent",
            "x-mcp",
        ] {
            let mut headers = Headers::default();
            assert_eq!(headers.add(name, "v"), Ok(()), "{name}");
            assert!(matches!(
                headers.add(&name.to_lowercase(), "w"),
                Err(HeaderError::Twice(_))
            ));
        }
        for name in [
            "Host",
            "Accept",
            "Connection",
            "Content-Type",
            "content-length",
            "Mcp-Session-Id",
            "MCP-Protocol-Version",
            "TE",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authorization",
        ] {
            assert_eq!(
                Headers::default().add(name, "v"),
                Err(HeaderError::Taken(name.to_owned()))
            );
        }
        assert!(matches!(Headers::check("a b"), Err(HeaderError::Name(_))));
        let error = Headers::default()
            .add("X", "s3cret\r\nHost: b")
            .expect_err("two lines");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn no_value_is_shown() {
        let mut headers = Headers::default();
        headers
            .add("Authorization", "Bearer s3cret")
            .expect("a header");
        for shown in [format!("{headers:?}"), format!("{:?}", headers.map())] {
            assert!(
                shown.contains("authorization") && !shown.contains("s3cret"),
                "{shown}"
            );
        }
    }
}
