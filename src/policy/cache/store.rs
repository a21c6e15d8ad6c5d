//! What is kept: within its bytes and until its time, what was not used for longest goes first.
//!
//! Plain maps under the cache's one lock, and not moka: there, looking and joining who asks already
//! would be two steps, bytes are counted some time after they came, and the clock is not tokio's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Counts,
    answer::Answer,
    key::{Key, Part, keys_of},
};

/// What an entry takes beside its answer and its name, in bytes: keys in three maps, and what maps
/// and allocations add.
pub(super) const ENTRY: usize = 512;
/// So many entries whose time is over are cleared away by one that looks for another.
const CLEARED: usize = 8;

/// What is known of a key.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// The answer.
    Answer(Arc<Answer>),
    /// Each principal has an answer of his own.
    Apart,
    /// The answer may not be kept.
    Never,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    since: Instant,
    until: Instant,
    /// Its place in the order of use.
    used: u64,
    weight: usize,
}

/// Everything that is kept.
#[derive(Debug)]
pub(super) struct Store {
    entries: BTreeMap<Key, Entry>,
    /// By when they were used last.
    used: BTreeMap<u64, Key>,
    /// By when they end.
    ends: BTreeSet<(Instant, Key)>,
    uses: u64,
    bytes_max: usize,
    pub(super) counts: Counts,
}

impl Store {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            used: BTreeMap::new(),
            ends: BTreeSet::new(),
            uses: 0,
            bytes_max,
            counts: Counts::default(),
        }
    }

    /// What is known of a key now, and for how long it has been.
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<(Known, Duration)> {
        self.clear(now, CLEARED);
        let entry = self.entries.get_mut(key)?;
        if entry.until <= now {
            self.expire(key);
            return None;
        }
        let place = self.used.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.used.extend(place.map(|key| (self.uses, key)));
        Some((
            entry.known.clone(),
            now.saturating_duration_since(entry.since),
        ))
    }

    /// Keeps something for so long. Says whether there was room for it at all.
    pub(super) fn put(&mut self, key: Key, known: Known, ttl: Duration, now: Instant) -> bool {
        self.clear(now, usize::MAX);
        self.remove(&key);
        let answer = match &known {
            Known::Answer(answer) => answer.len(),
            Known::Apart | Known::Never => 0,
        };
        let weight = answer + key.name.len() + ENTRY;
        if weight > self.bytes_max {
            return false;
        }
        while self.counts.bytes + weight > self.bytes_max {
            let Some((_, key)) = self.used.first_key_value() else {
                break;
            };
            let key = key.clone();
            self.remove(&key);
            self.counts.evicted += 1;
        }
        self.uses += 1;
        let (used, until) = (self.uses, now + ttl);
        self.used.insert(used, key.clone());
        self.ends.insert((until, key.clone()));
        self.counts.bytes += weight;
        let entry = Entry {
            known,
            since: now,
            until,
            used,
            weight,
        };
        self.entries.insert(key, entry);
        self.counts.entries = self.entries.len();
        true
    }

    /// Forgets what is about this part, and about this name where there is one.
    pub(super) fn forget(&mut self, part: Part, name: Option<&str>) {
        for key in keys_of(&self.entries, part, name) {
            self.remove(&key);
            self.counts.forgotten += 1;
        }
    }

    /// Clears away so many at most of those whose time is over.
    pub(super) fn clear(&mut self, now: Instant, most: usize) {
        for _ in 0..most {
            let first = self.ends.first();
            let Some((_, key)) = first.filter(|(until, _)| *until <= now) else {
                return;
            };
            let key = key.clone();
            self.expire(&key);
        }
    }

    fn expire(&mut self, key: &Key) {
        self.remove(key);
        self.counts.expired += 1;
    }

    fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        self.used.remove(&entry.used);
        self.ends.remove(&(entry.until, key.clone()));
        self.counts.bytes -= entry.weight;
        self.counts.entries = self.entries.len();
    }
}

#[cfg(test)]
mod tests;
