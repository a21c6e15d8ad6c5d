//! What lies below a root and what does not. Each that is refused has a twin that is read.

use std::{fs, os::unix::fs::symlink};

use super::*;
use crate::error::Kind;

fn roots(path: &std::path::Path) -> Roots {
    let root = Root {
        path: path.to_owned(),
        permissions: Vec::new(),
    };
    Roots::new(BTreeMap::from([("docs".to_owned(), root)]))
}

/// What is none of the files below the root.
const OUTSIDE: &[&str] = &[
    "root://docs/../secret",
    "root://docs/..%2fsecret",
    "root://docs/..%2Fsecret",
    "root://docs/%2e%2e/secret",
    "root://docs/sub/../a.md",
    "root://docs/sub%2Fb%20c.md",
    "root://docs/./a.md",
    "root://docs//a.md",
    "root://docs/a.md/",
    "root://docs/%61.md",
    "root://docs/a.md%00",
    "root://docs/a.md%0",
    "root://docs-secret/s",
    "root://docs/out",
    "root://docs/up/secret",
    "root://docs/within",
    "root://docs/proc/environ",
    "root://docs/pipe",
    "root://docs/socket",
    "root://docs/sub",
    "root://docs/..x",
    "root://docs/.env",
    "root://docs/.git/config",
    "root://docs/",
    "root://docs",
    "root:///a.md",
    "root://docs/none",
];

#[tokio::test]
async fn only_regular_files_below_the_root_are_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let docs = dir.path().join("docs");
    for folder in ["docs/sub", "docs/.git", "docs-secret"] {
        fs::create_dir_all(dir.path().join(folder)).expect("a folder");
    }
    let files = [
        "a.md",
        "sub/b c.md",
        "..x",
        "sub/...",
        ".env",
        ".git/config",
        "%2e",
    ];
    for file in files {
        fs::write(docs.join(file), file).expect("a file");
    }
    fs::write(dir.path().join("secret"), "s").expect("a file");
    fs::write(dir.path().join("docs-secret/s"), "s").expect("a file");
    symlink("../secret", docs.join("out")).expect("a link");
    symlink("..", docs.join("up")).expect("a link");
    symlink("a.md", docs.join("within")).expect("a link");
    symlink("/proc/self", docs.join("proc")).expect("a link");
    rustix::fs::mkfifoat(rustix::fs::CWD, docs.join("pipe"), Mode::RUSR).expect("a pipe");
    let socket = std::os::unix::net::UnixListener::bind(docs.join("socket")).expect("a socket");
    let roots = roots(&docs);
    for (id, content) in [
        ("root://docs/a.md", "a.md"),
        ("root://docs/sub/b%20c.md", "sub/b c.md"),
        ("root://docs/%252e", "%2e"),
    ] {
        let found = roots.find(id).await.expect("in time").expect(id);
        let range = (0, found.size);
        let read = roots.read(&found, range).await.expect("read");
        assert_eq!(
            (found.id.as_str(), read.as_slice()),
            (id, content.as_bytes())
        );
        let middle = roots.read(&found, (1, 3)).await.expect("read");
        assert_eq!(middle, &content.as_bytes()[1..3]);
    }
    for id in OUTSIDE {
        assert_eq!(roots.find(id).await.expect("in time"), None, "{id}");
    }
    let listed = roots.list().await.expect("a list");
    let listed: Vec<&str> = listed.iter().map(|one| one.id.as_str()).collect();
    let shared = [
        "root://docs/%252e",
        "root://docs/a.md",
        "root://docs/sub/b%20c.md",
    ];
    assert_eq!(listed, shared);
    drop(socket);
}

/// What a root is of another file system: `/dev` and `/proc` are mounted below `/`.
#[tokio::test]
async fn devices_and_other_file_systems_are_none() {
    let top = roots("/".as_ref());
    for id in [
        "root://docs/dev/null",
        "root://docs/proc/self/environ",
        "root://docs/proc/version",
    ] {
        assert_eq!(top.find(id).await.expect("in time"), None, "{id}");
    }
    // The devices again, with nothing in between.
    let device = roots("/dev".as_ref());
    assert_eq!(
        device.find("root://docs/null").await.expect("in time"),
        None
    );
}

#[tokio::test]
async fn a_file_that_changes_is_not_read_as_if_it_were_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("a");
    fs::write(&file, "one").expect("a file");
    let roots = roots(dir.path());
    let found = roots
        .find("root://docs/a")
        .await
        .expect("in time")
        .expect("there");
    let later = std::time::SystemTime::now() + Duration::from_secs(60);
    roots.read(&found, (0, 3)).await.expect("the twin");
    let handle = File::options().write(true).open(&file).expect("a file");
    handle.set_modified(later).expect("another time");
    let read = roots.read(&found, (0, 3)).await.expect_err("changed");
    assert_eq!(read.kind(), Kind::ResourceNotFound);
}
