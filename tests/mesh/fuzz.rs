//! The inputs that are kept of `make fuzz`: each goes through the same code once more.

#[path = "../../fuzz/src/lib.rs"]
#[expect(
    unreachable_pub,
    reason = "it is a library where it is fuzzed, and a module here"
)]
mod targets;

use std::{fs, path::Path};

type Target = fn(&[u8]);

/// As they are called in `fuzz/corpus`.
const TARGETS: [(&str, Target); 5] = [
    ("envelope", targets::envelope),
    ("header", targets::header),
    ("subject", targets::subject),
    ("token", targets::token),
    ("config", targets::config),
];

/// Kept of each at least: a folder that was not found would be no test.
const KEPT: usize = 10;

#[test]
fn what_is_kept_does_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in TARGETS {
        let folder = fs::read_dir(corpus.join(name)).expect("the folder is there");
        let mut files: Vec<_> = folder.map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        assert!(files.len() >= KEPT, "{name}: {}", files.len());
        for file in files {
            let data = fs::read(&file).expect("it can be read");
            let run = std::panic::catch_unwind(|| target(&data));
            assert!(run.is_ok(), "{}", file.display());
        }
    }
}
