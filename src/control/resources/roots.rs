//! Files below a folder, as resources that nobody writes: `root://{root}/{path}`.
//!
//! A path is walked part by part, and no link is followed: what was opened is below the root, by
//! construction, whatever somebody does to the tree meanwhile. Only regular files of the root's own
//! file system are read; names that begin with a dot are not shared.

use std::{
    collections::BTreeMap,
    fs::File,
    os::{fd::OwnedFd, unix::fs::FileExt as _},
    sync::Arc,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, open, openat, statat},
    io::Errno,
};
use tokio::time::timeout;

use super::{parts::changed, state::stamp};
use crate::{
    control::connect::unavailable,
    error::Error,
    name::ServerName,
    resource::{ROOT_SCHEME, Resource, Root},
};

/// How long the file system may take.
const READ_MAX: Duration = Duration::from_secs(5);
/// How deep files may lie.
const DEPTH_MAX: usize = 16;
/// Files of one root that are listed, and entries that are looked at for it.
const LISTED_MAX: usize = 5000;
const LOOKS_MAX: usize = 20_000;

/// The roots by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Roots(Arc<BTreeMap<String, Root>>);

impl Roots {
    pub(super) fn new(roots: BTreeMap<String, Root>) -> Self {
        Self(Arc::new(roots))
    }

    /// The file of this name, where there is one.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Resource>, Error> {
        let Some((name, root, path)) = self.place(id) else {
            return Ok(None);
        };
        let found = apart(move || {
            let opened = open_below(&root, &path).ok();
            opened.map(|(_, stat)| resource(&name, &path, &root, &stat))
        });
        found.await
    }

    /// A range of a file that was found.
    pub(super) async fn read(
        &self,
        found: &Resource,
        (from, until): (u64, u64),
    ) -> Result<Vec<u8>, Error> {
        let Some((_, root, path)) = self.place(&found.id) else {
            return Err(changed());
        };
        let version = found.version;
        let read = apart(move || {
            let (file, stat) = open_below(&root, &path).ok()?;
            let length = usize::try_from(until.saturating_sub(from)).ok()?;
            let mut bytes = vec![0; length];
            File::from(file).read_exact_at(&mut bytes, from).ok()?;
            (changed_ms(&stat) == version).then_some(bytes)
        });
        read.await?.ok_or_else(changed)
    }

    /// The files of all roots, by name.
    pub(super) async fn list(&self) -> Result<Vec<Resource>, Error> {
        let roots = Arc::clone(&self.0);
        if roots.is_empty() {
            return Ok(Vec::new());
        }
        let listed = apart(move || {
            let mut all = Vec::new();
            for (name, root) in roots.iter() {
                if let Err(error) = walk(name, root, &mut all) {
                    tracing::warn!(root = name, %error, "the files of a root can't be listed");
                }
            }
            all.sort_by(|one, other| one.id.cmp(&other.id));
            all
        });
        listed.await
    }

    fn place(&self, id: &str) -> Option<(String, Root, Vec<String>)> {
        let (name, path) = parts(id)?;
        let root = self.0.get(name)?.clone();
        Some((name.to_owned(), root, path))
    }
}

/// What waits for a file system waits on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let failed = || unavailable("the files of a root can't be read in time");
    let done = timeout(READ_MAX, tokio::task::spawn_blocking(work)).await;
    done.map_err(|_| failed())?
        .map_err(|error| failed().source(error))
}

/// The root and the path in a name: each part spelt the one way in which lists spell it.
fn parts(id: &str) -> Option<(&str, Vec<String>)> {
    let rest = id.strip_prefix(ROOT_SCHEME)?.strip_prefix("://")?;
    let (root, path) = rest.split_once('/')?;
    let path: Vec<String> = path.split('/').map(plain).collect::<Option<_>>()?;
    (path.len() <= DEPTH_MAX).then_some((root, path))
}

fn plain(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    let name = String::from_utf8(bytes).ok()?;
    (is_shared(&name) && spelt(&name) == part).then_some(name)
}

/// Hidden ones are not, and `.` and `..` least of all.
fn is_shared(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

fn spelt(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

fn root_folder(root: &Root) -> Result<(OwnedFd, Stat), Errno> {
    let folder = open(&root.path, FOLDER, Mode::empty())?;
    let stat = fstat(&folder)?;
    Ok((folder, stat))
}

fn open_below(root: &Root, path: &[String]) -> Result<(OwnedFd, Stat), Errno> {
    let (mut folder, top) = root_folder(root)?;
    let (last, before) = path.split_last().ok_or(Errno::NOENT)?;
    for part in before {
        folder = openat(&folder, part, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    }
    // Looked at before it is opened: opening a device may do something.
    is_file(&statat(&folder, last, AtFlags::SYMLINK_NOFOLLOW)?, &top)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&folder, last, flags | OFlags::NOCTTY, Mode::empty())?;
    let stat = fstat(&file)?;
    is_file(&stat, &top)?;
    Ok((file, stat))
}

/// A regular file, of the file system that the root is of.
fn is_file(stat: &Stat, top: &Stat) -> Result<(), Errno> {
    let regular = FileType::from_raw_mode(stat.st_mode).is_file();
    if regular && stat.st_dev == top.st_dev {
        return Ok(());
    }
    Err(Errno::NOENT)
}

/// Adds the files of a root, folder by folder.
fn walk(name: &str, root: &Root, all: &mut Vec<Resource>) -> Result<(), Errno> {
    let (folder, top) = root_folder(root)?;
    let mut waiting = vec![(folder, Vec::<String>::new())];
    let (mut looks, full) = (0, all.len() + LISTED_MAX);
    while let Some((folder, path)) = waiting.pop() {
        for entry in Dir::read_from(&folder)? {
            looks += 1;
            if looks > LOOKS_MAX || all.len() >= full {
                tracing::warn!(root = name, "a root has more files than are listed");
                return Ok(());
            }
            let entry = entry?;
            let Some(part) = entry
                .file_name()
                .to_str()
                .ok()
                .filter(|name| is_shared(name))
            else {
                continue;
            };
            let Ok(stat) = statat(&folder, part, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let mut below = path.clone();
            below.push(part.to_owned());
            if is_file(&stat, &top).is_ok() {
                all.push(resource(name, &below, root, &stat));
            } else if FileType::from_raw_mode(stat.st_mode).is_dir() && below.len() < DEPTH_MAX {
                let flags = FOLDER | OFlags::NOFOLLOW;
                if let Ok(next) = openat(&folder, part, flags, Mode::empty()) {
                    // Each waiting folder is an open file.
                    if waiting.len() < 256 {
                        waiting.push((next, below));
                    }
                }
            }
        }
    }
    Ok(())
}

fn changed_ms(stat: &Stat) -> u64 {
    // The types of the two differ from system to system.
    let (seconds, nanos) = (i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec));
    u64::try_from(seconds * 1000 + nanos / 1_000_000).unwrap_or(0)
}

fn resource(name: &str, path: &[String], root: &Root, stat: &Stat) -> Resource {
    let path: Vec<String> = path.iter().map(|part| spelt(part)).collect();
    let changed = changed_ms(stat);
    Resource {
        id: format!("{ROOT_SCHEME}://{name}/{}", path.join("/")),
        kind: "file".to_owned(),
        content: None,
        metadata: serde_json::Map::new(),
        owner: ServerName::weft().identity(),
        permissions: root.permissions.clone(),
        created_at: stamp(changed),
        updated_at: stamp(changed),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        sha256: None,
        version: changed,
    }
}

#[cfg(test)]
mod tests;
