//! A file that was read, and what of it may be shown: the lines of an error must not carry the
//! secrets that stand beside the mistake.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    ops::Range,
    path::{Path, PathBuf},
};

use crate::config::{
    problem::Problem,
    tree::{Node, Value},
};

/// Bytes of a configuration file at most.
pub(crate) const FILE_MAX: u64 = 1024 * 1024;

/// A file: its name as the user wrote it, its folder, its text.
#[derive(Clone)]
pub(crate) struct Source {
    name: String,
    folder: PathBuf,
    text: String,
    shown: String,
}

/// Keys whose values are not shown. A client's file has its tokens in `args` as often as in `env`.
const HIDDEN: &[&str] = &["env", "headers", "password", "token", "args"];

impl Source {
    /// Reads a file of at most [`FILE_MAX`] bytes of UTF-8.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let text =
            text(path, FILE_MAX).map_err(|why| Problem::bare(format!("the file {name} {why}")))?;
        let folder = std::path::absolute(path)
            .ok()
            .and_then(|path| path.parent().map(Path::to_owned))
            .unwrap_or_default();
        Ok(Self::new(name, folder, text))
    }

    /// A text that was read elsewhere.
    pub(crate) fn new(name: String, folder: PathBuf, text: String) -> Self {
        let text = text
            .strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text);
        let shown = veiled(&text);
        Self {
            name,
            folder,
            text,
            shown,
        }
    }

    /// The same file with its text changed in place: lines and columns must stay.
    pub(crate) fn map(self, change: impl FnOnce(String) -> String) -> Self {
        Self::new(self.name, self.folder, change(self.text))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// A line as it may be shown, counted from 1.
    pub(crate) fn line(&self, number: usize) -> Option<&str> {
        self.shown.lines().nth(number.checked_sub(1)?)
    }

    /// A path of this file: relative to its folder, `~/` to the home directory.
    pub(crate) fn path(&self, written: &Path, home: Option<&str>) -> PathBuf {
        match (written.strip_prefix("~"), home) {
            (Ok(below), Some(home)) => Path::new(home).join(below),
            _ => self.folder.join(written),
        }
    }

    /// The folder that the file stands in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Knows from now on which values are secrets, and shows all else.
    pub(crate) fn understand(&mut self, tree: &Node) {
        let mut hidden = Vec::new();
        collect(tree, false, &mut hidden);
        hidden.sort_by_key(|range: &Range<usize>| range.start);
        self.shown = masked(&self.text, &hidden);
    }
}

/// Reads a text file with a bound. The error continues the words "the file X".
pub(crate) fn text(path: &Path, max: u64) -> Result<String, String> {
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => "does not exist".to_owned(),
        ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(max + 1).read_to_string(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > max {
        return Err(format!("has more than {max} bytes"));
    }
    Ok(text)
}

/// Before a text is understood, nothing tells a secret from a word: of every line only the first
/// key and the punctuation are shown.
fn veiled(text: &str) -> String {
    let veil = |line: &str| {
        let key = line.find(':').unwrap_or(0);
        let letter = |c: char| if c.is_alphanumeric() { '*' } else { c };
        let value: String = line[key..].chars().map(letter).collect();
        format!("{}{value}", &line[..key])
    };
    text.split_inclusive('\n').map(veil).collect()
}

fn collect(node: &Node, secret: bool, hidden: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Null => {}
        // An address may carry a password before its `@`.
        Value::Text(text) if secret || text.contains('@') => {
            hidden.push(node.at.bytes.clone());
        }
        Value::Plain(_) if secret => hidden.push(node.at.bytes.clone()),
        Value::Plain(_) | Value::Text(_) => {}
        Value::List(items) => items.iter().for_each(|item| collect(item, secret, hidden)),
        Value::Map(pairs) => {
            for pair in pairs {
                let secret = secret || HIDDEN.contains(&pair.key.as_str());
                collect(&pair.node, secret, hidden);
            }
        }
    }
}

/// The text with `*` for each letter and digit in `hidden` (sorted), but for names of variables:
/// these are what an error about them is about.
fn masked(text: &str, hidden: &[Range<usize>]) -> String {
    let mut ranges = hidden.iter().peekable();
    let mut variable = false;
    let mut last = ' ';
    text.char_indices()
        .map(|(at, c)| {
            while ranges.next_if(|range| range.end <= at).is_some() {
                variable = false;
            }
            let inside = ranges.peek().is_some_and(|range| range.start <= at);
            variable = inside && (variable || (last == '$' && c == '{')) && !"}:-".contains(c);
            last = c;
            if inside && !variable && c.is_alphanumeric() {
                '*'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree;

    fn source(text: &str) -> Source {
        Source::new("test".to_owned(), PathBuf::from("folder"), text.to_owned())
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut source = source(concat!(
            "servers:\n",
            "  a: { command: run, env: { KEY: \"s3cret\", B: 'x ${NAME:-s3cret} y' } }\n",
            "nats: { url: \"nats://u:s3cret@host\", user: me }\n",
        ));
        assert_eq!(
            source.line(2),
            Some("  a: { *******: ***, ***: { ***: \"******\", *: '* ${****:-******} *' } }")
        );
        let tree = tree::parse(&source).unwrap();
        source.understand(&tree);
        assert_eq!(
            source.line(2),
            Some("  a: { command: run, env: { KEY: \"******\", B: '* ${NAME:-******} *' } }")
        );
        assert_eq!(
            source.line(3),
            Some("nats: { url: \"****://*:******@****\", user: me }")
        );
        assert_eq!(source.line(9), None);
    }

    #[test]
    fn a_line_without_a_key_is_veiled_whole() {
        let source = source("key: |\n  s3cret\n  a: b: c\n");
        assert_eq!(source.line(2), Some("  ******"));
        assert_eq!(source.line(3), Some("  a: *: *"));
    }

    #[test]
    fn a_file_is_bounded_and_must_be_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        std::fs::write(&path, vec![b'#'; 1 + FILE_MAX as usize]).unwrap();
        assert_eq!(
            text(&path, FILE_MAX).unwrap_err(),
            "has more than 1048576 bytes"
        );
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert_eq!(text(&path, FILE_MAX).unwrap_err(), "is not UTF-8 text");
        let absent = folder.path().join("absent");
        assert_eq!(text(&absent, FILE_MAX).unwrap_err(), "does not exist");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let source = source("");
        let path = |written: &str| source.path(Path::new(written), Some("/home/me"));
        assert_eq!(path("a/b"), Path::new("folder/a/b"));
        assert_eq!(path("/a/b"), Path::new("/a/b"));
        assert_eq!(path("~/b"), Path::new("/home/me/b"));
    }
}
