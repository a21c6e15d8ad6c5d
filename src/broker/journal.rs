//! What nats-server says: into our own log by its level, into a file of bounded size, and its
//! last complaints kept for the error when it dies.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// The file is moved aside at this size, in bytes; the one moved aside before is replaced.
const FILE_MAX: u64 = 8 << 20;
/// The longest line that is kept, in bytes; the rest of a longer one is dropped.
const LINE_MAX: usize = 8 << 10;
/// How many of its last complaints are kept.
const WORDS_MAX: usize = 6;

/// How bad a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Other,
}

/// Where what nats-server says goes.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
    written: u64,
    words: VecDeque<String>,
}

impl Journal {
    /// Appends to the file. One that can't be written is told once; nats-server runs without.
    pub(super) fn open(path: PathBuf) -> Self {
        let mut journal = Self {
            path,
            file: None,
            written: 0,
            words: VecDeque::new(),
        };
        let opened = journal.reopen();
        journal.lost(opened);
        journal
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Takes a line without its end.
    pub(super) fn take(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        let (level, text) = parse(line);
        match level {
            Level::Error => tracing::error!(target: "nats-server", "{text}"),
            Level::Warning => tracing::warn!(target: "nats-server", "{text}"),
            Level::Other => tracing::debug!(target: "nats-server", "{text}"),
        }
        if level != Level::Other {
            self.words.truncate(WORDS_MAX - 1);
            self.words.push_front(text.to_owned());
        }
        let written = self.append(line);
        self.lost(written);
    }

    /// Its last complaints since they were asked for last, in its order.
    pub(super) fn words(&mut self) -> Vec<String> {
        self.words.drain(..).rev().collect()
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        writeln!(file, "{line}")?;
        self.written += line.len() as u64 + 1;
        if self.written >= FILE_MAX {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            fs::rename(&self.path, aside)?;
            self.reopen()?;
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        self.written = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn lost(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "what nats-server says is no longer written down");
            self.file = None;
        }
    }
}

/// Parts `[pid] date time [LVL] text`. What has not this form is said before its log is open, or
/// after it broke: a configuration that it refuses, a panic.
fn parse(line: &str) -> (Level, &str) {
    let levelled = || {
        let rest = line.strip_prefix('[')?.split_once("] ")?.1;
        let (_time, rest) = rest.split_once(" [")?;
        rest.split_once("] ")
            .or_else(|| Some((rest.strip_suffix(']')?, "")))
    };
    match levelled() {
        Some(("ERR" | "FTL", text)) => (Level::Error, text),
        Some(("WRN", text)) => (Level::Warning, text),
        Some(("INF" | "DBG" | "TRC", text)) => (Level::Other, text),
        _ => (
            Level::Warning,
            line.strip_prefix("nats-server: ").unwrap_or(line),
        ),
    }
}

/// The lines of a stream, none longer than [`LINE_MAX`].
#[derive(Debug)]
pub(super) struct Lines<R> {
    stream: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream: BufReader::new(stream),
            line: Vec::new(),
        }
    }

    /// The next line; none at the end, or where the stream can't be read. Dropping the future
    /// loses nothing.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            let piece = self.stream.fill_buf().await.unwrap_or_default();
            let ended = piece.is_empty();
            if ended && self.line.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', piece);
            let text = &piece[..end.unwrap_or(piece.len())];
            let room = LINE_MAX - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            let used = end.map_or(piece.len(), |at| at + 1);
            self.stream.consume(used);
            if ended || end.is_some() {
                let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
                self.line.clear();
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_parted() {
        let time = "[20691] 2026/11/22 13:59:26.951214 ";
        for (line, level, text) in [
            ("[INF] Server is ready", Level::Other, "Server is ready"),
            (
                "[INF]   Version:  2.15.1",
                Level::Other,
                "  Version:  2.15.1",
            ),
            ("[INF] ", Level::Other, ""),
            ("[INF]", Level::Other, ""),
            ("[WRN] a [b] c", Level::Warning, "a [b] c"),
            (
                "[ERR] 127.0.0.1:1 - cid:5 - no",
                Level::Error,
                "127.0.0.1:1 - cid:5 - no",
            ),
            (
                "[FTL] Can't start JetStream",
                Level::Error,
                "Can't start JetStream",
            ),
        ] {
            assert_eq!(parse(&format!("{time}{line}")), (level, text));
        }
        assert_eq!(
            parse("nats-server: open nope.conf: no such file or directory"),
            (Level::Warning, "open nope.conf: no such file or directory")
        );
        assert_eq!(
            parse("goroutine 1 [running]:"),
            (Level::Warning, "goroutine 1 [running]:")
        );
        assert_eq!(parse("[x"), (Level::Warning, "[x"));
    }

    #[tokio::test]
    async fn lines_are_bounded_and_none_is_lost() {
        let long = "x".repeat(LINE_MAX * 3);
        let text = format!("one\r\n{long}\n\nlast");
        let mut lines = Lines::new(text.as_bytes());
        assert_eq!(lines.next().await.as_deref(), Some("one"));
        assert_eq!(lines.next().await.map(|line| line.len()), Some(LINE_MAX));
        assert_eq!(lines.next().await.as_deref(), Some(""));
        assert_eq!(lines.next().await.as_deref(), Some("last"));
        assert_eq!(lines.next().await, None);
    }

    #[test]
    fn the_file_is_bounded_and_the_last_words_are_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        let mut journal = Journal::open(path.clone());
        let filler = "y".repeat(LINE_MAX);
        for _ in 0..=(FILE_MAX as usize / LINE_MAX) {
            journal.take(&filler);
        }
        let size = |path: &std::path::Path| fs::metadata(path).expect("there").len();
        assert!(size(&path) < FILE_MAX && size(&dir.path().join("log.1")) >= FILE_MAX);

        journal.words();
        for n in 0..9 {
            journal.take(&format!("[1] d t [ERR] {n}"));
            journal.take("[1] d t [INF] between");
        }
        assert_eq!(journal.words(), ["3", "4", "5", "6", "7", "8"]);
        assert_eq!(journal.words(), [""; 0]);
    }
}
