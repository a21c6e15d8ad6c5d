//! What must hold at the end, and what it came to.
//!
//! Acknowledged ⊆ replayed ⊆ attempted, each event once, and in order. Order is promised to what
//! one process began, in one stream: the tries of one run that were stored stand in the stream in
//! the order in which they began. A repeat of what failed is another try, behind all before it.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use super::{book::Book, record::Try, writer::id};

/// An event as a reader was told it, in the order of its stream.
#[derive(Clone, Debug)]
pub(super) struct Replayed {
    pub(super) source: String,
    pub(super) id: String,
    /// The try that was stored.
    pub(super) of: Try,
    pub(super) stream: String,
    pub(super) sequence: u64,
}

/// Everything that is wrong; nothing where all is well.
pub(super) fn wrongs(books: &[&Book], events: u32, replayed: &[Replayed]) -> Vec<String> {
    let mut wrongs = Vec::new();
    for book in books {
        wrongs.extend(book.contradictions.iter().cloned());
        let count = u32::try_from(book.acknowledged.len()).expect("few");
        if count != events {
            wrongs.push(format!("end of {}: {count} of {events}", book.source));
        }
        wrongs.extend(lost(book, replayed));
    }
    wrongs.extend(strange(books, replayed));
    wrongs.extend(disordered(replayed));
    wrongs
}

/// Acknowledged, and not replayed where the acknowledgement said.
fn lost<'a>(book: &'a Book, replayed: &'a [Replayed]) -> impl Iterator<Item = String> + 'a {
    let own = replayed.iter().filter(|one| one.source == book.source);
    let places: HashMap<&str, (&str, u64)> = own
        .map(|one| (one.id.as_str(), (one.stream.as_str(), one.sequence)))
        .collect();
    book.acknowledged.iter().filter_map(move |(n, place)| {
        let id = id(&book.source, *n);
        let found = places.get(id.as_str());
        let there = found == Some(&(place.stream.as_str(), place.sequence));
        (!there).then(|| format!("lost: {id}, acknowledged as {place:?}, is {found:?}"))
    })
}

/// Replayed, and never attempted, or twice, or against what its writer was told.
fn strange<'a>(books: &'a [&Book], replayed: &'a [Replayed]) -> impl Iterator<Item = String> + 'a {
    let mut seen = HashSet::new();
    replayed.iter().filter_map(move |one| {
        if !seen.insert((one.source.as_str(), one.id.as_str())) {
            return Some(format!("twice: {one:?}"));
        }
        let book = books.iter().find(|book| book.source == one.source);
        let tried = book.and_then(|book| book.tries.get(&one.of));
        let is = tried.map(|n| id(&one.source, *n));
        if is.as_deref() != Some(&one.id) {
            return Some(format!("never attempted: {one:?}"));
        }
        let unbegun = book.is_some_and(|book| book.unbegun.contains(&one.of));
        unbegun.then(|| format!("said not to have begun: {one:?}"))
    })
}

/// Not in the order in which they began.
fn disordered(replayed: &[Replayed]) -> impl Iterator<Item = String> {
    let mut last: HashMap<(&str, &str, u32), u32> = HashMap::new();
    let mut at: HashMap<&str, u64> = HashMap::new();
    replayed.iter().filter_map(move |one| {
        let stream = one.stream.as_str();
        let sequence = at.insert(stream, one.sequence).unwrap_or_default();
        if one.sequence <= sequence {
            return Some(format!("told behind {stream}:{sequence}: {one:?}"));
        }
        let lane = (one.source.as_str(), stream, one.of.run);
        let before = last.insert(lane, one.of.at).unwrap_or_default();
        (one.of.at <= before).then(|| format!("began before number {before}: {one:?}"))
    })
}

/// What a scenario came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) attempted: usize,
    pub(super) acknowledged: usize,
    /// Tries that were told as failed, and those whose writer died first.
    pub(super) failed: (usize, usize),
    pub(super) duplicates: usize,
    pub(super) stored: usize,
    /// What the subscriber did, and how often an event came to it that had its effect.
    pub(super) effects: (usize, usize),
    /// What was done to it, and how many tries were under way each time.
    pub(super) blows: Vec<usize>,
    /// What the failed tries were told.
    pub(super) said: Vec<String>,
    /// What only this scenario counts.
    pub(super) more: Vec<(&'static str, u64)>,
}

