//! Server-sent events: bytes in, events out. Pure, and bounded: an event over the limit is an
//! error, whatever it is made of.
//!
//! After <https://html.spec.whatwg.org/multipage/server-sent-events.html>, Interpreting an event
//! stream: lines end with CR, LF or both; a BOM at the start is no part of the first line; what
//! begins with a colon is a comment.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};

/// An event id of more bytes than this is not kept: it would have to travel in a header.
const ID_MAX: usize = 1024;
/// What stands before the data on a line is no part of the event.
const FIELD_MAX: usize = 16;
/// No type of an event that means something is longer.
const NAME_MAX: usize = 64;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event that has data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type; `message` where the stream says nothing.
    pub(super) name: String,
    /// Its data, the lines joined.
    pub(super) data: Bytes,
}

/// An event has more bytes than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Reads one stream.
#[derive(Debug)]
pub(super) struct Decoder {
    limit: usize,
    held: BytesMut,
    /// How much of `held` is known to have no line end.
    searched: usize,
    begun: bool,
    /// The last line ended with CR: an LF right behind it belongs to it.
    after_cr: bool,
    name: String,
    data: Data,
    id: Option<String>,
    last_id: Option<String>,
    retry: Option<Duration>,
}

/// The data of the event that is being read: mostly one line, which is not copied.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(lines) => lines.len(),
        }
    }

    fn add(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + line.len() + 1);
                lines.extend_from_slice(&first);
                Self::Many(joined(lines, &line))
            }
            Self::Many(lines) => Self::Many(joined(lines, &line)),
        };
    }

    fn take(&mut self) -> Bytes {
        match std::mem::take(self) {
            Self::None => Bytes::new(),
            Self::One(line) => line,
            Self::Many(lines) => lines.freeze(),
        }
    }
}

fn joined(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
    lines
}

