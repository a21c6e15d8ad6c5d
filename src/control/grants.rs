//! Grants: kept in one record, changed by compare-and-set, and known to every control plane within
//! half a second.
//!
//! One record, because a decision looks at all of them: a reader that has half of a change would
//! decide by rules that never held.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    connect::unavailable,
    store::{Bucket, Written},
    tokens::invalid,
};
use crate::{
    access::now,
    call::grant::{Grant, Rule, Rules},
    error::{Error, Kind},
    name::Identity,
    spawn::{Failure, Tasks},
};

/// More grants than this are not kept.
pub(super) const GRANTS_MAX: usize = 2000;
/// Bytes of all of them together: they go to every adapter in one message.
const BYTES_MAX: usize = 256 * 1024;
/// The record.
const KEY: &str = "all";
/// How often the bucket is asked for its last revision.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// Tries of a change that somebody else's change got in the way of.
const TRIES_MAX: usize = 8;
/// How long the reader may need to see what was just written.
const SEEN_MAX: Duration = Duration::from_secs(2);

/// A grant with who made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The grant.
    pub grant: Grant,
    /// Who made it.
    pub granted_by: Identity,
    /// When, seconds since 1970.
    pub granted_at: u64,
}

/// All grants, as they were last read.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    kept: Arc<[Kept]>,
    rules: Arc<Rules>,
    revision: u64,
    read_at: Option<Instant>,
}

impl Table {
    /// All of them, oldest first.
    pub(super) fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// As rules.
    pub(super) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// What an adapter of this name is told: what may concern its server, and itself; the gateway
    /// shows all servers, and hears of all.
    pub(super) fn told_to(&self, who: &Identity) -> Vec<Grant> {
        let own = ["tools", "prompts", "resources"].map(|kind| format!("{kind}/{who}/"));
        let everything = matches!(
            who.as_str(),
            crate::name::id::GATEWAY | crate::name::id::WEFT
        );
        let concerns = |grant: &Grant| {
            let Ok(rule) = Rule::read(grant) else {
                return true;
            };
            let touches = |prefix: &String| {
                let actions = crate::call::permission::ACTIONS;
                actions
                    .iter()
                    .any(|action| rule.permission.touches(action, prefix))
            };
            everything || rule.is_about(who.as_str()) || own.iter().any(touches)
        };
        let grants = self.kept.iter().map(|kept| &kept.grant);
        grants.filter(|grant| concerns(grant)).cloned().collect()
    }

    /// When the bucket's leader was last asked.
    pub(super) const fn read_at(&self) -> Option<Instant> {
        self.read_at
    }
}

/// A handle to the grants of the mesh. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Grants {
    bucket: Bucket,
    table: watch::Receiver<Table>,
    nudge: Arc<Notify>,
}

