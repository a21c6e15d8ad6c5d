//! Making a connection: where to, as whom, with which guards set in the client library.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::mpsc;

use super::fault;
use crate::{
    error::Error,
    name::{Connection, Identity, id, subject},
};

/// A dead peer is noticed after three of these. Shorter than a probe may take: on a connection
/// that lives, something comes meanwhile.
const PING_EVERY: Duration = Duration::from_millis(1500);
/// How long one attempt to connect may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The longest wait between two attempts to reconnect: a broker that is back is used within 5 s.
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(1);
/// The same for the control plane.
const RECONNECT_WAIT_MAX_CONTROL: Duration = Duration::from_millis(100);
/// Messages that a subscription for calls may hold; its reader never waits for anything but the
/// broker.
pub const BACKLOG: usize = 8192;
/// And one for events: a stream pushes 32 MiB to a reader who did not say yet that he goes on, and
/// no event has less than 256 bytes.
pub const BACKLOG_OF_EVENTS: usize = 131_072;
/// Commands that wait for the connection.
const COMMANDS: usize = 2048;
/// Events of the connection that wait for the supervisor.
const EVENTS: usize = 1024;

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker's URLs.
    pub urls: Vec<String>,
    /// Who we are on the mesh: the `{identity}` of our subjects.
    pub identity: Identity,
    /// How the broker knows us.
    pub auth: Auth,
    /// Certificates, where the broker asks for TLS.
    pub tls: Tls,
    /// What the connection is called in the broker's lists.
    pub name: String,
    /// Messages that one subscription may hold: [`BACKLOG`], [`BACKLOG_OF_EVENTS`].
    pub backlog: usize,
}

/// How the broker knows us.
#[derive(Clone)]
pub enum Auth {
    /// A connect token; read anew at each reconnect, so that a renewed one is used.
    Token(Arc<dyn Fn() -> String + Send + Sync>),
    /// The seed of a NATS user key.
    Nkey(String),
    /// A file with a NATS user JWT and its seed.
    Creds(PathBuf),
    /// A file with the seed of a NATS user key.
    NkeyFile(PathBuf),
    /// A name and a password.
    Password(String, String),
    /// Not at all.
    Nothing,
}

impl Auth {
    /// A connect token that does not change.
    #[must_use]
    pub fn token(token: String) -> Self {
        Self::Token(Arc::new(move || token.clone()))
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(***)",
            Self::Nkey(_) => "Nkey(***)",
            Self::NkeyFile(_) => "NkeyFile(***)",
            Self::Creds(_) => "Creds(***)",
            Self::Password(..) => "Password(***)",
            Self::Nothing => "Nothing",
        })
    }
}

/// Certificates for a connection.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whose signature on the broker's certificate is trusted, beside the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, where the broker asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Whether a broker on another machine may be reached without TLS: whoever is between reads
    /// every token.
    pub insecure: bool,
}

impl Tls {
    /// Whether a connection to these URLs has to be encrypted, whatever the broker says: a broker
    /// that does not ask for TLS may be somebody between.
    ///
    /// # Errors
    /// `INVALID_REQUEST` where it has to, and nobody asks for it.
    fn is_needed(&self, urls: &[String]) -> Result<bool, Error> {
        let asked = self.ca.is_some()
            || self.client.is_some()
            || urls
                .iter()
                .any(|url| url.starts_with("tls://") || url.starts_with("wss://"));
        let afar = urls.iter().find(|url| !is_here(url));
        match afar {
            Some(url) if !asked && !self.insecure => Err(fault::in_the_clear(url)),
            _ => Ok(asked),
        }
    }
}

/// Whether this URL names this machine, without asking anybody.
fn is_here(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address.parse().is_ok_and(|at: Ipv6Addr| at.is_loopback());
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|at: Ipv4Addr| at.is_loopback())
}

/// A client of the library, and what it tells of itself.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) events: mpsc::Receiver<Event>,
}

/// Connects once.
///
/// # Errors
/// `SERVER_OVERLOADED` (BROKER_UNAVAILABLE) where nobody answers, `AUTHENTICATION_FAILED` where
/// the broker refuses us.
pub(crate) async fn connect(
    options: &Options,
    connection: &Connection,
) -> Result<Connected, Error> {
    let (events, heard) = mpsc::channel(EVENTS);
    let nats = library_options(options, connection, events).await?;
    let connecting = nats.connect(options.urls.clone());
    let client = tokio::time::timeout(CONNECT_MAX + Duration::from_secs(1), connecting)
        .await
        .map_err(|_| fault::unreachable(&options.urls, "no answer in time"))?
        .map_err(|error| fault::connect(&options.urls, &error))?;
    Ok(Connected {
        client,
        events: heard,
    })
}