impl Decoder {
    /// Events of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: BytesMut::new(),
            searched: 0,
            begun: false,
            after_cr: false,
            name: String::new(),
            data: Data::None,
            id: None,
            last_id: None,
            retry: None,
        }
    }

    /// The id of the last event that had one: where a broken stream is taken up again.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants a client to wait before it comes back, where it said so.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes bytes as they come.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// The next event that has data; `None` where more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Event>, TooLarge> {
        while let Some(line) = self.line() {
            if !line.is_empty() {
                self.field(&line);
            } else if let Some(event) = self.end() {
                return Ok(Some(event));
            }
            self.hold_limit()?;
        }
        self.hold_limit()?;
        Ok(None)
    }

    fn hold_limit(&self) -> Result<(), TooLarge> {
        let unended = if self.searched > 0 {
            self.held.len()
        } else {
            0
        };
        if self.data.len() + unended.saturating_sub(FIELD_MAX) > self.limit {
            return Err(TooLarge);
        }
        Ok(())
    }

    fn line(&mut self) -> Option<Bytes> {
        if self.after_cr && !self.held.is_empty() {
            self.after_cr = false;
            if self.held[0] == b'\n' {
                self.held.advance(1);
            }
        }
        let Some(end) = memchr::memchr2(b'\n', b'\r', &self.held[self.searched..]) else {
            self.searched = self.held.len();
            return None;
        };
        let mut line = self.held.split_to(self.searched + end).freeze();
        self.searched = 0;
        self.after_cr = self.held[0] == b'\r';
        self.held.advance(1);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(BOM) {
            line.advance(BOM.len());
        }
        Some(line)
    }

    fn field(&mut self, line: &Bytes) {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let mut value = line.slice((colon + 1).min(line.len())..);
        if value.first() == Some(&b' ') {
            value.advance(1);
        }
        match &line[..colon] {
            b"data" => self.data.add(value),
            b"event" if value.len() <= NAME_MAX => {
                self.name = String::from_utf8_lossy(&value).into_owned();
            }
            b"id" if value.len() <= ID_MAX && !value.contains(&0) => {
                self.id = String::from_utf8(value.to_vec()).ok();
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let text = std::str::from_utf8(&value).unwrap_or_default();
                self.retry = text.parse().ok().map(Duration::from_millis);
            }
            // A comment has an empty name; what else has a name nobody knows is passed over.
            _ => {}
        }
    }

    /// The end of an event: told where it has data.
    fn end(&mut self) -> Option<Event> {
        if let Some(id) = self.id.take() {
            // An empty one takes back what was said before.
            self.last_id = (!id.is_empty()).then_some(id);
        }
        let name = std::mem::take(&mut self.name);
        let data = self.data.take();
        (!data.is_empty()).then(|| Event {
            name: if name.is_empty() {
                "message".to_owned()
            } else {
                name
            },
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Type and data of each event, whatever pieces the stream comes in.
    fn events(stream: &[u8], piece: usize) -> Vec<(String, String)> {
        let mut decoder = Decoder::new(10_000);
        let mut found = Vec::new();
        for chunk in stream.chunks(piece) {
            decoder.push(chunk);
            while let Some(event) = decoder.next().expect("small") {
                let data = String::from_utf8(event.data.to_vec()).expect("text");
                found.push((event.name, data));
            }
        }
        found
    }

    #[test]
    fn a_stream_is_read_in_whatever_pieces_it_comes() {
        let message = |data: &str| ("message".to_owned(), data.to_owned());
        for (stream, expected) in [
            (
                "data: a\n\ndata:b\r\n\r\ndata:  c\r\r",
                vec![message("a"), message("b"), message(" c")],
            ),
            (
                "\u{feff}data: {\"a\":\ndata:  1}\n\n",
                vec![message("{\"a\":\n 1}")],
            ),
            (
                ": comment\n\nretry: 10\n\nid: 7\n\nevent: x\n\ndata\n\ndata: \n\n",
                vec![],
            ),
            (
                "event: endpoint\ndata: /m\n\n",
                vec![("endpoint".to_owned(), "/m".to_owned())],
            ),
            ("unknown: 1\ndata: a\nid: 3\nevent:\n\n", vec![message("a")]),
            ("data: \u{feff}ä\n\n", vec![message("\u{feff}ä")]),
            ("data: unended\n", vec![]),
        ] {
            for piece in 1..=stream.len() {
                assert_eq!(
                    events(stream.as_bytes(), piece),
                    expected,
                    "{stream:?} by {piece}"
                );
            }
        }
    }

    #[test]
    fn ids_and_waits_are_kept() {
        let mut decoder = Decoder::new(1000);
        decoder.push(b"id: one\ndata:\n\nretry: 250\nretry: x1\nid: t\0wo\ndata: 1\n\nid: open\n");
        assert_eq!(decoder.next().map(|event| event.is_some()), Ok(true));
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(
            decoder.last_id(),
            Some("one"),
            "an event that did not end has no id yet"
        );
        assert_eq!(decoder.retry(), Some(Duration::from_millis(250)));
        decoder.push(b"\nid\ndata: 2\n\n");
        assert!(decoder.next().expect("small").is_some());
        assert_eq!(decoder.last_id(), None);
    }

    #[test]
    fn an_event_over_the_limit_is_an_error_whatever_it_is_made_of() {
        for (stream, fits) in [
            ("data: 12345678\n\n".to_owned(), true),
            ("data: 123456789\n\n".to_owned(), false),
            ("data: 1234\ndata: 567\n\n".to_owned(), true),
            ("data: 1234\ndata: 5678\n\n".to_owned(), false),
            ("data:\n".repeat(10), false),
            (":".repeat(25), false),
            ("x".repeat(24), true),
        ] {
            let mut decoder = Decoder::new(8);
            decoder.push(stream.as_bytes());
            assert_eq!(decoder.next().is_ok(), fits, "{stream:?}");
        }
    }

    proptest! {
        #[test]
        fn no_stream_breaks_the_decoder(
            stream in proptest::collection::vec(prop_oneof![
                Just(&b"data: x"[..]), Just(&b"\n"[..]), Just(&b"\r"[..]), Just(&b"id"[..]),
                Just(&b":"[..]), Just(BOM), Just(&b"event: e\n"[..]), Just(&b"\xff\0"[..]),
            ], 0..40),
            piece in 1_usize..9,
        ) {
            let stream = stream.concat();
            let whole = {
                let mut decoder = Decoder::new(1000);
                decoder.push(&stream);
                std::iter::from_fn(|| decoder.next().expect("small")).collect::<Vec<_>>()
            };
            let mut decoder = Decoder::new(1000);
            let mut pieces = Vec::new();
            for chunk in stream.chunks(piece) {
                decoder.push(chunk);
                while let Some(event) = decoder.next().expect("small") {
                    pieces.push(event);
                }
            }
            prop_assert_eq!(whole, pieces);
        }
    }
}
