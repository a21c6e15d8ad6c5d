//! Which NATS server carries the mesh: one that Weft starts, or one that is there.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::config::{
    env::{Env, HOME},
    secret::Secret,
};

/// The NATS server that carries the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broker {
    /// Weft starts it and keeps it.
    Managed {
        /// The `nats-server` to start; none: Weft looks for one.
        server: Option<PathBuf>,
    },
    /// It is there already.
    Existing {
        /// At least one, each with a scheme and without user and password.
        urls: Vec<String>,
        /// Who Weft is to it.
        credentials: Credentials,
        /// Files for TLS.
        tls: Tls,
    },
}

/// Who one is to a NATS server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// A credentials file: a user's JWT and its seed.
    Creds(PathBuf),
    /// A file with the seed of an nkey.
    Nkey(PathBuf),
    /// User and password.
    User {
        /// The user.
        user: String,
        /// The password, which may be empty.
        password: Secret,
    },
    /// A token of the NATS server.
    Token(Secret),
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Creds(path) => write!(f, "credentials file {}", path.display()),
            Self::Nkey(path) => write!(f, "nkey file {}", path.display()),
            Self::User { user, .. } => write!(f, "user {user}"),
            Self::Token(_) => f.write_str("token"),
        }
    }
}

/// Files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities to trust.
    pub ca: Option<PathBuf>,
    /// Own certificate.
    pub cert: Option<PathBuf>,
    /// Key of the own certificate.
    pub key: Option<PathBuf>,
    /// Whether a server on another machine may be reached without TLS.
    pub insecure: bool,
}

/// What one place says about an existing server.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) urls: Vec<String>,
    /// Who the URLs say one is: it belongs to them, and is sent to no other server.
    pub(crate) in_urls: Credentials,
    pub(crate) credentials: Credentials,
    pub(crate) tls: Tls,
}

impl Layer {
    /// A URL, or several with commas. User and password in it become credentials.
    pub(crate) fn at(text: &str) -> Result<Self, String> {
        let mut layer = Self::default();
        for url in text.split(',').map(str::trim).filter(|url| !url.is_empty()) {
            let (url, credentials) = address(url)?;
            layer.urls.push(url);
            if layer.in_urls == Credentials::None {
                layer.in_urls = credentials;
            }
        }
        if layer.urls.is_empty() {
            return Err("the URL is empty".to_owned());
        }
        Ok(layer)
    }

    /// This layer where it says something, the one below where it does not.
    pub(crate) fn over(self, below: Self) -> Self {
        let somebody = self.credentials != Credentials::None || self.in_urls != Credentials::None;
        let (urls, in_urls) = if self.urls.is_empty() {
            (below.urls, below.in_urls)
        } else {
            (self.urls, self.in_urls)
        };
        Self {
            urls,
            in_urls,
            credentials: if somebody {
                self.credentials
            } else {
                below.credentials
            },
            tls: Tls {
                ca: self.tls.ca.or(below.tls.ca),
                cert: self.tls.cert.or(below.tls.cert),
                key: self.tls.key.or(below.tls.key),
                insecure: self.tls.insecure || below.tls.insecure,
            },
        }
    }

    /// The server that is there, where one is named.
    pub(crate) fn broker(self) -> Option<Broker> {
        (!self.urls.is_empty()).then_some(Broker::Existing {
            urls: self.urls,
            credentials: match self.credentials {
                Credentials::None => self.in_urls,
                credentials => credentials,
            },
            tls: self.tls,
        })
    }
}

/// Splits `scheme://user:password@host:port`. The error never repeats the URL.
fn address(url: &str) -> Result<(String, Credentials), String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
    if !["nats", "tls", "ws", "wss"].contains(&scheme) {
        let scheme = scheme.escape_debug();
        return Err(format!(
            "`{scheme}://` is no scheme of NATS: write nats, tls, ws or wss"
        ));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (who, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() || host.starts_with(':') || host.contains(char::is_whitespace) {
        return Err("the URL has no host".to_owned());
    }
    let credentials = match who.split_once(':') {
        _ if who.is_empty() => Credentials::None,
        Some((user, password)) => Credentials::User {
            user: decoded(user)?,
            password: Secret::new(decoded(password)?),
        },
        None => Credentials::Token(Secret::new(decoded(who)?)),
    };
    Ok((format!("{scheme}://{host}{path}"), credentials))
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "the URL has a `%` that is not followed by two hexadecimal digits".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (hex, after) = after.split_at_checked(2).ok_or_else(wrong)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (Some(high), Some(low)) = (digit(hex[0]), digit(hex[1])) else {
            return Err(wrong());
        };
        bytes.extend(u8::try_from(high * 16 + low));
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// A path with `~/` as the home directory.
pub(crate) fn home(path: &str, env: &Env) -> PathBuf {
    match (path.strip_prefix("~/"), env.get(HOME)) {
        (Some(below), Some(home)) => Path::new(home).join(below),
        _ => PathBuf::from(path),
    }
}
