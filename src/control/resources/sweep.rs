//! What is left behind: uploads that nobody committed, contents that were replaced, events that
//! could not be stored, and the memory of resources that are gone.

use std::{collections::BTreeSet, time::Duration};

use super::{Parts, Place, Record, Shelf, UPLOAD_MAX_MS, now_ms};
use crate::{
    control::store::Written,
    error::Error,
    spawn::{Failure, Tasks},
};

/// How often.
const EVERY: Duration = Duration::from_secs(30);
/// Uploads, and records, that are tidied in one round.
const ROUND_MAX: usize = 500;
/// What changed as lately as this is left to who changed it.
const LEFT_ALONE_MS: u64 = 10_000;

/// Begins.
pub(super) fn start(shelf: Shelf, tasks: &Tasks) {
    let stop = tasks.stopping();
    tasks.spawn("resource sweep", Failure::Logged, async move {
        let work = async {
            loop {
                if let Err(error) = round(&shelf).await {
                    tracing::debug!(%error, "what is left of resources stays for now");
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! { () = stop.cancelled() => {}, () = work => {} }
    });
}

async fn round(shelf: &Shelf) -> Result<(), Error> {
    let table = shelf.followed.table.borrow().clone();
    let now = now_ms();
    let settled = |record: &Record| record.resource.version.saturating_add(LEFT_ALONE_MS) < now;
    let unfinished = table
        .all()
        .filter(|(_, record)| settled(record) && (record.untold.is_some() || record.gone));
    for (key, _) in unfinished.take(ROUND_MAX) {
        finish(shelf, key).await?;
    }
    let used: BTreeSet<&Place> = table
        .all()
        .filter_map(|(_, record)| record.place.as_ref())
        .collect();
    let all = shelf.parts.places(None).await?;
    let left = all
        .into_iter()
        .filter(|place| !used.contains(place) && is_over(place, now));
    for place in left.take(ROUND_MAX) {
        remove(&shelf.parts, shelf, &place).await?;
    }
    Ok(())
}

fn is_over(place: &Place, now: u64) -> bool {
    // Twice: a commit that began in time may still be at work, here or elsewhere.
    place.began_ms().saturating_add(2 * UPLOAD_MAX_MS) < now
}

/// Tells what was not told, and forgets what is gone.
async fn finish(shelf: &Shelf, key: &str) -> Result<(), Error> {
    let Some(stored) = shelf.bucket.get(key).await? else {
        shelf.followed.forget(key);
        return Ok(());
    };
    let Some(mut record) = Record::decode(&stored.value) else {
        return Ok(());
    };
    let mut revision = stored.revision;
    if record.untold.is_some() {
        shelf.tell(Some(&record)).await?;
        record.untold = None;
        match shelf
            .bucket
            .put(key, record.encode(), Some(revision))
            .await?
        {
            Written::As(written) => revision = written,
            Written::Lost => return Ok(()),
        }
    }
    // Long enough that every control plane has seen it.
    if record.gone && record.resource.version.saturating_add(UPLOAD_MAX_MS) < now_ms() {
        shelf.bucket.remove_until(key, revision).await?;
        shelf.followed.forget(key);
    }
    Ok(())
}

/// Removes an upload, unless the bucket's leader says that it is somebody's content after all.
async fn remove(parts: &Parts, shelf: &Shelf, place: &Place) -> Result<(), Error> {
    if let Some(plan) = parts.planned(place).await? {
        let found = shelf.find(&plan.draft.id).await?;
        if found.is_some_and(|found| found.place() == Some(place)) {
            return Ok(());
        }
    }
    parts.remove(place).await
}
