//! Uploads: begun where there is room for them, sent part by part, in any order.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use uuid::Uuid;

use super::{
    Shelf, UPLOAD_MAX_MS,
    parts::{Place, Plan},
    state::now_ms,
};
use crate::{
    control::tokens::invalid,
    error::{Error, Kind},
    name::Identity,
    resource::{Begin, Begun, Draft, PART_BYTES, Resource},
};

/// Uploads of one owner that are not committed.
const UPLOADS_MAX: usize = 8;

impl Shelf {
    /// Begins an upload in the room of `owner`.
    pub(in crate::control) async fn begin(
        &self,
        by: &Identity,
        owner: &Identity,
        asked: Begin,
    ) -> Result<Begun, Error> {
        let sha256 = asked.sha256.to_ascii_lowercase();
        if HEXLOWER
            .decode(sha256.as_bytes())
            .map_or(0, |digest| digest.len())
            != 32
        {
            return Err(invalid("argument `sha256`: 64 hexadecimal digits"));
        }
        let plan = Plan {
            by: by.clone(),
            draft: asked.resource,
            size: asked.size,
            sha256,
        };
        let place = Place {
            owner: owner.clone(),
            upload: Uuid::now_v7(),
        };
        {
            let _one = self.room.lock().await;
            self.has_room(owner, &plan).await?;
            self.parts.plan(&place, &plan).await?;
        }
        Ok(Begun {
            upload: format!("{owner}.{}", place.upload.as_simple()),
            part_bytes: PART_BYTES,
            parts: plan.parts(),
            lease_seconds: UPLOAD_MAX_MS / 1000,
        })
    }

    async fn has_room(&self, owner: &Identity, plan: &Plan) -> Result<(), Error> {
        let full = |what: String| {
            Error::new(Kind::InvalidRequest, format!("no room for this: {what}"))
                .with("limitBytes", self.quota.bytes)
                .with("limitResources", self.quota.resources)
        };
        let (count, mut bytes) = self.followed.table.borrow().held(owner);
        let open = self.open_uploads(owner).await?;
        let now = now_ms();
        let live = |place: &&Place| place.began_ms() + UPLOAD_MAX_MS > now;
        if open.iter().filter(live).count() >= UPLOADS_MAX {
            return Err(full(format!("`{owner}` has {UPLOADS_MAX} open uploads")));
        }
        for place in &open {
            let planned = self.parts.planned(place).await?;
            bytes += planned.map_or(0, |plan| plan.size);
        }
        if count >= self.quota.resources && plan.draft.version == 0 {
            return Err(full(format!("`{owner}` has {count} resources")));
        }
        if plan.size.saturating_add(bytes) > self.quota.bytes {
            return Err(full(format!(
                "`{owner}` has {bytes} bytes, {} more are asked for, and {} are allowed",
                plan.size, self.quota.bytes
            )));
        }
        Ok(())
    }

    /// Uploads in somebody's room that are no resource's content.
    async fn open_uploads(&self, owner: &Identity) -> Result<Vec<Place>, Error> {
        let all = self.parts.places(Some(owner)).await?;
        let table = self.followed.table.borrow().clone();
        let used: BTreeSet<&Place> = table
            .all()
            .filter_map(|(_, record)| record.place.as_ref())
            .collect();
        let open = all.into_iter().filter(|place| !used.contains(place));
        Ok(open.collect())
    }

    /// An upload that somebody began.
    pub(super) async fn upload(&self, by: &Identity, upload: &str) -> Result<(Place, Plan), Error> {
        let none = || Error::new(Kind::ResourceNotFound, "there is no such upload of yours");
        let (owner, id) = upload.split_once('.').ok_or_else(none)?;
        let place = Place {
            owner: Identity::new(owner).map_err(|_| none())?,
            upload: Uuid::try_parse(id).map_err(|_| none())?,
        };
        let plan = self.parts.planned(&place).await?;
        let plan = plan.filter(|plan| plan.by == *by).ok_or_else(none)?;
        if place.began_ms().saturating_add(UPLOAD_MAX_MS) < now_ms() {
            return Err(none());
        }
        Ok((place, plan))
    }

    /// Stores a part of an upload.
    pub(in crate::control) async fn append(
        &self,
        by: &Identity,
        (upload, part): (&str, u64),
        bytes: Vec<u8>,
    ) -> Result<(), Error> {
        let (place, plan) = self.upload(by, upload).await?;
        self.parts.add(&place, &plan, part, bytes.into()).await
    }

    /// What an upload is to become, or what it became: the answer to its commit may be lost.
    pub(in crate::control) async fn draft(
        &self,
        by: &Identity,
        upload: &str,
    ) -> Result<(Draft, Option<Resource>), Error> {
        let (place, plan) = self.upload(by, upload).await?;
        let found = self.find(&plan.draft.id).await?;
        let done = found.filter(|found| found.place() == Some(&place));
        Ok((plan.draft, done.map(|found| found.resource)))
    }
}
