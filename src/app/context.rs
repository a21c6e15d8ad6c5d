//! How a command finds the mesh, and who it is there: `DATA/context.json`, which `weft up` writes,
//! or `WEFT_NATS_URL` and `WEFT_TOKEN`, which suffice to join from anywhere.

mod process;
mod reach;

use std::{
    fs, io,
    io::Read as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    process::Process,
    reach::{Flags, Reach, TokenFrom, folder},
};
use crate::{
    config::{
        Tls,
        env::{WEFT_NATS_URL, WEFT_TOKEN, WEFT_TOKEN_FILE},
    },
    control::{Secrets, write_private},
    error::{Error, Kind, case},
};

/// The file in the data folder.
pub const FILE: &str = "context.json";
/// Bytes of it at most: four short members.
const BYTES_MAX: u64 = 64 * 1024;

/// A mesh that runs: `DATA/context.json`, readable by its owner alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// Where NATS is: a URL, or several with commas.
    pub nats_url: String,
    /// Where MCP clients find the mesh over HTTP; none where no gateway runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_url: Option<String>,
    /// The file with the connect token of who started the mesh.
    pub token_file: PathBuf,
    /// How NATS is reached, where that takes more than its URL.
    #[serde(default, skip_serializing_if = "BrokerTls::is_empty")]
    pub tls: BrokerTls,
    /// The process id of `weft up`.
    pub pid: u32,
}

/// Files for TLS to NATS, and whether it may be done without. No secret: the key stays in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BrokerTls {
    /// Certificates of the authorities to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Own certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Own key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Whether a broker on another machine is reached without TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

impl BrokerTls {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Files where none are named, and the leave to do without.
    fn fill(&self, tls: &mut Tls) {
        tls.insecure |= self.insecure;
        if (&tls.ca, &tls.cert, &tls.key) == (&None, &None, &None) {
            (tls.ca, tls.cert, tls.key) = (self.ca.clone(), self.cert.clone(), self.key.clone());
        }
    }
}

impl From<&Tls> for BrokerTls {
    fn from(tls: &Tls) -> Self {
        // Whoever reads it works in another folder.
        let whole = |path: &Option<PathBuf>| {
            let path = path.as_ref()?;
            Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
        };
        Self {
            ca: whole(&tls.ca),
            cert: whole(&tls.cert),
            key: whole(&tls.key),
            insecure: tls.insecure,
        }
    }
}

/// Why a mesh is not found, or not joined.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Nobody ever started one on this folder, or it was stopped.
    #[error(
        "no mesh in {}: start one with `weft up`, name its folder with --data, or set {WEFT_NATS_URL} and {WEFT_TOKEN_FILE}",
        .folder.display()
    )]
    NoMesh {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Its process ended without a word.
    #[error(
        "the mesh of {} is not running (pid {pid} is gone); start it with `weft up`",
        .folder.display()
    )]
    Gone {
        /// Its folder.
        folder: PathBuf,
        /// The process that was.
        pid: u32,
    },
    /// A broker is named, but not who we are.
    #[error(
        "no token: the broker is named, but not who you are; set {WEFT_TOKEN_FILE} (or {WEFT_TOKEN}) to a token of `weft token issue`"
    )]
    NoToken,
    /// The token's file can't be read.
    #[error("the token file {} can't be read: {why}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The environment contradicts itself.
    #[error("{0}")]
    Environment(String),
    /// A file is not what it should be.
    #[error("{}: {why}", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
}

impl From<ContextError> for Error {
    fn from(error: ContextError) -> Self {
        let message = error.to_string();
        match error {
            ContextError::NoMesh { .. } | ContextError::Gone { .. } => {
                Self::new(Kind::ServerOverloaded, message).case(case::BROKER_UNAVAILABLE)
            }
            ContextError::NoToken | ContextError::Token { .. } => {
                Self::new(Kind::AuthenticationFailed, message).case(case::TOKEN_MISSING)
            }
            ContextError::Environment(_) => Self::new(Kind::InvalidParams, message),
            ContextError::Broken { .. } => Self::new(Kind::InternalError, message),
        }
    }
}

impl Context {
    /// The mesh of this data folder, whether it runs or not.
    ///
    /// # Errors
    /// [`ContextError::NoMesh`] where there is none, [`ContextError::Broken`] where the file is
    /// not what `weft up` writes.
    pub fn read(folder: &Path) -> Result<Self, ContextError> {
        let path = folder.join(FILE);
        let text = match text(&path, BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = folder.to_owned();
                return Err(ContextError::NoMesh { folder });
            }
            Err(error) => {
                let why = error.to_string();
                return Err(ContextError::Broken { path, why });
            }
        };
        let mut context: Self = serde_json::from_str(&text).map_err(|error| {
            let why = format!("not what `weft up` writes ({error}); start the mesh anew");
            ContextError::Broken { path, why }
        })?;
        // A relative path is the folder's, not that of whoever reads.
        context.token_file = folder.join(&context.token_file);
        Ok(context)
    }

    /// Writes it, see [`write_private`].
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        write_private(&folder.join(FILE), format!("{text}\n").as_bytes())
    }

    /// Removes the file, where there is one: the mesh has ended.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(folder: &Path) -> io::Result<()> {
        match fs::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The process of `weft up`.
    #[must_use]
    pub const fn process(&self) -> Process {
        Process(self.pid)
    }
}

/// The five public keys that the configuration of a broker names for the mesh of this data folder,
/// by the names of its variables. The folder and the secrets are made where there are none.
///
/// # Errors
/// [`ContextError::Broken`] where the folder or the secrets in it can't be had.
pub fn broker_keys(folder: &Path) -> Result<[(&'static str, String); 5], ContextError> {
    let broken = |why: String| ContextError::Broken {
        path: folder.to_owned(),
        why,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| broken(error.to_string()))?;
    let secrets = Secrets::load_or_create(folder).map_err(|error| broken(error.to_string()))?;
    Ok(secrets.public())
}

/// The text of a file of at most so many bytes.
fn text(path: &Path, max: u64) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(max + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > max {
        return Err(io::Error::other(format!("more than {max} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_context_is_written_for_its_owner_and_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let context = Context {
            nats_url: "nats://127.0.0.1:4222".into(),
            gateway_url: None,
            token_file: "token".into(),
            tls: BrokerTls::default(),
            pid: 7,
        };
        context.write(folder.path()).expect("written");
        context.write(folder.path()).expect("and over itself");
        let path = folder.path().join(FILE);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Context::read(folder.path()).expect("read");
        assert_eq!(read.token_file, folder.path().join("token"));
        assert_eq!(
            (read.nats_url, read.pid),
            (context.nats_url.clone(), context.pid)
        );
        Context::remove(folder.path()).expect("removed");
        Context::remove(folder.path()).expect("and nothing to remove");
        let error = Context::read(folder.path()).expect_err("none");
        assert!(matches!(error, ContextError::NoMesh { .. }), "{error}");
    }

    #[test]
    fn a_broken_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "{}").expect("written");
        let said = Context::read(folder.path())
            .expect_err("broken")
            .to_string();
        assert!(
            said.contains("context.json") && said.contains("natsUrl"),
            "{said}"
        );
    }
}
