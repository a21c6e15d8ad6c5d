//! A file that its owner alone may read, and that is never half there.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Writes beside the file and moves it over: a reader, and a crash, find the old one or the new
/// one.
///
/// # Errors
/// What the system says.
pub fn write_private(path: &Path, body: &[u8]) -> io::Result<()> {
    let part = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    // A part that a crash left may have had another mode.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(body)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    // The parent of a bare name is the empty path, which can't be opened.
    let folder = path.parent().filter(|at| !at.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_its_owners_alone_whatever_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret.json");
        let part = folder.path().join("secret.new");
        for left in [&path, &part] {
            fs::write(left, "what a crash left, and longer").expect("written");
            fs::set_permissions(left, fs::Permissions::from_mode(0o644)).expect("chmod");
        }
        write_private(&path, b"new").expect("written");
        assert_eq!(fs::read(&path).expect("a file"), b"new");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!part.exists(), "it was moved");
    }
}
