//! Shared resources, as a program uses them.
//!
//! ```no_run
//! # async fn f(mesh: weftbus::mesh::Mesh) -> Result<(), weftbus::error::Error> {
//! use weftbus::resource::Draft;
//! let resources = mesh.resources();
//! let report = Draft::new("report://2026/q3", "text/markdown");
//! resources.register(report, b"# Third quarter").await?;
//! let (about, content) = resources.read("report://2026/q3").await?;
//! println!("{} bytes of {}", content.len(), about.owner);
//! # Ok(())
//! # }
//! ```
//!
//! That one is there or was changed is told as the events `resource.registered` and
//! `system.resource.updated` of the source `weft`: [`Mesh::events`].

use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Mesh;
use crate::{
    error::{Error, Kind},
    resource::{
        Append, Appended, Begin, Begun, Commit, Content, Draft, List, PART_BYTES, Page, Read,
        Register, Remove, Removed, Resource, Shown, Update,
    },
};

/// Pages of a list: the control plane keeps 20,000 resources at most, 100 on a page.
const PAGES_MAX: usize = 200;

/// The shared resources of the mesh.
#[derive(Clone, Debug)]
pub struct Resources {
    mesh: Mesh,
}

impl Resources {
    pub(super) const fn new(mesh: Mesh) -> Self {
        Self { mesh }
    }

    /// Registers a resource, or takes the place of the version that the draft names. What does not
    /// fit into one call goes in several.
    ///
    /// # Errors
    /// `ACCESS_DENIED`, `INVALID_PARAMS`; `INVALID_REQUEST` where another version is there, or the
    /// owner's room is used up.
    pub async fn register(&self, draft: Draft, content: &[u8]) -> Result<Resource, Error> {
        if content.len() > PART_BYTES {
            let sha256 = HEXLOWER.encode(&Sha256::digest(content));
            let mut upload = self.upload(draft, content.len() as u64, sha256).await?;
            for part in content.chunks(PART_BYTES) {
                upload.append(part).await?;
            }
            return upload.commit().await;
        }
        let asked = Register {
            resource: draft,
            content: Content::of(content),
        };
        let shown: Shown = self.mesh.control("resource_register", asked).await?;
        Ok(shown.resource)
    }

    /// Begins to register a resource whose content is not all in memory. Nothing of it is visible
    /// before [`Upload::commit`].
    ///
    /// # Errors
    /// As [`Resources::register`].
    pub async fn upload(&self, draft: Draft, size: u64, sha256: String) -> Result<Upload, Error> {
        let asked = Begin {
            resource: draft,
            size,
            sha256,
        };
        let begun: Begun = self.mesh.control("resource_begin", asked).await?;
        Ok(Upload {
            mesh: self.mesh.clone(),
            begun,
            part: 0,
        })
    }

    /// Changes all of a resource but its content.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, `ACCESS_DENIED`, `INVALID_PARAMS`; `INVALID_REQUEST` where another
    /// version is there.
    pub async fn update(&self, change: Update) -> Result<Resource, Error> {
        let shown: Shown = self.mesh.control("resource_update", change).await?;
        Ok(shown.resource)
    }

