//! What a writer gathers for its next message.

use super::record::{Decision, Page, Record};

/// Records of one message.
const TOGETHER_MAX: usize = 1000;
/// Bytes of one message, nearly: a record more than that may go along.
const TOGETHER_BYTES: usize = 256 * 1024;
/// So many refusals of a message that say the same are written one by one.
const ALIKE_MAX: usize = 10;

/// A message that is not sent yet.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) page: Page,
    bytes: usize,
}

impl Sheet {
    /// The first of a writer.
    pub(super) const fn first(page: Page) -> Self {
        Self { page, bytes: 0 }
    }

    /// Whether nothing more is to be added.
    pub(super) const fn is_full(&self) -> bool {
        self.page.records.len() >= TOGETHER_MAX || self.bytes >= TOGETHER_BYTES
    }

    /// Adds a record, or counts it with those that say the same: who is refused may ask again as
    /// fast as he can, and must not fill the stream by that. Gives the place of what was added.
    pub(super) fn add(&mut self, record: Record) -> usize {
        let records = &mut self.page.records;
        if record.decision == Decision::Refused {
            let alike = records.iter_mut().enumerate();
            let mut alike = alike.filter(|(_, one)| one.is_like(&record));
            if let Some((place, last)) = alike.nth(ALIKE_MAX - 1) {
                last.times += record.times;
                return place;
            }
        }
        self.bytes += size(&record);
        records.push(record);
        records.len() - 1
    }

    /// The next message, behind one with this hash.
    pub(super) fn turn(&mut self, hash: String) {
        self.page.previous = Some(hash);
        self.page.number += 1;
        self.page.records.clear();
        self.bytes = 0;
    }
}

/// How many bytes a record has, nearly.
fn size(record: &Record) -> usize {
    let texts = [&record.who, &record.why, &record.correlation_id];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let actors: usize = record.actors.iter().map(String::len).sum();
    let about = if record.about.is_empty() {
        0
    } else {
        serde_json::to_string(&record.about).map_or(0, |text| text.len())
    };
    160 + record.what.len() + texts + actors + about
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{Error, Kind},
        name::{Instance, ServerName},
    };

    fn sheet() -> Sheet {
        Sheet::first(Page::first(
            &ServerName::weft().identity(),
            &Instance::random(),
        ))
    }

    #[test]
    fn a_refusal_that_comes_again_and_again_is_counted_and_fills_nothing() {
        let mut sheet = sheet();
        let refused = Error::new(Kind::AccessDenied, "no");
        for _ in 0..1000 {
            sheet.add(Record::refused("call:tools/gh/x", &refused));
            sheet.add(Record::refused("call:tools/gh/y", &refused));
        }
        let times: u64 = sheet.page.records.iter().map(|record| record.times).sum();
        assert_eq!((sheet.page.records.len(), times), (20, 2000));
        // What goes on is never counted so: each has an id by which it is looked for.
        for _ in 0..100 {
            sheet.add(Record::new(Decision::Allowed, "call:tools/gh/x"));
        }
        assert_eq!(sheet.page.records.len(), 120);
    }

    #[test]
    fn a_message_has_its_bounds() {
        let mut short = sheet();
        while !short.is_full() {
            short.add(Record::new(Decision::Allowed, "x"));
        }
        assert_eq!(short.page.records.len(), TOGETHER_MAX);
        let mut long = sheet();
        while !long.is_full() {
            let error = Error::new(Kind::AccessDenied, "w".repeat(9999));
            let n = long.page.records.len();
            long.add(Record::refused(format!("{n}{}", "x".repeat(600)), &error));
        }
        let body = serde_json::to_vec(&long.page).expect("JSON");
        assert!(body.len() < 2 * TOGETHER_BYTES, "{}", body.len());
        assert!(long.page.records.len() < TOGETHER_MAX);
        short.turn("hash".to_owned());
        assert!(!short.is_full() && short.page.number == 2);
    }
}
