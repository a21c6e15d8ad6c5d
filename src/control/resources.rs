//! Shared resources as the control plane keeps them: everything about one in the bucket
//! `WEFT_RESOURCES`, its content in parts on the stream `WEFT_RESOURCE_PARTS`.
//!
//! A resource is there from the write of its record on, and that is one compare-and-set: whoever
//! died before it left parts that nobody sees, and they are swept. Whoever reads a record reads it
//! from the bucket's leader.

mod parts;
mod room;
mod roots;
mod state;
mod sweep;
mod table;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

pub(super) use self::state::conflict;
use self::{
    parts::{Parts, Place, Plan},
    roots::Roots,
    state::{made, now_ms, overtaken, told_of, touch},
    table::{Followed, Record},
};
use super::{
    connect::{Wire, unavailable},
    life::Voice,
    store::{Bucket, Written},
    tokens::invalid,
};
use crate::{
    error::{Error, Kind},
    name::{Identity, token},
    resource::{
        Begin, Content, Draft, PAGE_MAX, PART_BYTES, Page, Quota, ROOT_SCHEME, Resource, Sharing,
    },
    spawn::Tasks,
};

/// How long an upload may take.
const UPLOAD_MAX_MS: u64 = 3600 * 1000;
/// Tries of a change that somebody else's change got in the way of.
const TRIES_MAX: usize = 4;
/// Records that are looked at for one page.
const LOOKS_MAX: usize = 20_000;

/// The resources. Clones are handles to the same ones.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    bucket: Bucket,
    parts: Parts,
    followed: Followed,
    voice: std::sync::Arc<Voice>,
    quota: Quota,
    roots: Roots,
    /// Room is looked for and taken by one at a time.
    room: std::sync::Arc<Mutex<()>>,
}

/// A resource as it was found, and what it takes to change it.
pub(super) struct Found {
    pub(super) resource: Resource,
    /// Its record and the revision of that; files below a root have none.
    kept: Option<(Record, u64)>,
}

impl Found {
    fn place(&self) -> Option<&Place> {
        self.kept.as_ref()?.0.place.as_ref()
    }

    /// What it takes to change it, where it has this version.
    fn changeable(self, version: Option<u64>) -> Result<(Record, u64), Error> {
        let (id, there) = (&self.resource.id, self.resource.version);
        if let Some(wanted) = version.filter(|wanted| *wanted != there) {
            return Err(conflict(id, there, wanted));
        }
        self.kept.ok_or_else(|| {
            let said = format!(
                "`{}` is a file below a root: it is read, and not changed here",
                self.resource.id
            );
            Error::new(Kind::AccessDenied, said)
        })
    }
}

impl Shelf {
    /// Opens it, and begins to sweep.
    pub(super) async fn start(
        wire: Wire,
        bucket: Bucket,
        voice: Voice,
        (sharing, replicas): (Sharing, usize),
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let shelf = Self {
            followed: Followed::start(bucket.clone(), tasks).await?,
            parts: Parts::open(wire, replicas).await?,
            bucket,
            voice: std::sync::Arc::new(voice),
            quota: sharing.quota,
            roots: Roots::new(sharing.roots),
            room: std::sync::Arc::default(),
        };
        sweep::start(shelf.clone(), tasks);
        Ok(shelf)
    }

