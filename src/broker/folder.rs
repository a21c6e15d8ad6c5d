//! `DATA/nats/`: what lies where, the configuration written into it, the variables it reads.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::{PublicKeys, StartError};

/// What this binary carries, by file name. The first is the one that is run.
const FILES: [(&str, &str); 3] = [
    ("single.conf", include_str!("../../nats/single.conf")),
    ("limits.inc", include_str!("../../nats/limits.inc")),
    ("mesh.inc", include_str!("../../nats/mesh.inc")),
];
/// Put before each: an edit would be lost without a word.
const HEAD: &str = "# Written by weft at every start. For a configuration of your own, run nats-server yourself and give weft --nats URL.\n";

/// The variables that the configuration of a managed nats-server reads, all set by
/// [`Broker::start`](super::Broker::start).
pub const VARIABLES: [&str; 6] = [
    "STORE_DIR",
    "NATS_AUTH_NKEY",
    "NATS_STORE_NKEY",
    "NATS_SYS_NKEY",
    "NATS_CALLOUT_ISSUER",
    "NATS_CALLOUT_XKEY",
];

/// The broker's part of the data folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes the folder, for its owner only, and writes the configuration.
    pub(super) fn prepare(data: &Path) -> Result<Self, StartError> {
        let failed = |path: &Path, source: io::Error| StartError::Folder {
            path: path.to_owned(),
            source,
        };
        // nats-server is handed these paths: they must hold wherever it looks from.
        let root = std::path::absolute(data).map_err(|error| failed(data, error))?;
        let folder = Self {
            root: root.join("nats"),
        };
        for dir in [folder.root.clone(), folder.ports()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|error| failed(&dir, error))?;
        }
        for (name, text) in FILES {
            let path = folder.root.join(name);
            replace(&path, &format!("{HEAD}{text}")).map_err(|error| failed(&path, error))?;
        }
        Ok(folder)
    }

    /// The configuration that is run.
    pub(super) fn configuration(&self) -> PathBuf {
        self.root.join(FILES[0].0)
    }

    /// Where nats-server says on which ports it listens; nothing else is in it.
    pub(super) fn ports(&self) -> PathBuf {
        self.root.join("ports")
    }

    /// Where nats-server writes its process id.
    pub(super) fn pid(&self) -> PathBuf {
        self.root.join("nats.pid")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("nats-server.log")
    }

    /// Where the streams are; nats-server adds the last name itself.
    pub(super) fn store(&self) -> PathBuf {
        self.root.join("jetstream")
    }

    /// The port that was had last, if any.
    pub(super) fn last_port(&self) -> Option<u16> {
        let text = fs::read_to_string(self.root.join("port")).ok()?;
        text.trim().parse().ok().filter(|port| *port != 0)
    }

    /// Keeps the port for the next run. Without it, that one merely has another.
    pub(super) fn keep_port(&self, port: u16) {
        if let Err(error) = replace(&self.root.join("port"), &format!("{port}\n")) {
            tracing::warn!(%error, "the broker's port is not kept for the next run");
        }
    }

    /// Removes what servers before said of their ports: it would be taken for the new one's.
    pub(super) fn forget_ports(&self) -> Result<(), StartError> {
        let failed = |source| StartError::Folder {
            path: self.ports(),
            source,
        };
        for entry in fs::read_dir(self.ports()).map_err(failed)? {
            fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(())
    }

    /// The variables of the configuration.
    pub(super) fn environment(&self, keys: &PublicKeys) -> BTreeMap<String, String> {
        let values = [
            quoted(&self.root),
            keys.auth.clone(),
            keys.store.clone(),
            keys.sys.clone(),
            keys.issuer.clone(),
            keys.xkey.clone(),
        ];
        VARIABLES
            .map(str::to_owned)
            .into_iter()
            .zip(values)
            .collect()
    }
}

/// nats-server reads the value of a variable as a piece of configuration: bare, a path with a
/// space would end at the space.
fn quoted(path: &Path) -> String {
    let text = path
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!("\"{text}\"")
}

/// Writes a file as a whole: a reader finds the old one or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_holds_the_configuration_and_is_for_its_owner() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = Folder::prepare(data.path()).expect("writable");
        Folder::prepare(data.path()).expect("and a second time");
        let text = fs::read_to_string(folder.configuration()).expect("written");
        assert!(text.starts_with("# Written by weft") && text.contains("include mesh.inc"));
        let mode = fs::metadata(&folder.root)
            .expect("made")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(folder.last_port(), None);
        folder.keep_port(4711);
        assert_eq!(folder.last_port(), Some(4711));
        fs::write(folder.ports().join("nats-server_1.ports"), "{}").expect("writable");
        folder.forget_ports().expect("ours");
        assert_eq!(fs::read_dir(folder.ports()).expect("there").count(), 0);
    }

    #[test]
    fn a_path_stays_one_value() {
        assert_eq!(quoted(Path::new("/my data")), r#""/my data""#);
        assert_eq!(quoted(Path::new(r#"/a"b\c"#)), r#""/a\"b\\c""#);
    }

    #[test]
    fn what_can_not_be_made_is_named() {
        let text = Folder::prepare(Path::new("/proc/none"))
            .expect_err("nobody writes there")
            .to_string();
        assert!(
            text.contains("/proc/none/nats") && text.contains("--data"),
            "{text}"
        );
    }
}