async fn library_options(
    options: &Options,
    connection: &Connection,
    events: mpsc::Sender<Event>,
) -> Result<ConnectOptions, Error> {
    let tls = options.tls.is_needed(&options.urls)?;
    let mut nats = authenticated(&options.auth).await?.require_tls(tls);
    if let Some(ca) = &options.tls.ca {
        nats = nats.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &options.tls.client {
        nats = nats.add_client_certificate(certificate.clone(), key.clone());
    }
    // Nobody is let in before the control plane is back, so it comes first.
    let wait_max = if options.identity.as_str() == id::WEFT {
        RECONNECT_WAIT_MAX_CONTROL
    } else {
        RECONNECT_WAIT_MAX
    };
    Ok(nats
        .name(&options.name)
        .custom_inbox_prefix(subject::inbox(&options.identity, connection))
        .ping_interval(PING_EVERY)
        .connection_timeout(CONNECT_MAX)
        .request_timeout(Some(Duration::from_secs(2)))
        .subscription_capacity(options.backlog)
        .client_capacity(COMMANDS)
        .reconnect_delay_callback(move |attempt| {
            let doubled = Duration::from_millis(20 << attempt.min(8));
            doubled.min(wait_max)
        })
        .event_callback(move |event| {
            // A full queue loses an event, not the connection: the probe finds out.
            if events.try_send(event).is_err() {
                tracing::debug!("an event of the connection was not heard in time");
            }
            std::future::ready(())
        }))
}

async fn authenticated(auth: &Auth) -> Result<ConnectOptions, Error> {
    Ok(match auth {
        Auth::Token(token) => {
            let token = Arc::clone(token);
            ConnectOptions::with_auth_callback(move |_| {
                let mut auth = async_nats::Auth::new();
                auth.token = Some(token());
                std::future::ready(Ok(auth))
            })
        }
        Auth::Nkey(seed) => ConnectOptions::with_nkey(seed.clone()),
        Auth::NkeyFile(file) => {
            let read = tokio::fs::read_to_string(file).await;
            let seed = read.map_err(|error| fault::credentials(file, &error))?;
            ConnectOptions::with_nkey(seed.trim().to_owned())
        }
        Auth::Creds(file) => ConnectOptions::with_credentials_file(file)
            .await
            .map_err(|error| fault::credentials(file, &error))?,
        Auth::Password(user, password) => {
            ConnectOptions::with_user_and_password(user.clone(), password.clone())
        }
        Auth::Nothing => ConnectOptions::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn another_machine_is_reached_with_tls_or_not_at_all() {
        let needed = |urls: &str, tls: &Tls| {
            let urls: Vec<String> = urls.split(',').map(str::to_owned).collect();
            tls.is_needed(&urls).map_err(|error| error.kind())
        };
        let none = Tls::default();
        for here in [
            "nats://127.0.0.1:4222",
            "nats://127.8.9.1",
            "localhost:4222",
            "nats://LOCALHOST",
            "nats://[::1]:4222",
            "nats://u:p@127.0.0.1:4222/x",
        ] {
            assert_eq!(needed(here, &none), Ok(false), "{here}");
        }
        let refused = Err(Kind::InvalidRequest);
        let insecure = Tls {
            insecure: true,
            ..Tls::default()
        };
        let ca = Tls {
            ca: Some("ca.pem".into()),
            ..Tls::default()
        };
        for afar in [
            "nats://broker:4222",
            "nats://10.0.0.1",
            "10.0.0.1:4222",
            "nats://[::2]:4222",
            "nats://127.0.0.1.evil.example",
            "nats://localhost.evil.example",
            "nats://localhost@evil.example",
            "nats://127.0.0.1:4222,nats://broker:4222",
            "ws://broker",
        ] {
            assert_eq!(needed(afar, &none), refused, "{afar}");
            assert_eq!(needed(afar, &insecure), Ok(false), "{afar}");
            assert_eq!(needed(afar, &ca), Ok(true), "{afar}");
        }
        assert_eq!(needed("tls://broker:4222", &none), Ok(true));
        assert_eq!(needed("tls://127.0.0.1:4222", &none), Ok(true));
        assert_eq!(needed("nats://127.0.0.1:4222", &ca), Ok(true));
    }
}