    /// The resource of this name.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Found>, Error> {
        if is_below_root(id) {
            let found = self.roots.find(id).await?;
            return Ok(found.map(|resource| Found {
                resource,
                kept: None,
            }));
        }
        let (record, revision) = self.record(id).await?;
        let record = record.filter(|record| !record.gone);
        Ok(record.map(|record| Found {
            resource: record.resource.clone(),
            kept: Some((record, revision)),
        }))
    }

    /// What the bucket has under the key of a name, and its revision; 0 where it has nothing.
    async fn record(&self, id: &str) -> Result<(Option<Record>, u64), Error> {
        let Some(stored) = self.bucket.get(&token::digest(id)).await? else {
            return Ok((None, 0));
        };
        let record = Record::decode(&stored.value);
        if record
            .as_ref()
            .is_some_and(|record| record.resource.id != id)
        {
            return Err(invalid(
                "argument `id`: another resource has a name like this one",
            ));
        }
        Ok((record, stored.revision))
    }

    /// A page of those that `may_see` lets.
    pub(super) async fn list(
        &self,
        after: &str,
        prefix: &str,
        may_see: impl Fn(&Resource) -> bool,
    ) -> Result<Page, Error> {
        let files = if is_below_root(prefix) || ROOT_SCHEME.starts_with(prefix) {
            self.roots.list().await?
        } else {
            Vec::new()
        };
        let shown =
            |one: &&Resource| one.id.as_str() > after && one.id.starts_with(prefix) && may_see(one);
        let table = self.followed.table.borrow().clone();
        let from = if after < prefix { "" } else { after };
        let kept = table.behind(from).take(LOOKS_MAX);
        let kept = kept.map(|record| &record.resource);
        let mut all: Vec<&Resource> = kept.filter(shown).take(PAGE_MAX + 1).collect();
        all.extend(files.iter().filter(shown).take(PAGE_MAX + 1));
        all.sort_by(|one, other| one.id.cmp(&other.id));
        let more = all.len() > PAGE_MAX;
        all.truncate(PAGE_MAX);
        let last = all.last().filter(|_| more);
        Ok(Page {
            next: last.map(|last| last.id.clone()),
            resources: all.into_iter().cloned().collect(),
        })
    }

    /// A range of a resource's content.
    pub(super) async fn read(&self, found: &Found, range: (u64, u64)) -> Result<Vec<u8>, Error> {
        match (&found.kept, found.place()) {
            (_, Some(place)) => self.parts.range(place, range).await,
            (Some(_), None) => Ok(Vec::new()),
            (None, None) => self.roots.read(&found.resource, range).await,
        }
    }

    /// Makes an upload that is complete the content of its resource.
    pub(super) async fn commit(&self, by: &Identity, upload: &str) -> Result<Resource, Error> {
        let (place, plan) = self.upload(by, upload).await?;
        self.parts.check(&place, &plan).await?;
        self.place(place, plan).await
    }

    /// A resource whose content is all here.
    pub(super) async fn register(
        &self,
        (by, owner): (&Identity, &Identity),
        draft: Draft,
        content: &Content,
    ) -> Result<Resource, Error> {
        let bytes = content.bytes()?;
        if bytes.len() > PART_BYTES {
            return Err(invalid(format!(
                "argument `content`: {} bytes; what has more than {PART_BYTES} is sent in parts: \
                 resource_begin",
                bytes.len()
            )));
        }
        let asked = Begin {
            resource: draft,
            size: bytes.len() as u64,
            sha256: HEXLOWER.encode(&Sha256::digest(&bytes)),
        };
        let begun = self.begin(by, owner, asked).await?;
        if !bytes.is_empty() {
            self.append(by, (&begun.upload, 1), bytes).await?;
        }
        let (place, plan) = self.upload(by, &begun.upload).await?;
        let put = self.place(place.clone(), plan).await;
        // Of any other failure it is not known whether the record was written.
        if put
            .as_ref()
            .is_err_and(|error| error.kind() == Kind::InvalidRequest)
        {
            self.tidy(&place).await;
        }
        put
    }

    /// Writes the record: from then on it is there.
    async fn place(&self, place: Place, plan: Plan) -> Result<Resource, Error> {
        let draft = plan.draft;
        for _ in 0..TRIES_MAX {
            let (before, revision) = self.record(&draft.id).await?;
            self.tell(before.as_ref()).await?;
            let before = before.filter(|record| !record.gone);
            let there = before.as_ref().map_or(0, |record| record.resource.version);
            if there != draft.version {
                return Err(conflict(&draft.id, there, draft.version));
            }
            let resource = made(
                &draft,
                before.as_ref(),
                &place.owner,
                (plan.size, &plan.sha256),
            );
            let untold = told_of(&resource, before.is_none())?;
            let record = Record {
                resource,
                place: Some(place.clone()),
                untold: Some(untold),
                gone: false,
            };
            if let Some(resource) = self.write(record, revision).await? {
                if let Some(old) = before.and_then(|record| record.place) {
                    self.tidy(&old).await;
                }
                return Ok(resource);
            }
        }
        Err(unavailable("the resource changes all the time: try again"))
    }

    /// Changes all but the content. `change` is given the resource as it is.
    pub(super) async fn change(
        &self,
        found: Found,
        version: Option<u64>,
        change: impl FnOnce(&mut Resource),
    ) -> Result<Resource, Error> {
        let (before, revision) = found.changeable(version)?;
        self.tell(Some(&before)).await?;
        let mut resource = before.resource;
        change(&mut resource);
        touch(&mut resource);
        let record = Record {
            untold: Some(told_of(&resource, false)?),
            resource,
            place: before.place,
            gone: false,
        };
        let written = self.write(record, revision).await?;
        written.ok_or_else(overtaken)
    }

    /// Removes a resource.
    pub(super) async fn remove(&self, found: Found, version: Option<u64>) -> Result<(), Error> {
        let (before, revision) = found.changeable(version)?;
        self.tell(Some(&before)).await?;
        let mut resource = before.resource;
        touch(&mut resource);
        let record = Record {
            untold: Some(told_of(&resource, false)?),
            resource,
            place: None,
            gone: true,
        };
        let written = self.write(record, revision).await?;
        written.ok_or_else(overtaken)?;
        if let Some(place) = &before.place {
            self.tidy(place).await;
        }
        Ok(())
    }

    /// Writes a record where its key still has this revision, and tells of it.
    async fn write(&self, mut record: Record, revision: u64) -> Result<Option<Resource>, Error> {
        let key = token::digest(&record.resource.id);
        let put = self.bucket.put(&key, record.encode(), Some(revision));
        let Written::As(mut last) = put.await? else {
            return Ok(None);
        };
        // What can't be told now is told by the sweep.
        if self.tell(Some(&record)).await.is_ok() {
            record.untold = None;
            let put = self.bucket.put(&key, record.encode(), Some(last));
            if let Ok(Written::As(revision)) = put.await {
                last = revision;
            }
        }
        self.followed.seen(last).await;
        Ok(Some(record.resource))
    }

    /// Publishes what may not have been told; under its id it is kept once.
    async fn tell(&self, record: Option<&Record>) -> Result<(), Error> {
        match record.and_then(|record| record.untold.clone()) {
            Some(event) => self.voice.publish(event).await,
            None => Ok(()),
        }
    }

    /// Removes parts that nobody needs; the sweep does where this can't.
    async fn tidy(&self, place: &Place) {
        if let Err(error) = self.parts.remove(place).await {
            tracing::debug!(%error, "parts of a resource stay for now");
        }
    }
}

fn is_below_root(id: &str) -> bool {
    id.split_once(':')
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(ROOT_SCHEME))
}
