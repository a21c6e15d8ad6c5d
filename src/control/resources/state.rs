//! The next state of a resource, the event that tells of it, and why there is none.

use chrono::{DateTime, SecondsFormat, Utc};

use super::table::Record;
use crate::{
    error::{Error, Kind},
    event::{
        Event,
        catalogue::system::{ResourceRegistered, ResourceUpdated},
    },
    name::Identity,
    resource::{Draft, Resource},
};

pub(super) fn made(
    draft: &Draft,
    before: Option<&Record>,
    owner: &Identity,
    (size, sha256): (u64, &str),
) -> Resource {
    let now = stamp(now_ms());
    let mut resource = Resource {
        id: draft.id.clone(),
        kind: draft.kind.clone(),
        content: None,
        metadata: draft.metadata.clone(),
        owner: before.map_or_else(|| owner.clone(), |record| record.resource.owner.clone()),
        permissions: draft.permissions.clone(),
        created_at: before.map_or(now, |record| record.resource.created_at.clone()),
        updated_at: String::new(),
        size,
        sha256: Some(sha256.to_owned()),
        version: before.map_or(0, |record| record.resource.version),
    };
    touch(&mut resource);
    resource
}

/// Changed now.
pub(super) fn touch(resource: &mut Resource) {
    let now = now_ms();
    resource.version = now.max(resource.version + 1);
    resource.updated_at = stamp(now);
}

pub(super) fn told_of(resource: &Resource, is_new: bool) -> Result<Event, Error> {
    let (resource_id, owner) = (resource.id.clone(), resource.owner.to_string());
    if is_new {
        let kind = resource.kind.clone();
        return Event::of(&ResourceRegistered {
            resource_id,
            kind,
            owner,
        });
    }
    Event::of(&ResourceUpdated { resource_id, owner })
}

pub(in crate::control) fn conflict(id: &str, there: u64, wanted: u64) -> Error {
    let said = match (there, wanted) {
        (0, _) => format!("`{id}` is not there, and its version {wanted} was to be changed"),
        (_, 0) => format!("`{id}` is there: to take its place, name its version {there}"),
        _ => format!("`{id}` has the version {there}, not {wanted}: read it again"),
    };
    Error::new(Kind::InvalidRequest, said).with("version", there)
}

pub(super) fn overtaken() -> Error {
    let said = "somebody else changed the resource at the same time: read it again";
    Error::new(Kind::InvalidRequest, said)
}

pub(super) fn now_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0)
}

/// A time as records have it.
pub(super) fn stamp(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}
