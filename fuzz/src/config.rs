//! `weft.yaml`: any text is a configuration or has errors with a place, and neither ends the reader.

use std::sync::LazyLock;

use weftbus::config::{self, Sources, load};

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder for the file"));

/// The text of a configuration file; one that begins with `{` also as a client's.
pub fn config(data: &[u8]) {
    let file = FOLDER.path().join(config::FILE);
    std::fs::write(&file, data).expect("the folder can be written");
    let mut sources = Sources {
        folder: FOLDER.path().to_owned(),
        file: Some(file.clone()),
        ..Sources::default()
    };
    read(&sources);
    if data.starts_with(b"{") {
        sources.file = None;
        let client = FOLDER.path().join("mcp.json");
        std::fs::write(&client, data).expect("the folder can be written");
        std::fs::remove_file(&file).expect("it is there");
        sources.import = vec![client];
        read(&sources);
    }
}

fn read(sources: &Sources) {
    match load(sources) {
        Ok(loaded) => {
            let shown = config::show(&loaded);
            assert!(!shown.to_string().is_empty());
            for warning in &loaded.warnings {
                assert!(!warning.to_string().is_empty());
            }
        }
        Err(problems) => assert!(!problems.to_string().is_empty(), "refused without a word"),
    }
}
