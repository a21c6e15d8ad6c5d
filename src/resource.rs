//! Shared resources: what one is, how it is named, and who its own list lets read and write it.
//!
//! Pure: the control plane keeps them (`control::resources`), `mesh` and the command line speak of
//! them with the same types.

use std::{collections::BTreeMap, path::PathBuf};

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    call::permission::Pattern,
    error::{Error, Kind},
    name::Identity,
};

/// Bytes of one part of a content: what one call carries, either way.
pub const PART_BYTES: usize = 512 * 1024;
/// Bytes of a resource's name.
pub const ID_MAX: usize = 1024;
/// Bytes of a type.
const TYPE_MAX: usize = 128;
/// Bytes of the metadata of one, as JSON.
const METADATA_MAX: usize = 8 * 1024;
/// Lines of a resource's own list.
const GRANTS_MAX: usize = 64;
/// Resources on one page of a list.
pub const PAGE_MAX: usize = 100;
/// The scheme of files below a root: nobody registers such a name.
pub const ROOT_SCHEME: &str = "root";

/// What can be done with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// See that it is there, and its content.
    Read,
    /// Change its content and its metadata, and remove it.
    Write,
}

impl Act {
    /// The word that permissions have for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A line of a resource's own list: who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Identities: `*`, `prefix*` or a name.
    pub who: String,
    /// What they may do.
    pub may: Vec<Act>,
}

/// A folder whose files are shared, to be read only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Root {
    /// The folder, relative to the configuration file.
    pub path: PathBuf,
    /// Who may read its files. Nobody: those whom a permission `read:resources/weft/root://…` lets.
    pub permissions: Vec<Grant>,
}

/// How much one owner may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Resources.
    pub resources: u64,
    /// Bytes of all their contents together, those of open uploads among them.
    pub bytes: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            resources: 1000,
            bytes: 512 << 20,
        }
    }
}

/// What a deployment says about shared resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// How much one owner may keep.
    pub quota: Quota,
    /// Folders whose files are shared, by name.
    pub roots: BTreeMap<String, Root>,
}

/// Bytes as JSON carries them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// As text.
    Text(String),
    /// As base64.
    Blob(String),
}

impl Content {
    /// Text where the bytes are UTF-8 and that is no longer in JSON than base64 would be.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok().filter(|text| {
            let quoted = serde_json::to_string(text).map_or(usize::MAX, |quoted| quoted.len());
            quoted <= BASE64.encode_len(bytes.len()) + 2
        });
        text.map_or_else(
            || Self::Blob(BASE64.encode(bytes)),
            |text| Self::Text(text.to_owned()),
        )
    }

    /// The bytes.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the base64 is none.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Blob(blob) => BASE64
                .decode(blob.as_bytes())
                .map_err(|error| invalid(format!("`blob` is no base64: {error}"))),
        }
    }
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its name, a URI: `report://2026/q3`.
    pub id: String,
    /// What it is: a media type (`text/markdown`), or a word. Files below a root are `file`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its content, or the part that was asked for; lists have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// What else there is to say of it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Whose it is.
    pub owner: Identity,
    /// Who else may read and write it.
    #[serde(default)]
    pub permissions: Vec<Grant>,
    /// When it was registered, RFC 3339.
    pub created_at: String,
    /// When it was changed last, RFC 3339.
    pub updated_at: String,
    /// Bytes of its content.
    pub size: u64,
    /// The SHA-256 of its content, hexadecimal; files below a root have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Another number after each change; later ones are larger.
    pub version: u64,
}

impl Resource {
    /// Whether it is his, or its own list lets him.
    #[must_use]
    pub fn lets(&self, who: &Identity, act: Act) -> bool {
        self.owner == *who || listed(&self.permissions, who, act)
    }
}

/// Whether a list lets somebody.
#[must_use]
pub fn listed(grants: &[Grant], who: &Identity, act: Act) -> bool {
    grants
        .iter()
        .any(|grant| grant.may.contains(&act) && Pattern::new(&grant.who).matches(&[who.as_str()]))
}

/// What is said of a resource when it is registered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Draft {
    /// Its name, a URI: `report://2026/q3`. At most 1024 visible ASCII characters, without `#`.
    pub id: String,
    /// What it is: a media type, or a word.
    #[serde(rename = "type")]
    pub kind: String,
    /// What else there is to say of it: 8 KiB of JSON at most.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Who else may read and write it: 64 lines at most.
    #[serde(default)]
    pub permissions: Vec<Grant>,
    /// The version that it takes the place of; 0: there is none of that name yet.
    #[serde(default)]
    pub version: u64,
}

impl Draft {
    /// A new one of this name and type.
    #[must_use]
    pub fn new(id: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: kind.into(),
            ..Self::default()
        }
    }

    /// That everything about it is within bounds.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with what is wrong.
    pub fn check(&self) -> Result<(), Error> {
        check_id(&self.id)?;
        if scheme(&self.id).eq_ignore_ascii_case(ROOT_SCHEME) {
            return Err(invalid(
                "argument `id`: names that begin with `root:` are those of files below a root",
            ));
        }
        let plain = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        };
        if self.kind.is_empty() || self.kind.len() > TYPE_MAX || !plain(&self.kind) {
            let said = format!("argument `type`: 1 to {TYPE_MAX} visible ASCII characters");
            return Err(invalid(said));
        }
        let bytes = serde_json::to_string(&self.metadata).map_or(usize::MAX, |text| text.len());
        if bytes > METADATA_MAX {
            let said = format!("argument `metadata`: {bytes} bytes; at most {METADATA_MAX}");
            return Err(invalid(said));
        }
        check_grants(&self.permissions)
    }
}

/// That a list can be one of a resource.
///
/// # Errors
/// `INVALID_PARAMS` with what is wrong.
pub fn check_grants(grants: &[Grant]) -> Result<(), Error> {
    if grants.len() > GRANTS_MAX {
        let said = format!(
            "`permissions`: {} lines; at most {GRANTS_MAX}",
            grants.len()
        );
        return Err(invalid(said));
    }
    for Grant { who, may } in grants {
        let name = who.strip_suffix('*').unwrap_or(who);
        let named = name.is_empty() || Identity::new(name).is_ok();
        if who.is_empty() || !named || may.is_empty() {
            let shown: String = who.chars().take(80).collect();
            return Err(invalid(format!(
                "`permissions`: `{shown}`: `who` is an identity, `prefix*` or `*`, and `may` one \
                 of read and write, or both"
            )));
        }
    }
    Ok(())
}

/// That a text can be the name of a resource.
///
/// # Errors
/// `INVALID_PARAMS` with what a name is.
pub fn check_id(id: &str) -> Result<(), Error> {
    let scheme = scheme(id);
    let begins = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    let plain = scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    let rest = id.len() > scheme.len() + 1;
    let visible = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}*".contains(&byte);
    if id.len() <= ID_MAX && begins && plain && rest && id.bytes().all(visible) {
        return Ok(());
    }
    let shown: String = id.chars().take(80).collect();
    Err(invalid(format!(
        "`{shown}` is no name of a resource: a URI such as report://2026/q3, of at most {ID_MAX} \
         visible ASCII characters, without # and *"
    )))
}

fn scheme(id: &str) -> &str {
    id.split_once(':').map_or("", |(scheme, _)| scheme)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidParams, message)
}

mod wire;
pub use wire::*;

#[cfg(test)]
mod tests;
