//! The shape of `src/`, checked: who may import whom, which crate may be named where,
//! how long a file may be, and that every file says what it is for.
//!
//! One crate has no compiler-enforced walls between its modules, so this test is the wall.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Library modules from the ground up. A module may import only what stands before it.
const ORDER: &[&str] = &[
    // words
    "mcp",
    "name",
    "error",
    "call",
    // runtime
    "health",
    "telemetry",
    "spawn",
    "child",
    // bus
    "bus",
    // stores
    "audit",
    "access",
    "event",
    "resource",
    "once",
    "registry",
    "trace",
    // policy
    "policy",
    "pipeline",
    "task",
    "mesh",
    // edges
    "http",
    "adapter",
    "gateway",
    "console",
    "admin",
    "control",
    // product
    "config",
    "broker",
    "app",
];

/// Edges stand side by side: none of them may import another.
const EDGES: &[&str] = &["adapter", "gateway", "console", "admin", "control"];

/// Words that may appear only under the named modules.
const FENCES: &[(&str, &[&str])] = &[
    ("async_nats", &["bus", "control"]),
    // bare JetStream, beside which events are measured, makes its own
    ("create_stream", &["control", "bus/bare"]),
    ("create_key_value", &["control"]),
    ("axum", &["http", "gateway", "console", "admin"]),
    ("reqwest", &["adapter", "access", "telemetry"]),
    ("tokio::process", &["child"]),
    ("tokio::spawn", &["spawn"]),
    ("std::env::var", &["config"]),
    ("clap", &["cli"]),
    ("use cel::", &["call/condition"]),
];

/// What the binary, a crate root of its own, may say of the library: whole modules, or parts.
const BINARY: &[&str] = &[
    "app",
    "config",
    "broker",
    "mesh",
    "mcp",
    "name",
    "error",
    "call",
    "event",
    "resource",
    "audit",
    // a token's own words, the one log, the process that `main` may turn out to be
    "access::exchange",
    "telemetry::log",
    "child::watchdog",
];

const LINES_MAX: usize = 400;
const NAMES_BANNED: &[&str] = &["utils.rs", "util.rs", "helpers.rs", "common.rs", "misc.rs"];

#[test]
fn modules_import_only_downwards() {
    let mut broken = Vec::new();
    for source in sources() {
        let Some(own) = rank(&source.module) else {
            continue;
        };
        for used in source.crate_modules() {
            let Some(other) = rank(&used) else {
                broken.push(format!("{}: `{used}` has no place in ORDER", source.path));
                continue;
            };
            let siblings =
                EDGES.contains(&source.module.as_str()) && EDGES.contains(&used.as_str());
            if other > own || (siblings && used != source.module) {
                broken.push(format!(
                    "{}: `{}` must not import `{used}`",
                    source.path, source.module
                ));
            }
        }
        if source.code().contains(&"super::".repeat(source.depth + 1)) {
            broken.push(format!(
                "{}: climbs past its module with `super`; write `crate::`",
                source.path
            ));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_binary_imports_the_surface_alone() {
    let mut broken = Vec::new();
    for source in sources() {
        if !["main", "cli"].contains(&source.module.as_str()) {
            continue;
        }
        for used in source.paths_after("weftbus::") {
            let below = |known: &&str| {
                let rest = used.strip_prefix(*known);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            if !BINARY.iter().any(below) {
                broken.push(format!("{}: must not use `weftbus::{used}`", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn foreign_crates_stay_behind_their_fence() {
    let mut broken = Vec::new();
    for source in sources() {
        for (word, allowed) in FENCES {
            let inside = allowed.iter().any(|place| source.is_within(place));
            if source.code().contains(word) && !inside {
                broken.push(format!("{}: `{word}` belongs to {allowed:?}", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn files_are_short_named_and_introduced() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.code().lines().count();
        if lines > LINES_MAX {
            broken.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}",
                source.path
            ));
        }
        // The crate's own introduction is a document of its own.
        let introduced = ["//!", "#![doc = include_str!"];
        if !introduced
            .iter()
            .any(|start| source.text.starts_with(start))
        {
            broken.push(format!("{}: begins without `//!`", source.path));
        }
        if NAMES_BANNED
            .iter()
            .any(|name| source.path.ends_with(&format!("/{name}")))
        {
            broken.push(format!("{}: name it after what it holds", source.path));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

struct Source {
    path: String,
    /// First path component below `src/`: `bus` for both `bus.rs` and `bus/wire.rs`.
    module: String,
    /// 0 for `src/bus.rs`, 1 for `src/bus/wire.rs`.
    depth: usize,
    text: String,
}

impl Source {
    /// The text above the unit tests.
    fn code(&self) -> &str {
        self.text
            .split("\n#[cfg(test)]\nmod ")
            .next()
            .unwrap_or(&self.text)
    }

    /// Whether it is this module of the crate, or below it: `control`, `bus/bare`.
    fn is_within(&self, place: &str) -> bool {
        let path = self.path.trim_start_matches("src/");
        let rest = path.strip_prefix(place);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// Every `x` in `crate::x` and in `crate::{x, y::z}`.
    fn crate_modules(&self) -> Vec<String> {
        let paths = self.paths_after("crate::");
        paths
            .iter()
            .map(|path| ident(path))
            .filter(|name| name.starts_with(char::is_lowercase))
            .collect()
    }

    /// Every `x::y` in `root::x::y` and in `root::{x::y, z}`.
    fn paths_after(&self, root: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (_, rest) in self
            .code()
            .match_indices(root)
            .map(|(at, m)| (at, &self.code()[at + m.len()..]))
        {
            if let Some(group) = rest.strip_prefix('{') {
                let (mut depth, mut item) = (0usize, String::new());
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.push(std::mem::take(&mut item)),
                        _ if depth == 0 => item.push(c),
                        _ => {}
                    }
                }
                found.push(item);
            } else {
                found.push(rest.to_owned());
            }
        }
        let in_path = |c: &char| c.is_alphanumeric() || "_:".contains(*c);
        found
            .iter()
            .map(|path| {
                path.trim_start()
                    .chars()
                    .take_while(in_path)
                    .collect::<String>()
            })
            .map(|path| path.trim_end_matches(':').to_owned())
            .filter(|path| !path.is_empty())
            .collect()
    }
}

fn ident(path: &str) -> String {
    path.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(!files.is_empty(), "no sources under {}", root.display());
    files
        .iter()
        .map(|file| {
            let below = file.strip_prefix(&root).expect("file is under src");
            let first = below
                .iter()
                .next()
                .expect("path is not empty")
                .to_string_lossy();
            Source {
                path: format!("src/{}", below.display()),
                module: first.trim_end_matches(".rs").to_owned(),
                depth: below.components().count() - 1,
                text: fs::read_to_string(file).expect("source is readable"),
            }
        })
        .collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("directory is readable") {
        let path = entry.expect("entry is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}