impl Grants {
    /// Reads all grants, and follows their changes from then on.
    pub(super) async fn start(bucket: Bucket, tasks: &Tasks) -> Result<Self, Error> {
        let (table, seen) = watch::channel(Table::default());
        catch_up(&bucket, &table).await?;
        let nudge = Arc::new(Notify::new());
        let (stop, woken, reader) = (tasks.stopping(), Arc::clone(&nudge), bucket.clone());
        tasks.spawn("grants", Failure::Stops, async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = woken.notified() => {}
                    () = tokio::time::sleep(POLL_EVERY) => {}
                }
                if let Err(error) = catch_up(&reader, &table).await {
                    tracing::warn!(%error, "the grants can't be read");
                }
            }
        });
        Ok(Self {
            bucket,
            table: seen,
            nudge,
        })
    }

    /// The grants as they were last read.
    pub(super) fn table(&self) -> watch::Receiver<Table> {
        self.table.clone()
    }

    /// Adds a grant, which was read before; one that says the same is there already.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where there are too many, or the store does not answer.
    pub(super) async fn add(&self, grant: Grant, by: &Identity) -> Result<Kept, Error> {
        let kept = Kept {
            grant,
            granted_by: by.clone(),
            granted_at: now(),
        };
        self.change(|all| {
            let same = |other: &&Kept| {
                let id = other.grant.id;
                Grant {
                    id,
                    ..kept.grant.clone()
                } == other.grant
            };
            if let Some(there) = all.iter().find(same) {
                return Ok(there.clone());
            }
            all.push(kept.clone());
            Ok(kept.clone())
        })
        .await
    }

    /// Removes a grant.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where there is none of this id.
    pub(super) async fn remove(&self, id: Uuid) -> Result<Kept, Error> {
        self.change(|all| {
            let place = all.iter().position(|kept| kept.grant.id == id);
            let place = place.ok_or_else(|| {
                invalid("argument `id`: there is no such grant: `grant_list` shows them")
            })?;
            Ok(all.remove(place))
        })
        .await
    }

    async fn change(
        &self,
        mut what: impl FnMut(&mut Vec<Kept>) -> Result<Kept, Error>,
    ) -> Result<Kept, Error> {
        for _ in 0..TRIES_MAX {
            let stored = self.bucket.get(KEY).await?;
            let revision = stored.as_ref().map_or(0, |stored| stored.revision);
            let mut all = match &stored {
                Some(stored) => decode(&stored.value)?,
                None => Vec::new(),
            };
            let done = what(&mut all)?;
            let value = serde_json::to_vec(&all).expect("grants are JSON");
            if all.len() > GRANTS_MAX || value.len() > BYTES_MAX {
                return Err(Error::new(
                    Kind::ServerOverloaded,
                    format!(
                        "there are {} grants of {} bytes; at most {GRANTS_MAX} of {BYTES_MAX} bytes \
                         are kept: remove some, or use patterns (`call:tools/gh/*`)",
                        all.len(),
                        value.len()
                    ),
                ));
            }
            if let Written::As(revision) = self.bucket.put(KEY, value, Some(revision)).await? {
                self.seen(revision).await?;
                return Ok(done);
            }
        }
        Err(unavailable("the grants change all the time: try again"))
    }

    /// Waits until the table has what was just written.
    async fn seen(&self, revision: u64) -> Result<(), Error> {
        self.nudge.notify_one();
        let mut table = self.table.clone();
        let seen = table.wait_for(|table| table.revision >= revision);
        match timeout(SEEN_MAX, seen).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(unavailable(
                "the change is stored, but was not read back in time: look with `grant_list`",
            )),
        }
    }
}

/// Reads the record where it changed.
async fn catch_up(bucket: &Bucket, table: &watch::Sender<Table>) -> Result<(), Error> {
    let asked = Instant::now();
    // First the number: what is written meanwhile is read again at the next look.
    let last = bucket.last().await?;
    if last == table.borrow().revision {
        // Who waits for changes is not woken by a look.
        table.send_if_modified(|table| {
            table.read_at = Some(asked);
            false
        });
        return Ok(());
    }
    let stored = bucket.get(KEY).await?;
    let kept = match &stored {
        Some(stored) => decode(&stored.value)?,
        None => Vec::new(),
    };
    let grants: Vec<Grant> = kept.iter().map(|kept| kept.grant.clone()).collect();
    let rules = Rules::read(&grants).map_err(|error| unreadable(&error.to_string()))?;
    table.send_replace(Table {
        kept: kept.into(),
        rules: Arc::new(rules),
        revision: last,
        read_at: Some(asked),
    });
    Ok(())
}

fn decode(value: &[u8]) -> Result<Vec<Kept>, Error> {
    serde_json::from_slice(value).map_err(|error| unreadable(&error.to_string()))
}

/// Nobody decides by half of the rules: snapshots end, and adapters close.
fn unreadable(why: &str) -> Error {
    let said = format!(
        "the grants in the bucket WEFT_GRANTS can't be read ({why}): a newer Weft may have written \
         them; nobody is let in until they can be"
    );
    Error::new(Kind::InternalError, said)
}
