//! All records in memory, read after the bucket.
//!
//! The reader asks the bucket for its last revision and fetches what it has not seen: twice a
//! second, and at once when something was written here. It follows no consumer: an ordered one
//! stays silent for up to 90 s after a node died, and a revocation may not wait for that. That the
//! leader was asked a moment ago is also what makes a snapshot worth sending.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{Record, TOKENS_MAX};
use crate::{
    access::{
        now,
        snapshot::{REVOKED_FOR_S, REVOKED_MAX, Revoked},
    },
    control::store::{Bucket, Stored},
    error::Error,
    name::Identity,
    spawn::{Failure, Tasks},
};

/// How often the bucket is asked for its last revision.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// How long a record is kept after its token expired, seconds.
const KEPT_FOR_S: u64 = 24 * 3600;
/// How often expired records are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// How many of them at a time.
const SWEEP_MAX: usize = 500;
/// Records that are read in one go; more than fit into the bucket.
const READ_MAX: usize = 4 * TOKENS_MAX;

/// The records of all connect tokens.
#[derive(Clone, Debug, Default)]
pub struct Table {
    records: BTreeMap<Uuid, Record>,
    revision: u64,
    read_at: Option<Instant>,
}

impl Table {
    /// One record.
    #[must_use]
    pub fn get(&self, id: &Uuid) -> Option<&Record> {
        self.records.get(id)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &Record)> {
        self.records.iter().map(|(id, record)| (*id, record))
    }

    /// Those of one identity, oldest first.
    pub fn of<'a>(&'a self, name: &'a Identity) -> impl Iterator<Item = (Uuid, &'a Record)> {
        self.iter().filter(move |(_, record)| record.sub == *name)
    }

    /// This token, and those that it was renewed from or by.
    #[must_use]
    pub fn family(&self, id: &Uuid) -> Vec<Uuid> {
        let root = self.get(id).and_then(|record| record.root).unwrap_or(*id);
        let of_it = |(other, record): &(Uuid, &Record)| *other == root || record.root == Some(root);
        let mut family: Vec<Uuid> = self.iter().filter(of_it).map(|(id, _)| id).collect();
        if !family.contains(id) {
            family.push(*id);
        }
        family
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The last write that it has.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// When the bucket's leader was last asked.
    #[must_use]
    pub const fn read_at(&self) -> Option<Instant> {
        self.read_at
    }

    /// The tokens revoked so lately that a call token made from one may still live.
    #[must_use]
    pub fn revoked(&self, now: u64) -> Revoked {
        let mut lately: Vec<(u64, Uuid)> = self
            .records
            .iter()
            .filter_map(|(id, record)| Some((record.revoked_at?, *id)))
            .filter(|(at, _)| at.saturating_add(REVOKED_FOR_S) > now)
            .collect();
        if lately.len() > REVOKED_MAX {
            // There are no more records than that: unreachable unless the two limits drift apart.
            lately.sort_unstable_by(|a, b| b.cmp(a));
            lately.truncate(REVOKED_MAX);
        }
        lately.into_iter().map(|(_, id)| id).collect()
    }

    fn take(&mut self, stored: &Stored) {
        self.revision = self.revision.max(stored.revision);
        let Ok(id) = stored.key.parse::<Uuid>() else {
            tracing::warn!(key = stored.key, "a key in WEFT_TOKENS is no token id");
            return;
        };
        match Record::decode(&stored.value) {
            Some(record) => {
                self.records.insert(id, record);
            }
            None => {
                self.records.remove(&id);
            }
        }
    }

    fn expired(&self, now: u64) -> Vec<Uuid> {
        self.iter()
            .filter(|(_, record)| record.exp.saturating_add(KEPT_FOR_S) < now)
            .map(|(id, _)| id)
            .take(SWEEP_MAX)
            .collect()
    }
}

/// Reads all records, and follows the bucket from then on.
pub(super) async fn follow(
    bucket: Bucket,
    nudge: Arc<Notify>,
    tasks: &Tasks,
) -> Result<watch::Receiver<Table>, Error> {
    let (table, seen) = watch::channel(Table::default());
    catch_up(&bucket, &table).await?;
    let stop = tasks.stopping();
    tasks.spawn("token table", Failure::Stops, async move {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = nudge.notified() => {}
                () = tokio::time::sleep(POLL_EVERY) => {}
                _ = sweep.tick() => sweep_expired(&bucket, &table).await,
            }
            if let Err(error) = catch_up(&bucket, &table).await {
                tracing::warn!(%error, "the token store can't be read");
            }
        }
    });
    Ok(seen)
}

/// Fetches what was written since.
async fn catch_up(bucket: &Bucket, table: &watch::Sender<Table>) -> Result<(), Error> {
    let asked = Instant::now();
    let last = bucket.last().await?;
    let mut from = table.borrow().revision;
    let mut found = Vec::new();
    while from < last && found.len() < READ_MAX {
        match bucket.after(from).await? {
            Some(stored) => {
                from = stored.revision;
                found.push(stored);
            }
            // What stood behind it was removed meanwhile.
            None => from = last,
        }
    }
    // Who waits for changes is woken by changes alone, not by each look.
    table.send_if_modified(|table| {
        for stored in &found {
            table.take(stored);
        }
        table.revision = table.revision.max(from);
        if from >= last {
            table.read_at = Some(asked);
        }
        !found.is_empty()
    });
    Ok(())
}

async fn sweep_expired(bucket: &Bucket, table: &watch::Sender<Table>) {
    let expired = table.borrow().expired(now());
    for id in expired {
        match bucket.remove(&id.to_string()).await {
            Ok(()) => table.send_modify(|table| {
                table.records.remove(&id);
            }),
            Err(error) => {
                tracing::warn!(%error, "expired tokens stay where they are for now");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    fn stored(id: Uuid, revision: u64, record: Option<&Record>) -> Stored {
        Stored {
            key: id.to_string(),
            value: record.map(Record::encode).unwrap_or_default().into(),
            revision,
            at: 0,
        }
    }

    #[test]
    fn a_revocation_is_told_for_as_long_as_a_call_token_may_live() {
        let mut table = Table::default();
        let id = Uuid::now_v7();
        let mut record = Record {
            sub: Identity::new("alice").expect("a name"),
            role: Role::Caller,
            permissions: vec![],
            iat: 0,
            exp: 90_000,
            revoked_at: None,
            digest: String::new(),
            kid: None,
            renewable: false,
            root: None,
        };
        table.take(&stored(id, 1, Some(&record)));
        assert!(table.revoked(5000).is_empty());
        record.revoked_at = Some(5000);
        table.take(&stored(id, 2, Some(&record)));
        assert!(table.revoked(5000).contains(&id));
        assert!(table.revoked(5000 + 900 + 5).contains(&id));
        assert!(!table.revoked(5000 + REVOKED_FOR_S).contains(&id));
        assert_eq!(table.revision(), 2);
        assert!(table.expired(90_000 + KEPT_FOR_S).is_empty());
        assert_eq!(table.expired(90_001 + KEPT_FOR_S), [id]);
        table.take(&stored(id, 3, None));
        assert!(table.is_empty());
    }
}
