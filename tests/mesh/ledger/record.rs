//! What a process wrote down: each line one system call, so it outlives a `kill -9` of its writer.
//!
//! A line that the kill tore is no JSON, and was not written: what was to happen after it had not
//! happened yet.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// One try to publish: the how-manyth of which run of the writer. The event says it too, so the
/// one that was stored is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Try {
    pub(super) run: u32,
    pub(super) at: u32,
}

/// A line of a writer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Line {
    /// It begins to publish event `n`.
    Attempt { of: Try, n: u32 },
    /// The event is stored, as the mesh says.
    Acknowledged {
        of: Try,
        n: u32,
        stream: String,
        sequence: u64,
        duplicate: bool,
    },
    /// It is not, or it is not known: it is tried again.
    Failed {
        of: Try,
        n: u32,
        kind: String,
        case: String,
        started: String,
        message: String,
    },
}

/// A file that is only ever added to.
#[derive(Debug)]
pub(super) struct Record {
    file: File,
}

impl Record {
    /// Goes on with a file.
    pub(super) fn open(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        let opened = options.create(true).append(true).open(path);
        let mut file = opened.expect("the folder is ours");
        // A line that was torn ends here.
        file.write_all(b"\n").expect("there is room");
        Self { file }
    }

    pub(super) fn write(&mut self, line: &impl Serialize) {
        let mut text = serde_json::to_vec(line).expect("it is JSON");
        text.push(b'\n');
        self.file.write_all(&text).expect("there is room");
    }
}

/// Reads a file while it is written.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: Option<File>,
    /// The begin of a line whose end is not there yet.
    rest: Vec<u8>,
    /// Lines that were torn.
    pub(super) torn: usize,
}

impl Lines {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            rest: Vec::new(),
            torn: 0,
        }
    }

    /// The lines that came since the last time.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Vec<T> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else {
            return Vec::new();
        };
        file.read_to_end(&mut self.rest).expect("it can be read");
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let mut lines = Vec::new();
        for line in whole.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(line) => lines.push(line),
                Err(_) => self.torn += usize::from(!line.is_empty()),
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        let mut lines = Lines::new(&path);
        assert!(lines.next::<Try>().is_empty(), "it is not there yet");
        let of = |at| Try { run: 1, at };
        Record::open(&path).write(&of(1));
        let mut torn = OpenOptions::new().append(true).open(&path).expect("ours");
        torn.write_all(br#"{"run":1,"#).expect("there is room");
        assert_eq!(lines.next::<Try>(), [of(1)]);
        Record::open(&path).write(&of(3));
        assert_eq!(lines.next::<Try>(), [of(3)]);
        assert_eq!(lines.torn, 1);
    }
}
