//! How a program joins the mesh.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;

use crate::{
    access::exchange::Held,
    bus::{Auth, Bounds, Tls},
    policy::{breaker, retry},
};

/// Where the connect token comes from: a constant, or a file that somebody renews.
pub type TokenSource = Arc<dyn Fn() -> String + Send + Sync>;

/// What is done with a new connect token, where its holder renews it himself.
pub type Keep = Arc<dyn Fn(&str) + Send + Sync>;

/// How a program joins.
#[derive(Clone)]
pub struct Options {
    /// The broker's URLs.
    pub urls: Vec<String>,
    /// The connect token; asked for anew at each reconnect and renewal.
    pub token: TokenSource,
    /// Where a new connect token goes: with it the program renews its own, once four fifths of its
    /// life are over, if it was issued to be renewed. `token` is to give it from then on.
    pub keep: Option<Keep>,
    /// How the broker knows us, where that is not the token: a broker with one account.
    pub broker: Option<Auth>,
    /// Certificates, where the broker asks for TLS.
    pub tls: Tls,
    /// How long a call may take where nothing else is said.
    pub timeout: Duration,
    /// How large a body may be.
    pub bounds: Bounds,
    /// How often a call is made again, where that does no harm.
    pub retry: retry::Options,
    /// When a server that fails is left alone.
    pub breaker: breaker::Rules,
}

impl Options {
    /// The broker at this URL, with this connect token.
    #[must_use]
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        let token = token.into();
        Self::with_source(url, Arc::new(move || token.clone())).renewing(|_| {})
    }

    /// Renews the token itself, and has each new one kept by `keep` beside.
    #[must_use]
    pub fn renewing(mut self, keep: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let cell = Arc::new(ArcSwapOption::<String>::empty());
        let (given, kept) = (self.token, Arc::clone(&cell));
        self.token = Arc::new(move || match kept.load_full() {
            Some(kept) => later(given(), &kept),
            None => given(),
        });
        self.keep = Some(Arc::new(move |token| {
            cell.store(Some(Arc::new(token.to_owned())));
            keep(token);
        }));
        self
    }

    /// The broker at this URL, with a connect token that may be renewed while the program runs.
    #[must_use]
    pub fn with_source(url: impl Into<String>, token: TokenSource) -> Self {
        Self {
            urls: vec![url.into()],
            token,
            keep: None,
            broker: None,
            tls: Tls::default(),
            timeout: crate::name::header::TIMEOUT,
            bounds: Bounds::default(),
            retry: retry::Options::default(),
            breaker: breaker::Rules::default(),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("urls", &self.urls)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The one that ends later: whoever else renews a file may be ahead of us.
fn later(given: String, kept: &str) -> String {
    let end = |token: &str| Held::read(token).map_or(0, |held| held.exp);
    if end(kept) > end(&given) {
        return kept.to_owned();
    }
    given
}
