//! What one writer tried, and what came of it, as its file tells.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use super::record::{Line, Lines, Try};

/// Where an event is stored, as its writer was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) stream: String,
    pub(super) sequence: u64,
}

/// The tries of one writer.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) source: String,
    lines: Lines,
    /// Which event each try was for.
    pub(super) tries: HashMap<Try, u32>,
    /// The tries of the last run that have no outcome yet.
    open: HashSet<Try>,
    run: u32,
    /// Where the events are that were acknowledged.
    pub(super) acknowledged: HashMap<u32, Place>,
    /// Tries that ended with an acknowledgement, and those of them for what was stored before.
    pub(super) answered: (usize, usize),
    /// What was said of tries that failed, and how often; one message for each.
    pub(super) failed: BTreeMap<String, (usize, String)>,
    /// Tries of which it was said that they did not even begin.
    pub(super) unbegun: HashSet<Try>,
    /// Acknowledgements of one event that name two places.
    pub(super) contradictions: Vec<String>,
}

impl Book {
    pub(super) fn new(source: &str, file: &Path) -> Self {
        Self {
            source: source.to_owned(),
            lines: Lines::new(file),
            tries: HashMap::new(),
            open: HashSet::new(),
            run: 0,
            acknowledged: HashMap::new(),
            answered: (0, 0),
            failed: BTreeMap::new(),
            unbegun: HashSet::new(),
            contradictions: Vec::new(),
        }
    }

    /// Reads on.
    pub(super) fn refresh(&mut self) {
        for line in self.lines.next() {
            self.take(line);
        }
    }

    pub(super) fn take(&mut self, line: Line) {
        match line {
            Line::Attempt { of, n } => {
                if of.run != self.run {
                    self.run = of.run;
                    self.open.clear();
                }
                self.open.insert(of);
                self.tries.insert(of, n);
            }
            Line::Acknowledged {
                of,
                n,
                stream,
                sequence,
                duplicate,
            } => {
                self.open.remove(&of);
                self.answered.0 += 1;
                self.answered.1 += usize::from(duplicate);
                let place = Place { stream, sequence };
                let known = self.acknowledged.entry(n).or_insert(place.clone());
                if *known != place {
                    let said = format!("event {n} of {}: {known:?} and {place:?}", self.source);
                    self.contradictions.push(said);
                }
            }
            Line::Failed {
                of,
                kind,
                case,
                started,
                message,
                ..
            } => {
                self.open.remove(&of);
                if started == "No" {
                    self.unbegun.insert(of);
                }
                let what = format!("{kind} {case} {started}");
                self.failed.entry(what).or_insert((0, message)).0 += 1;
            }
        }
    }

    /// The last run, and the number of the next one.
    pub(super) const fn runs(&self) -> (u32, u32) {
        (self.run, self.run + 1)
    }

    /// Tries of the last run that are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// Tries whose outcome was told as a failure.
    pub(super) fn refused(&self) -> usize {
        self.failed.values().map(|(count, _)| count).sum()
    }

    /// Tries whose writer died before there was an outcome.
    pub(super) fn silent(&self) -> usize {
        self.tries.len() - self.answered.0 - self.refused()
    }
}
