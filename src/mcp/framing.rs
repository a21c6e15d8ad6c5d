//! Newline framing with a bound: bytes in, lines out.
//!
//! A line over the bound is thrown away while it still comes, so that it costs at most the bound;
//! but its JSON-RPC id is looked for all along, so that the one call it answers can be told.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What a reader of lines finds next.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, without its end.
    Whole(Bytes),
    /// A line that was longer than the bound, and thrown away.
    TooLong {
        /// How many bytes it had.
        length: u64,
        /// The JSON-RPC id that stood in it, as it was spelt, where one was found.
        id: Option<String>,
    },
}

/// Reads lines of at most `limit` bytes.
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    limit: usize,
    held: BytesMut,
    /// How much of `held` is known to have no line end.
    searched: usize,
    /// Set while a line over the bound is passing by.
    passing: Option<Passing>,
}

#[derive(Debug, Default)]
struct Passing {
    length: u64,
    ids: IdScan,
}

/// The buffer of a line of more bytes than this is given up with the line.
const LARGE_BYTES: usize = 256 * 1024;

/// A line of at most so many bytes is copied out of the buffer.
const SMALL_BYTES: usize = 2 * 1024;

/// How much room the buffer gets at least before each read.
const READ_BYTES: usize = 16 * 1024;

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads from a pipe, lines of at most `limit` bytes.
    pub fn new(from: R, limit: usize) -> Self {
        Self {
            from,
            limit,
            held: BytesMut::new(),
            searched: 0,
            passing: None,
        }
    }

    /// The next line that is not empty; `None` at the end. A last line without an end is no line.
    ///
    /// Cancelling it loses nothing.
    ///
    /// # Errors
    /// What the pipe says.
    pub async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            if let ControlFlow::Break(line) = self.take() {
                return Ok(Some(line));
            }
            self.held.reserve(READ_BYTES);
            if self.from.read_buf(&mut self.held).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next line, where it is held already.
    pub fn held(&mut self) -> Option<Line> {
        self.take().break_value()
    }

    /// A line out of what is held, if it holds one.
    fn take(&mut self) -> ControlFlow<Line> {
        while let Some(end) = memchr::memchr(b'\n', &self.held[self.searched..]) {
            let mut line = self.held.split_to(self.searched + end + 1);
            self.searched = 0;
            if line.len() > LARGE_BYTES {
                // What follows gets a buffer of its own: in the one of a large line it would
                // hold all of that line's memory, for as long as little follows.
                self.held = BytesMut::from(&self.held[..]);
            }
            line.truncate(line.len() - 1);
            if let Some(mut passing) = self.passing.take() {
                passing.add(&line);
                return ControlFlow::Break(passing.end());
            }
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if line.len() > self.limit {
                let mut passing = Passing::default();
                passing.add(&line);
                return ControlFlow::Break(passing.end());
            }
            if line.is_empty() {
                continue;
            }
            return ControlFlow::Break(Line::Whole(if line.len() <= SMALL_BYTES {
                // A small line that held on to the buffer would cost a new one with each read.
                Bytes::copy_from_slice(&line)
            } else {
                line.freeze()
            }));
        }
        self.searched = self.held.len();
        if self.held.len() > self.limit || self.passing.is_some() {
            let passing = self.passing.get_or_insert_default();
            passing.add(&self.held);
            // A new buffer: the old one may have grown to the bound.
            self.held = BytesMut::new();
            self.searched = 0;
        }
        ControlFlow::Continue(())
    }
}

impl Passing {
    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.ids.scan(bytes);
    }

    fn end(self) -> Line {
        Line::TooLong {
            length: self.length,
            id: self.ids.found(),
        }
    }
}

/// Finds the member `id` of the outermost object while its bytes pass by.
#[derive(Debug, Default)]
struct IdScan {
    depth: u32,
    in_text: bool,
    escaped: bool,
    /// The text or number that is being read at depth 1.
    word: Vec<u8>,
    /// Whether the last text at depth 1 was the key `id`, and its colon came.
    at: Expect,
    id: Option<Vec<u8>>,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Expect {
    #[default]
    Key,
    Colon,
    Id,
    Other,
}

/// An id of more bytes than this is none of ours.
const ID_BYTES_MAX: usize = 64;

impl IdScan {
    fn scan(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.step(byte);
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_text {
            self.keep(byte);
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_text = false;
                if self.depth == 1 && self.at == Expect::Key {
                    self.at = Expect::Colon;
                }
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_text = true;
                if self.depth == 1 {
                    self.word.clear();
                }
                self.keep(byte);
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.end_of_value();
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 && self.at == Expect::Colon => {
                let is_id = self.word == b"\"id\"";
                self.at = if is_id { Expect::Id } else { Expect::Other };
                self.word.clear();
            }
            b',' => self.end_of_value(),
            b if b.is_ascii_whitespace() => {}
            _ => self.keep(byte),
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth == 1 && self.word.len() <= ID_BYTES_MAX {
            self.word.push(byte);
        }
    }

    fn end_of_value(&mut self) {
        if self.depth != 1 {
            return;
        }
        if self.at == Expect::Id && (1..=ID_BYTES_MAX).contains(&self.word.len()) {
            self.id = Some(std::mem::take(&mut self.word));
        }
        self.word.clear();
        self.at = Expect::Key;
    }

    fn found(self) -> Option<String> {
        self.id.and_then(|id| String::from_utf8(id).ok())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn lines(input: &[u8], limit: usize) -> Vec<Line> {
        let mut lines = Lines::new(input, limit);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.expect("memory never fails") {
            found.push(line);
        }
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_are_cut_and_the_last_half_is_none() {
        let found = lines(b"one\r\n\n\ntwo\nthree", 100).await;
        assert_eq!(found, [whole("one"), whole("two")]);
    }

    #[tokio::test]
    async fn the_room_of_a_large_line_goes_with_it() {
        let input = format!("{}\nnext\nhalf", "x".repeat(5_000_000));
        let mut lines = Lines::new(input.as_bytes(), 10_000_000);
        for length in [5_000_000, 4] {
            let Ok(Some(Line::Whole(line))) = lines.next().await else {
                panic!("a line of {length}");
            };
            assert_eq!(line.len(), length);
            assert!(
                lines.held.capacity() < 1_000_000,
                "{}",
                lines.held.capacity()
            );
        }
        assert_eq!(lines.next().await.expect("memory never fails"), None);
    }

    #[tokio::test]
    async fn a_line_over_the_bound_is_dropped_but_its_id_is_told() {
        let filling = "x".repeat(100_000);
        for (line, id) in [
            (
                format!(r#"{{"id":7,"result":{{"id":1,"t":"{filling}"}}}}"#),
                "7",
            ),
            (
                format!(r#"{{"result":{{"id":1,"t":"\",id{filling}"}},"id" : "a,b" }}"#),
                r#""a,b""#,
            ),
        ] {
            let input = format!("{line}\nnext\n");
            let found = lines(input.as_bytes(), 1000).await;
            let too_long = Line::TooLong {
                length: line.len() as u64,
                id: Some(id.to_owned()),
            };
            assert_eq!(found, [too_long, whole("next")]);
        }
        let found = lines(format!("{filling}\nnext\n").as_bytes(), 1000).await;
        assert!(matches!(&found[0], Line::TooLong { id: None, .. }));
        assert_eq!(found[1], whole("next"));
    }

    proptest! {
        #[test]
        fn no_input_breaks_the_scan(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut scan = IdScan::default();
            scan.scan(&bytes);
            prop_assert!(scan.word.len() <= ID_BYTES_MAX + 1);
        }
    }
}
