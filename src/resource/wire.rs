//! What the tools of the control plane take and give that are about resources.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Content, Draft, Grant, Resource};

/// A resource whose content fits into one call.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// What it is.
    pub resource: Draft,
    /// All of its content: at most 512 KiB.
    pub content: Content,
}

/// A resource whose content comes in parts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// What it is.
    pub resource: Draft,
    /// Bytes of its content.
    pub size: u64,
    /// The SHA-256 of all of it: 64 hexadecimal digits.
    pub sha256: String,
}

/// An upload that began.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// Its name; whoever began it appends and commits.
    pub upload: String,
    /// Bytes of each part but the last one.
    pub part_bytes: usize,
    /// How many parts there are to be.
    pub parts: u64,
    /// An upload that is not committed by then is removed, seconds from now.
    pub lease_seconds: u64,
}

/// A part of an upload. Parts may come in any order; one that came already may come again.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Append {
    /// The upload.
    pub upload: String,
    /// The number of the part, from 1.
    pub part: u64,
    /// Its bytes, base64.
    pub blob: String,
}

/// A part is stored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Appended {
    /// The number of the part.
    pub part: u64,
}

/// All parts are there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The upload.
    pub upload: String,
}

/// What is to be different of a resource, its content aside.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The resource.
    pub id: String,
    /// The version that is changed; none: whichever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Its new type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its new metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Its new list. Only its owner, and who has `admin:resources/weft/{uri}`, may change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<Grant>>,
}

/// A part of a resource's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// The resource.
    pub id: String,
    /// Where the part begins.
    #[serde(default)]
    pub offset: u64,
    /// Bytes of it: at most 512 KiB, which is what there is where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// The version that is read; none: whichever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Which resource.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    /// The resource.
    pub id: String,
    /// The version that is removed; none: whichever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Which resources.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct List {
    /// Those whose names begin so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Those behind this one: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A page of resources, by name, without their contents.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// The resources.
    pub resources: Vec<Resource>,
    /// Where the next page begins, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A resource as it is now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// The resource.
    pub resource: Resource,
}

/// A resource that was removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// Its name.
    pub id: String,
}