    /// The resources that we may read whose names begin so, without their contents.
    ///
    /// # Errors
    /// What the control plane says, or its silence.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Resource>, Error> {
        let mut found = Vec::new();
        let mut asked = List {
            prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
            after: None,
        };
        for _ in 0..PAGES_MAX {
            let page: Page = self.mesh.control("resource_list", &asked).await?;
            found.extend(page.resources);
            asked.after = page.next;
            if asked.after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// A resource and all of its content, in memory.
    ///
    /// # Errors
    /// As [`Resources::open`] and [`Reader::next`].
    pub async fn read(&self, id: &str) -> Result<(Resource, Vec<u8>), Error> {
        let mut reader = self.open(id).await?;
        let mut content = Vec::new();
        while let Some(part) = reader.next().await? {
            content.extend_from_slice(&part);
        }
        Ok((reader.resource, content))
    }

    /// Begins to read a resource, a part at a time.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, `ACCESS_DENIED`.
    pub async fn open(&self, id: &str) -> Result<Reader, Error> {
        let asked = Read {
            id: id.to_owned(),
            ..Read::default()
        };
        let shown: Shown = self.mesh.control("resource_read", asked).await?;
        let mut resource = shown.resource;
        let first = content_of(&mut resource)?;
        Ok(Reader {
            mesh: self.mesh.clone(),
            resource,
            first: Some(first),
            digest: Sha256::new(),
            offset: 0,
        })
    }

    /// Removes a resource: this version of it, or whichever there is.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, `ACCESS_DENIED`; `INVALID_REQUEST` where another version is there.
    pub async fn remove(&self, id: &str, version: Option<u64>) -> Result<(), Error> {
        let asked = Remove {
            id: id.to_owned(),
            version,
        };
        let removed: Removed = self.mesh.control("resource_remove", asked).await?;
        tracing::debug!(id = removed.id, "removed");
        Ok(())
    }
}

/// A content on its way.
#[derive(Debug)]
pub struct Upload {
    mesh: Mesh,
    begun: Begun,
    part: u64,
}

impl Upload {
    /// Bytes of each part but the last one.
    #[must_use]
    pub const fn part_bytes(&self) -> usize {
        self.begun.part_bytes
    }

    /// Sends the next part.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where it has not the bytes that are due.
    pub async fn append(&mut self, part: &[u8]) -> Result<(), Error> {
        let asked = Append {
            upload: self.begun.upload.clone(),
            part: self.part + 1,
            blob: BASE64.encode(part),
        };
        let stored: Appended = self.mesh.control("resource_append", asked).await?;
        self.part = stored.part;
        Ok(())
    }

    /// Makes what was sent the resource.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where parts are missing or make something else than was announced, and what
    /// [`Resources::register`] says.
    pub async fn commit(self) -> Result<Resource, Error> {
        let asked = Commit {
            upload: self.begun.upload,
        };
        let shown: Shown = self.mesh.control("resource_commit", asked).await?;
        Ok(shown.resource)
    }
}

/// A content that comes part by part.
#[derive(Debug)]
pub struct Reader {
    mesh: Mesh,
    resource: Resource,
    first: Option<Vec<u8>>,
    digest: Sha256,
    offset: u64,
}

impl Reader {
    /// The resource.
    #[must_use]
    pub const fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The next part; nothing when all of it came, and is what was registered.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, `INVALID_REQUEST` where the resource was changed meanwhile;
    /// `INTERNAL_ERROR` where the content is not the one that was registered.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.offset >= self.resource.size {
            return self.end().map(|()| None);
        }
        let part = match self.first.take() {
            Some(first) => first,
            None => self.fetch().await?,
        };
        if part.is_empty() {
            return Err(broken("it ended too soon"));
        }
        self.offset += part.len() as u64;
        self.digest.update(&part);
        Ok(Some(part))
    }

    async fn fetch(&self) -> Result<Vec<u8>, Error> {
        let asked = json!({
            "id": self.resource.id, "offset": self.offset, "version": self.resource.version,
        });
        let shown: Shown = self.mesh.control("resource_read", asked).await?;
        content_of(&mut { shown.resource })
    }

    fn end(&self) -> Result<(), Error> {
        let got = HEXLOWER.encode(&self.digest.clone().finalize());
        match &self.resource.sha256 {
            Some(wanted) if *wanted != got => Err(broken("its SHA-256 is another one")),
            _ => Ok(()),
        }
    }
}

fn content_of(resource: &mut Resource) -> Result<Vec<u8>, Error> {
    let content = resource.content.take();
    content.ok_or_else(|| broken("there is none"))?.bytes()
}

fn broken(why: &str) -> Error {
    let said = format!("the content of the resource did not arrive: {why}");
    Error::new(Kind::InternalError, said)
}
