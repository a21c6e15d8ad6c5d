//! Where the keys of an issuer come from: a file that is looked at, or a URL that is asked now and
//! then. What a token says moves neither; a key that nobody knows brings the next look forward, at
//! most every [`ASK_EVERY`].

use std::{
    fs,
    io::Read as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use reqwest::{Client, Url, redirect::Policy};
use tokio::sync::{Notify, watch};

use super::jwks::{self, BYTES_MAX, Key, Set};
use crate::{
    access::now,
    spawn::{Failure, Tasks},
};

/// How often a file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a URL is asked.
const REFRESH: Duration = Duration::from_secs(300);
/// How often it is asked at most, whatever tokens say, seconds.
const ASK_EVERY: u64 = 10;
/// How long it may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Keys that could not be fetched again for so long are believed no longer, seconds.
const AGE_MAX: u64 = 6 * 3600;

/// The keys of now.
pub(super) struct Source {
    shared: Arc<Shared>,
    /// Counts how often they were read, or could not be.
    pub(super) told: watch::Receiver<u64>,
}

struct Shared {
    name: String,
    set: ArcSwap<Set>,
    /// When they were read, and when that was tried, seconds since 1970.
    read: AtomicU64,
    tried: AtomicU64,
    ask: Notify,
    /// A file is there or not; what is at a URL grows old.
    ages: bool,
}

impl Source {
    /// Keys in a file. It is read again when it changes.
    pub(super) async fn file(name: &str, path: PathBuf, tasks: &Tasks) -> Result<Self, String> {
        let bytes = bytes(path.clone()).await?;
        let set = jwks::read(&bytes).map_err(|why| format!("{}: {why}", path.display()))?;
        let (source, tell) = Self::new(name, set, false);
        let shared = Arc::clone(&source.shared);
        follow(tasks, async move {
            let mut seen = Ok(bytes);
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let now = self::bytes(path.clone()).await;
                if now == seen {
                    continue;
                }
                let read = now.as_deref().map_err(Clone::clone).and_then(jwks::read);
                shared.take(read, &tell);
                seen = now;
            }
        });
        Ok(source)
    }

    /// Keys at a URL.
    pub(super) async fn url(name: &str, url: &str, tasks: &Tasks) -> Result<Self, String> {
        let (client, url) = client(url)?;
        let (source, tell) = Self::new(name, Set::new(), true);
        let shared = Arc::clone(&source.shared);
        shared.take(fetch(&client, &url, &shared).await, &tell);
        follow(tasks, async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(REFRESH) => {}
                    () = shared.ask.notified() => {}
                }
                if shared.may_ask() {
                    shared.take(fetch(&client, &url, &shared).await, &tell);
                }
            }
        });
        Ok(source)
    }

    fn new(name: &str, set: Set, ages: bool) -> (Self, watch::Sender<u64>) {
        let (tell, told) = watch::channel(0);
        let shared = Shared {
            name: name.to_owned(),
            set: ArcSwap::from_pointee(set),
            read: AtomicU64::new(now()),
            tried: AtomicU64::new(0),
            ask: Notify::new(),
            ages,
        };
        let shared = Arc::new(shared);
        (Self { shared, told }, tell)
    }

    /// The key of this name. Where nobody knows it, the source is asked once more, if it was not
    /// just now.
    pub(super) async fn find(&self, kid: &str) -> Option<Arc<Key>> {
        if let Some(key) = self.shared.get(kid) {
            return Some(key);
        }
        if !self.shared.ages || !self.shared.may_ask() {
            return None;
        }
        let mut told = self.told.clone();
        told.mark_unchanged();
        self.shared.ask.notify_one();
        // Whether it answered or not: what is known then decides.
        drop(tokio::time::timeout(ANSWER_MAX, told.changed()).await);
        self.shared.get(kid)
    }
}

impl Shared {
    fn get(&self, kid: &str) -> Option<Arc<Key>> {
        let age = now().saturating_sub(self.read.load(Ordering::Relaxed));
        if self.ages && age > AGE_MAX {
            return None;
        }
        self.set.load().get(kid).cloned()
    }

    fn may_ask(&self) -> bool {
        now().saturating_sub(self.tried.load(Ordering::Relaxed)) >= ASK_EVERY
    }

    fn take(&self, read: Result<Set, String>, tell: &watch::Sender<u64>) {
        match read {
            Ok(set) => {
                tracing::info!(issuer = self.name, keys = set.len(), "its keys were read");
                self.set.store(Arc::new(set));
                self.read.store(now(), Ordering::Relaxed);
            }
            Err(why) => tracing::error!(
                issuer = self.name,
                why,
                "its keys can't be read, and those before are used on"
            ),
        }
        tell.send_modify(|times| *times += 1);
    }
}

fn follow(tasks: &Tasks, keep: impl Future<Output = ()> + Send + 'static) {
    let stop = tasks.stopping();
    tasks.spawn("keys of an issuer", Failure::Logged, async move {
        tokio::select! { () = stop.cancelled() => {}, () = keep => {} }
    });
}

async fn bytes(path: PathBuf) -> Result<Vec<u8>, String> {
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let file = fs::File::open(path)?;
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    });
    let read = read.await.map_err(std::io::Error::other).flatten();
    let bytes = read.map_err(|error| format!("{shown}: {error}"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("{shown}: more than {BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

/// A client for one URL: over TLS, or on this machine.
fn client(url: &str) -> Result<(Client, Url), String> {
    let url: Url = url.parse().map_err(|error| format!("`jwks`: {error}"))?;
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && here) {
        return Err("`jwks`: keys are fetched by https:// alone (http:// on this machine)".into());
    }
    let client = Client::builder()
        .user_agent(concat!("weft/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .timeout(ANSWER_MAX)
        .build();
    Ok((client.map_err(|error| error.to_string())?, url))
}

async fn fetch(client: &Client, url: &Url, shared: &Shared) -> Result<Set, String> {
    shared.tried.store(now(), Ordering::Relaxed);
    let failed = |error: reqwest::Error| format!("{url}: {}", error.without_url());
    let mut answer = client.get(url.clone()).send().await.map_err(failed)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(format!("{url} answers {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > BYTES_MAX {
            return Err(format!("{url}: more than {BYTES_MAX} bytes"));
        }
    }
    jwks::read(&bytes).map_err(|why| format!("{url}: {why}"))
}
