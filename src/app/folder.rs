//! The data folder of a mesh: locked by who runs it, so that there is one at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::control;

/// Why a data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Somebody runs a mesh on it.
    #[error(
        "{folder} is in use by the mesh of process {pid}: stop it with `weft down --data {folder}`, or give another folder with --data"
    )]
    Locked {
        /// The folder.
        folder: String,
        /// Who holds it, as far as the lock says.
        pid: String,
    },
    /// It can't be made, read or written.
    #[error("{path} can't be used as data folder: {error}")]
    Io {
        /// What could not be.
        path: String,
        /// Why.
        error: std::io::Error,
    },
}

/// A data folder that we hold.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    // The lock is held for as long as the file is open: the system gives it back if we die.
    _lock: File,
}

impl Folder {
    /// Makes the folder where there is none (for its owner alone), and takes its lock.
    ///
    /// # Errors
    /// [`FolderError`]: somebody holds it, or it can't be written.
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        let io = |error| FolderError::Io {
            path: path.display().to_string(),
            error,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io)?;
        let path = path.canonicalize().map_err(io)?;
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = lock.read_to_string(&mut pid);
                let known = read.is_ok() && !pid.trim().is_empty();
                return Err(FolderError::Locked {
                    folder: path.display().to_string(),
                    pid: if known {
                        pid.trim().to_owned()
                    } else {
                        "?".to_owned()
                    },
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        lock.set_len(0).map_err(io)?;
        lock.rewind().map_err(io)?;
        writeln!(lock, "{}", std::process::id()).map_err(io)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file with the token of whoever works on this machine.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.path.join("token")
    }

    /// Writes a file that its owner alone may read, whole or not at all.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn write_private(&self, name: &str, text: &str) -> Result<PathBuf, FolderError> {
        let path = self.path.join(name);
        control::write_private(&path, text.as_bytes()).map_err(|error| FolderError::Io {
            path: path.display().to_string(),
            error,
        })?;
        Ok(path)
    }

    /// Removes a file, where it is.
    pub fn remove(&self, name: &str) {
        if let Err(error) = fs::remove_file(self.path.join(name))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, name, "a file of the data folder could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("mesh");
        let held = Folder::take(&path).expect("free");
        let refused = Folder::take(&path).expect_err("held").to_string();
        assert!(
            refused.contains(&std::process::id().to_string()),
            "{refused}"
        );
        assert!(refused.contains("weft down"), "{refused}");
        drop(held);
        assert!(Folder::take(&path).is_ok());
    }

    #[test]
    fn private_files_are_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::take(&dir.path().join("mesh")).expect("free");
        let file = folder.write_private("token", "secret").expect("written");
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mode = fs::metadata(folder.path())
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
