//! TLS of the listener: certificate, key and authorities from files, read again when they change.
//!
//! A connection keeps what it began with; the next one gets what the files say by then. Files that
//! can't be used change nothing, and are told once.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use crate::spawn::{Failure, Tasks};

/// How often the files are looked at. A change is taken when it was seen twice: half a file is
/// not read, nor a new certificate beside an old key.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Bytes of one file at most.
const FILE_MAX: u64 = 1024 * 1024;
/// The one protocol that is spoken.
const PROTOCOL: &[u8] = b"http/1.1";

/// Files for TLS, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Our certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of clients' certificates: whoever has none of theirs is not let in.
    pub client_ca: Option<PathBuf>,
}

/// Why TLS can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or holds something else.
    #[error("`gateway.tls.{key}`: {}: {why}", .path.display())]
    File {
        /// Which of them.
        key: &'static str,
        /// Where it lies.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The files do not go together.
    #[error("`gateway.tls`: {} and its key can't be used: {why}", .path.display())]
    Pair {
        /// The certificate.
        path: PathBuf,
        /// Why.
        why: rustls::Error,
    },
}

/// What connections are taken with now. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    files: Tls,
    now: Arc<ArcSwap<ServerConfig>>,
}

impl Certificates {
    /// Reads the files.
    pub(super) fn load(files: Tls) -> Result<Self, TlsError> {
        Ok(Self {
            now: Arc::new(ArcSwap::new(read(&files)?)),
            files,
        })
    }

    /// What the next connection is taken with.
    pub(super) fn now(&self) -> Arc<ServerConfig> {
        self.now.load_full()
    }

    /// Follows the files until the tasks are stopped.
    pub(super) fn follow(self, tasks: &Tasks) {
        let stop = tasks.stopping();
        tasks.spawn("certificates", Failure::Logged, async move {
            tokio::select! { () = stop.cancelled() => {}, () = self.keep() => {} }
        });
    }

    async fn keep(self) {
        let mut taken = marks(&self.files).await;
        let mut seen = taken;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = marks(&self.files).await;
            if now == taken || std::mem::replace(&mut seen, now) != now {
                continue;
            }
            taken = now;
            let files = self.files.clone();
            match tokio::task::spawn_blocking(move || read(&files)).await {
                Ok(Ok(config)) => {
                    self.now.store(config);
                    tracing::info!(
                        cert = %self.files.cert.display(),
                        "the changed certificate is used from now on"
                    );
                }
                Ok(Err(why)) => tracing::error!(
                    %why,
                    "the changed certificate can't be used, and the one before is used on"
                ),
                Err(error) => tracing::error!(%error, "the certificate could not be read"),
            }
        }
    }
}

/// What tells one version of the files from another.
type Marks = [Option<(u64, SystemTime)>; 3];

async fn marks(files: &Tls) -> Marks {
    let paths = [
        Some(files.cert.clone()),
        Some(files.key.clone()),
        files.client_ca.clone(),
    ];
    let look = |path: Option<PathBuf>| {
        let about = fs::metadata(path?).ok()?;
        Some((about.len(), about.modified().ok()?))
    };
    // A file on a disk that hangs delays nothing but the next look.
    let looked = tokio::task::spawn_blocking(move || paths.map(look));
    looked.await.unwrap_or_default()
}

fn read(files: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates("cert", &files.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes("key", &files.key)?)
        .map_err(|error| unread("key", &files.key, pem_words(&error, "private key")))?;
    let pair = |why| TlsError::Pair {
        path: files.cert.clone(),
        why,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(clients(path, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// Lets in whoever has a certificate of these authorities, and nobody else.
fn clients(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("clientCa", path)? {
        roots
            .add(certificate)
            .map_err(|error| unread("clientCa", path, error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unread("clientCa", path, error.to_string()))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = bytes(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| unread(key, path, pem_words(&error, "certificate")))?;
    if found.is_empty() {
        let why = pem_words(&pem::Error::NoItemsFound, "certificate");
        return Err(unread(key, path, why));
    }
    Ok(found)
}

fn bytes(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error: io::Error| unread(key, path, error.to_string());
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(unread(key, path, format!("more than {FILE_MAX} bytes")));
    }
    Ok(bytes)
}

/// Never what stands in the file: it may be a key.
fn pem_words(error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::NoItemsFound => format!("there is no {what} in it (PEM is read)"),
        _ => format!("its PEM is damaged: no {what} can be read"),
    }
}

fn unread(key: &'static str, path: &Path, why: String) -> TlsError {
    TlsError::File {
        key,
        path: path.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A folder with a certificate and its key.
    fn folder() -> (tempfile::TempDir, Tls) {
        let dir = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec!["localhost".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate");
        let files = Tls {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
            client_ca: None,
        };
        fs::write(&files.cert, own.pem()).expect("written");
        fs::write(&files.key, key.serialize_pem()).expect("written");
        (dir, files)
    }

    #[test]
    fn each_broken_file_is_named_and_the_whole_ones_are_taken() {
        let (dir, good) = folder();
        Certificates::load(good.clone()).expect("the twin of them all");
        let absent = dir.path().join("absent.pem");
        let other = dir.path().join("other.pem");
        let stranger = KeyPair::generate().expect("a key").serialize_pem();
        fs::write(&other, &stranger).expect("written");
        for (what, files) in [
            (
                "`gateway.tls.cert`: ",
                Tls {
                    cert: absent.clone(),
                    ..good.clone()
                },
            ),
            (
                "no certificate in it",
                Tls {
                    cert: good.key.clone(),
                    ..good.clone()
                },
            ),
            (
                "no private key in it",
                Tls {
                    key: good.cert.clone(),
                    ..good.clone()
                },
            ),
            (
                "can't be used",
                Tls {
                    key: other,
                    ..good.clone()
                },
            ),
            (
                "`gateway.tls.clientCa`: ",
                Tls {
                    client_ca: Some(absent),
                    ..good.clone()
                },
            ),
        ] {
            let said = Certificates::load(files).expect_err(what).to_string();
            assert!(said.contains(what), "{said}");
            assert!(!said.contains("PRIVATE KEY"), "{said}");
        }
    }
}
