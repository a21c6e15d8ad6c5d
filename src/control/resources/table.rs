//! All resources in memory, without their contents, read after the bucket: for lists and quotas.
//! Whoever decides about one reads it from the bucket's leader.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::parts::Place;
use crate::{
    control::store::{Bucket, Stored},
    error::Error,
    event::Event,
    name::Identity,
    resource::Resource,
    spawn::{Failure, Tasks},
};

/// How often the bucket is asked for its last revision: what other control planes wrote is listed
/// here after that.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// Records that are read in one go; as many as the bucket holds.
const READ_MAX: usize = 20_000;

/// What the bucket keeps of a resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) resource: Resource,
    /// Where its content is; nowhere where that is empty.
    pub(super) place: Option<Place>,
    /// What may not have been told of it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) untold: Option<Event>,
    /// It was removed: this is kept until that was told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) gone: bool,
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is JSON")
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

/// The records by key, and by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    by_key: BTreeMap<String, Arc<Record>>,
    names: BTreeMap<String, Arc<Record>>,
    revision: u64,
}

impl Table {
    /// Those behind this name, in their order.
    pub(super) fn behind<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Record> {
        use std::ops::Bound;
        let from = (Bound::Excluded(name.to_owned()), Bound::Unbounded);
        let all = self.names.range::<String, _>(from);
        all.map(|(_, record)| record.as_ref())
    }

    /// Every record, with its key; removed ones too.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Record)> {
        let all = self.by_key.iter();
        all.map(|(key, record)| (key.as_str(), record.as_ref()))
    }

    /// How many are somebody's, and how many bytes they have.
    pub(super) fn held(&self, owner: &Identity) -> (u64, u64) {
        let own = self
            .names
            .values()
            .filter(|record| record.resource.owner == *owner);
        own.fold((0, 0), |(count, bytes), record| {
            (count + 1, bytes + record.resource.size)
        })
    }

    fn take(&mut self, stored: &Stored) {
        self.revision = self.revision.max(stored.revision);
        let record = Record::decode(&stored.value).map(Arc::new);
        if let Some(before) = self.by_key.remove(&stored.key) {
            self.names.remove(&before.resource.id);
        }
        let Some(record) = record else {
            return;
        };
        if !record.gone {
            let name = record.resource.id.clone();
            self.names.insert(name, Arc::clone(&record));
        }
        self.by_key.insert(stored.key.clone(), record);
    }
}

/// The table, followed.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub(super) table: watch::Receiver<Table>,
    told: Arc<watch::Sender<Table>>,
    nudge: Arc<Notify>,
}

/// How long the reader of the table may need to see what was just written.
const SEEN_MAX: Duration = Duration::from_secs(2);

impl Followed {
    /// Reads all records, and follows the bucket from then on.
    pub(super) async fn start(bucket: Bucket, tasks: &Tasks) -> Result<Self, Error> {
        let (told, table) = watch::channel(Table::default());
        catch_up(&bucket, &told).await?;
        let told = Arc::new(told);
        let teller = Arc::clone(&told);
        let nudge = Arc::new(Notify::new());
        let (nudged, stop) = (Arc::clone(&nudge), tasks.stopping());
        tasks.spawn("resource table", Failure::Stops, async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = nudged.notified() => {}
                    () = tokio::time::sleep(POLL_EVERY) => {}
                }
                if let Err(error) = catch_up(&bucket, &teller).await {
                    tracing::debug!(%error, "the bucket of resources can't be read");
                }
            }
        });
        Ok(Self { table, told, nudge })
    }

    /// Drops a record that the bucket has no more.
    pub(super) fn forget(&self, key: &str) {
        self.told.send_modify(|table| {
            let gone = table.by_key.get(key).is_some_and(|record| record.gone);
            if gone {
                table.by_key.remove(key);
            }
        });
    }

    /// Waits until the table has what was just written: best effort, the write is stored.
    pub(super) async fn seen(&self, revision: u64) {
        self.nudge.notify_one();
        let mut table = self.table.clone();
        let seen = table.wait_for(|table| table.revision >= revision);
        if tokio::time::timeout(SEEN_MAX, seen).await.is_err() {
            tracing::warn!("a change of a resource is stored, and listed later");
        }
    }
}

/// Fetches what was written since.
async fn catch_up(bucket: &Bucket, told: &watch::Sender<Table>) -> Result<(), Error> {
    let last = bucket.last().await?;
    let mut from = told.borrow().revision;
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
    told.send_if_modified(|table| {
        for stored in &found {
            table.take(stored);
        }
        let moved = table.revision < from || !found.is_empty();
        table.revision = table.revision.max(from);
        moved
    });
    Ok(())
}