impl Table {
    pub(super) fn new(name: &'static str, books: &[&Book], stored: usize) -> Self {
        let sum = |count: fn(&Book) -> usize| books.iter().map(|book| count(book)).sum();
        let told = |book: &&Book| {
            let source = book.source.clone();
            let told = book.failed.iter();
            let told = told.map(|(what, (count, message))| {
                format!("{source}: {count} times {what}: {message}")
            });
            told.collect::<Vec<_>>()
        };
        Self {
            name,
            attempted: sum(|book| book.tries.len()),
            acknowledged: sum(|book| book.acknowledged.len()),
            failed: (sum(Book::refused), sum(Book::silent)),
            duplicates: sum(|book| book.answered.1),
            stored,
            effects: (0, 0),
            blows: Vec::new(),
            said: books.iter().flat_map(told).collect(),
            more: Vec::new(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ledger: {}", self.name)?;
        let count = |f: &mut fmt::Formatter<'_>, what: &str, count: usize| {
            writeln!(f, "  {what:<34}{count:>8}")
        };
        count(f, "attempted", self.attempted)?;
        count(f, "acknowledged", self.acknowledged)?;
        count(f, "failed attempts, told so", self.failed.0)?;
        count(f, "failed attempts, the writer died", self.failed.1)?;
        count(f, "duplicates answered", self.duplicates)?;
        count(f, "stored", self.stored)?;
        count(f, "effects", self.effects.0)?;
        count(f, "came again with its effect there", self.effects.1)?;
        count(f, "kills", self.blows.len())?;
        writeln!(f, "  in flight at each: {:?}", self.blows)?;
        for (what, count) in &self.more {
            writeln!(f, "  {what:<34}{count:>8}")?;
        }
        for said in &self.said {
            writeln!(f, "  {said}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ledger::record::Line;

    const STREAM: &str = "WEFT_TASKS";

    fn attempt(run: u32, at: u32, n: u32) -> Line {
        let of = Try { run, at };
        Line::Attempt { of, n }
    }

    fn stored(run: u32, at: u32, n: u32, sequence: u64) -> Line {
        Line::Acknowledged {
            of: Try { run, at },
            n,
            stream: STREAM.to_owned(),
            sequence,
            duplicate: false,
        }
    }

    fn replayed(run: u32, at: u32, n: u32, sequence: u64) -> Replayed {
        Replayed {
            source: "w".to_owned(),
            id: id("w", n),
            of: Try { run, at },
            stream: STREAM.to_owned(),
            sequence,
        }
    }

    /// Two events; the second was stored by a try that its writer did not outlive.
    fn book() -> Book {
        let mut book = Book::new("w", Path::new("/none"));
        for line in [
            attempt(1, 1, 0),
            attempt(1, 2, 1),
            stored(1, 1, 0, 1),
            attempt(2, 1, 1),
            stored(2, 1, 1, 2),
        ] {
            book.take(line);
        }
        book
    }

    fn wrong(change: fn(&mut Book, &mut Vec<Replayed>), says: &str) {
        let (mut book, mut all) = (book(), vec![replayed(1, 1, 0, 1), replayed(1, 2, 1, 2)]);
        let good = wrongs(&[&book], 2, &all);
        assert_eq!(good, Vec::<String>::new(), "the twin");
        change(&mut book, &mut all);
        let wrongs = wrongs(&[&book], 2, &all);
        let found = wrongs.iter().any(|wrong| wrong.starts_with(says));
        assert!(found, "{says}: {wrongs:?}");
    }

    #[test]
    fn what_is_wrong_is_found() {
        wrong(|_, all| drop(all.pop()), "lost: w-1");
        wrong(|_, all| all[1].sequence = 3, "lost: w-1");
        wrong(|_, all| all.push(replayed(1, 2, 1, 3)), "twice");
        wrong(|_, all| all.push(replayed(2, 7, 7, 3)), "never attempted");
        wrong(
            |_, all| all[1].of = Try { run: 3, at: 1 },
            "never attempted",
        );
        wrong(
            |book, _| book.take(stored(2, 1, 1, 9)),
            "event 1 of w: Place",
        );
        wrong(
            |book, all| {
                book.take(attempt(1, 3, 1));
                all[0].of = Try { run: 1, at: 3 };
                all[0].id = id("w", 1);
                all[1] = replayed(1, 1, 0, 2);
                book.acknowledged.clear();
                for (n, sequence) in [(1, 1), (0, 2)] {
                    book.take(stored(2, 1, n, sequence));
                }
            },
            "began before number 3",
        );
        wrong(
            |book, _| {
                book.take(Line::Failed {
                    of: Try { run: 1, at: 2 },
                    n: 1,
                    kind: String::new(),
                    case: String::new(),
                    started: "No".to_owned(),
                    message: String::new(),
                });
            },
            "said not to have begun",
        );
        wrong(
            |book, all| {
                book.acknowledged.remove(&1);
                all.pop();
            },
            "end of w: 1 of 2",
        );
    }

    #[test]
    fn what_its_writer_did_not_outlive_is_counted() {
        let book = book();
        assert_eq!((book.silent(), book.refused(), book.in_flight()), (1, 0, 0));
        let table = Table::new("test", &[&book], 2);
        assert_eq!((table.attempted, table.acknowledged), (3, 2));
        assert_eq!(table.failed, (0, 1));
    }
}
