//! Whether what a reader was shown is all that the writers wrote, unchanged and in their order.
//!
//! What a writer has written since its last message that is there can't be missed by anybody: a
//! chain shows gaps, and not that it was cut at its end. One that ended in order says so.

use std::{collections::BTreeMap, fmt};

use super::record::{Page, hash};
use crate::name::subject;

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Messages with these numbers are not there.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// Two messages have this number and say different things, or it comes where it does not belong.
    Doubled(u64),
    /// The message with this number names another one as the one before it.
    Changed(u64),
    /// Something came after the message with which the writer said that it ended.
    BehindTheEnd(u64),
    /// The message at this place of the stream can't be read, or is not of whom its subject names.
    Unreadable(u64),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { from, to } if from == to => write!(f, "message {from} is missing"),
            Self::Missing { from, to } => write!(f, "messages {from} to {to} are missing"),
            Self::Doubled(number) => {
                write!(
                    f,
                    "message {number} is there again, and says something else"
                )
            }
            Self::Changed(number) => write!(
                f,
                "message {number} does not follow the one before it: one of the two was changed"
            ),
            Self::BehindTheEnd(number) => {
                write!(f, "message {number} comes after the writer's last one")
            }
            Self::Unreadable(place) => write!(
                f,
                "what stands at {place} of the stream is no message of this writer"
            ),
        }
    }
}

/// What one writer wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Messages.
    pub pages: u64,
    /// Decisions.
    pub records: u64,
    /// The number of its first message that is there. It is not 1 where the time of those before
    /// is over.
    pub first: u64,
    /// The number of its last message.
    pub last: u64,
    /// When its first and its last decision were, milliseconds since 1970.
    pub span: Option<(u64, u64)>,
    /// Whether it ended in order.
    pub ended: bool,
    /// What is wrong with it.
    pub flaws: Vec<Flaw>,
    hash: String,
}

/// The chains of all writers, as far as they were read.
#[derive(Debug, Default)]
pub struct Ledger {
    chains: BTreeMap<(String, String), Chain>,
    /// Whether older messages than the first that is read have been there.
    aged: bool,
}

impl Ledger {
    /// Begins with the message at `first` of the stream: what stood before that is gone with its
    /// time, and is not missed.
    #[must_use]
    pub const fn beginning(first: u64) -> Self {
        Self {
            chains: BTreeMap::new(),
            aged: first > 1,
        }
    }

    /// The next message, at this place of the stream. Gives its page, where it is one.
    pub fn read(&mut self, place: u64, subject: &str, body: &[u8]) -> Option<Page> {
        let (server, instance) = subject::audit_parts(subject)?;
        let aged = self.aged;
        let writer = (server.to_owned(), instance.to_owned());
        let chain = self.chains.entry(writer).or_default();
        let page: Option<Page> = serde_json::from_slice(body).ok();
        let page = page.filter(|page| page.server == server && page.instance == instance);
        match &page {
            Some(page) => chain.follow(page, hash(body), aged),
            None => chain.flaws.push(Flaw::Unreadable(place)),
        }
        page
    }

    /// Each writer, server and instance, with what it wrote.
    pub fn chains(&self) -> impl Iterator<Item = (&str, &str, &Chain)> {
        let chains = self.chains.iter();
        chains.map(|((server, instance), chain)| (server.as_str(), instance.as_str(), chain))
    }
}

impl Chain {
    fn follow(&mut self, page: &Page, hash: String, aged: bool) {
        let number = page.number;
        if self.pages > 0 && number <= self.last {
            // The same message twice is one that was sent again.
            if number < self.last || hash != self.hash {
                self.flaws.push(Flaw::Doubled(number));
            }
            return;
        }
        let next = self.last + 1;
        let begins = self.pages == 0;
        if begins {
            self.first = number;
        }
        if number > next && !(begins && aged) {
            let (from, to) = (next, number - 1);
            self.flaws.push(Flaw::Missing { from, to });
        } else if number == next {
            let follows = match &page.previous {
                None => number == 1,
                Some(previous) => !begins && *previous == self.hash,
            };
            if !follows {
                self.flaws.push(Flaw::Changed(number));
            }
        }
        if self.ended {
            self.flaws.push(Flaw::BehindTheEnd(number));
        }
        self.pages += 1;
        self.last = number;
        self.ended = page.last;
        self.hash = hash;
        for record in &page.records {
            self.records += record.times;
            let from = self.span.map_or(record.at, |(from, _)| from);
            self.span = Some((from, record.at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Decision, Record};

    /// Messages of one writer, chained.
    fn written(count: u64) -> Vec<Vec<u8>> {
        let mut previous = None;
        let page = |number| {
            let page = Page {
                server: "gh".into(),
                instance: "i1".into(),
                number,
                previous: previous.take(),
                last: number == count,
                records: vec![Record::new(Decision::Allowed, format!("call {number}"))],
            };
            let body = serde_json::to_vec(&page).expect("JSON");
            previous = Some(hash(&body));
            body
        };
        (1..=count).map(page).collect()
    }

    fn read(first: u64, bodies: &[Vec<u8>]) -> Chain {
        let mut ledger = Ledger::beginning(first);
        for (place, body) in (first..).zip(bodies) {
            ledger.read(place, "weft.v1.aud.gh.i1", body);
        }
        let (_, _, chain) = ledger.chains().next().expect("one writer");
        chain.clone()
    }

    #[test]
    fn what_is_whole_has_no_flaw() {
        let mut bodies = written(4);
        let chain = read(1, &bodies);
        assert_eq!((chain.pages, chain.records, chain.ended), (4, 4, true));
        assert_eq!(chain.flaws, []);
        // A message that was sent again is the same.
        bodies.insert(2, bodies[1].clone());
        assert_eq!(read(1, &bodies).flaws, []);
        // Of an older one the time is over.
        let rest = read(9, &written(4)[2..]);
        assert_eq!((rest.first, rest.flaws), (3, vec![]));
    }

    #[test]
    fn each_flaw_is_seen() {
        let bodies = written(5);
        let without = |gone: &[usize]| {
            let kept = bodies.iter().enumerate();
            let kept = kept.filter(|(n, _)| !gone.contains(n));
            kept.map(|(_, body)| body.clone()).collect::<Vec<_>>()
        };
        let missing = |from, to| Flaw::Missing { from, to };
        assert_eq!(read(1, &without(&[1, 2])).flaws, [missing(2, 3)]);
        assert_eq!(read(1, &without(&[0])).flaws, [missing(1, 1)]);
        let mut changed = bodies.clone();
        let text = String::from_utf8(changed[2].clone()).expect("text");
        changed[2] = text.replace("call 3", "call 8").into_bytes();
        assert_eq!(read(1, &changed).flaws, [Flaw::Changed(4)]);
        let mut swapped = bodies.clone();
        swapped.swap(1, 2);
        let flaws = read(1, &swapped).flaws;
        assert!(flaws.contains(&Flaw::Doubled(2)), "{flaws:?}");
        let mut behind = bodies.clone();
        behind.push(
            String::from_utf8(bodies[4].clone())
                .expect("text")
                .replace(r#""number":5"#, r#""number":6"#)
                .into_bytes(),
        );
        let flaws = read(1, &behind).flaws;
        assert_eq!(flaws, [Flaw::Changed(6), Flaw::BehindTheEnd(6)]);
        let mut forged = bodies.clone();
        forged[4] = b"{}".to_vec();
        assert_eq!(read(1, &forged).flaws, [Flaw::Unreadable(5)]);
    }
}
