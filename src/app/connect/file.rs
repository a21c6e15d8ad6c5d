//! A client's file, changed as a whole or not at all, with what it was beside it.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use chrono::Utc;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::merge::{MergeError, merge};

/// Bytes of a client's file at most: some keep more in it than their servers.
const BYTES_MAX: u64 = 16 << 20;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "did")]
pub enum Change {
    /// There was none.
    Made,
    /// It had the entry already.
    Nothing,
    /// It was changed.
    #[serde(rename_all = "camelCase")]
    Changed {
        /// The file as it was.
        backup: PathBuf,
    },
}

/// Why a file was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Nobody can say what a change would do to it.
    #[error("it can't be changed safely: {0}")]
    Merge(#[from] MergeError),
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Puts the fragment into the file, which is made where there is none.
///
/// # Errors
/// [`FileError`]; then the file is as it was.
pub fn write(path: &Path, fragment: &Value) -> Result<Change, FileError> {
    // A link stays one: what it leads to is changed.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = match fs::metadata(path) {
        Ok(about) if about.len() > BYTES_MAX => {
            let why = format!("it has more than {BYTES_MAX} bytes");
            return Err(io::Error::other(why).into());
        }
        Ok(_) => Some(fs::read_to_string(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let new = merge(old.as_deref().unwrap_or_default(), fragment)?;
    let Some(old) = old else {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        replace(path, &new, None)?;
        return Ok(Change::Made);
    };
    if new == old {
        return Ok(Change::Nothing);
    }
    let backup = beside(
        path,
        &Utc::now().format("backup-%Y%m%dT%H%M%S%3fZ").to_string(),
    );
    fs::copy(path, &backup)?;
    replace(path, &new, Some(fs::metadata(path)?.permissions()))?;
    Ok(Change::Changed { backup })
}

/// `DIR/mcp.json` and `backup` make `DIR/mcp.json.backup`.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(end);
    path.with_file_name(name)
}

/// Writes beside it and moves it into place, so that nobody reads half of it.
fn replace(path: &Path, text: &str, permissions: Option<fs::Permissions>) -> io::Result<()> {
    let new = beside(path, &format!("new-{}", std::process::id()));
    let written = (|| {
        let mut file = fs::File::create_new(&new)?;
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    if written.is_err() {
        // What is left of it is ours, and of use to nobody.
        drop(fs::remove_file(&new));
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("it is there");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_changed_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below/mcp.json");
        let one = json!({"mcpServers": {"weft": {"command": "a"}}});
        let two = json!({"mcpServers": {"weft": {"command": "b"}}});
        assert_eq!(write(&path, &one).expect("made"), Change::Made);
        assert_eq!(write(&path, &one).expect("read"), Change::Nothing);
        let before = fs::read_to_string(&path).expect("there");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        let Change::Changed { backup } = write(&path, &two).expect("changed") else {
            panic!("it was changed");
        };
        assert_eq!(fs::read_to_string(&backup).expect("there"), before);
        assert_ne!(fs::read_to_string(&path).expect("there"), before);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            names(&folder.path().join("below")).len(),
            2,
            "the file and its backup"
        );
    }

    #[test]
    fn a_link_stays_one_and_a_broken_file_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (
            folder.path().join("real.json"),
            folder.path().join("mcp.json"),
        );
        let one = json!({"mcpServers": {"weft": {"command": "a"}}});
        fs::write(&real, "{}").expect("ours");
        std::os::unix::fs::symlink(&real, &link).expect("ours");
        write(&link, &one).expect("changed");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert!(fs::read_to_string(&real).expect("there").contains("weft"));

        fs::write(&real, "{ broken").expect("ours");
        let before = names(folder.path());
        assert!(matches!(write(&link, &one), Err(FileError::Merge(_))));
        assert_eq!(fs::read_to_string(&real).expect("there"), "{ broken");
        assert_eq!(names(folder.path()), before);
    }
}
