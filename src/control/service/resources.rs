//! The tools about shared resources: who may do what with which, and the words for it.

mod mcp;

use serde_json::Value;

use super::{
    Desk, Outcome,
    tools::{self, typed},
};
use crate::{
    call::Principal,
    control::{
        resources::{Found, conflict},
        tokens::invalid,
    },
    error::{Error, Kind},
    name::Identity,
    resource::{
        Act, Append, Appended, Begin, Commit, Content, Draft, List, PART_BYTES, Page, Read,
        Register, Remove, Removed, Resource, Shown, Update, check_grants, check_id,
    },
};

/// What the targets of permissions on shared resources begin with.
const TARGET: &str = "resources/weft/";

impl Desk {
    pub(super) async fn resource(
        &self,
        tool: &str,
        by: &Principal,
        arguments: Value,
    ) -> Result<Outcome, Error> {
        match tool {
            tools::RESOURCE_REGISTER => self.resource_register(by, typed(arguments)?).await,
            tools::RESOURCE_BEGIN => self.resource_begin(by, typed(arguments)?).await,
            tools::RESOURCE_APPEND => self.resource_append(by, typed(arguments)?).await,
            tools::RESOURCE_COMMIT => self.resource_commit(by, typed(arguments)?).await,
            tools::RESOURCE_UPDATE => self.resource_update(by, typed(arguments)?).await,
            tools::RESOURCE_READ => self.resource_read(by, typed(arguments)?).await,
            tools::RESOURCE_LIST => {
                let page = self.resource_page(by, &typed(arguments)?).await?;
                Ok(Outcome::new(&page))
            }
            tools::RESOURCE_REMOVE => self.resource_remove(by, typed(arguments)?).await,
            other => Err(Error::new(
                Kind::InternalError,
                format!("the tool `{other}` is listed, and nobody wrote it"),
            )),
        }
    }

    async fn resource_register(&self, by: &Principal, asked: Register) -> Result<Outcome, Error> {
        let draft = asked.resource;
        let owner = self
            .may_place(by, &draft)
            .await?
            .unwrap_or(by.identity.clone());
        let who = (&by.identity, &owner);
        let resource = self.shelf.register(who, draft, &asked.content).await?;
        Ok(Outcome::new(&Shown { resource }))
    }

    async fn resource_begin(&self, by: &Principal, asked: Begin) -> Result<Outcome, Error> {
        let owner = self.may_place(by, &asked.resource).await?;
        let owner = owner.unwrap_or(by.identity.clone());
        let begun = self.shelf.begin(&by.identity, &owner, asked).await?;
        Ok(Outcome::new(&begun))
    }

    async fn resource_append(&self, by: &Principal, asked: Append) -> Result<Outcome, Error> {
        let bytes = Content::Blob(asked.blob).bytes()?;
        let place = (asked.upload.as_str(), asked.part);
        self.shelf.append(&by.identity, place, bytes).await?;
        Ok(Outcome::new(&Appended { part: asked.part }))
    }

    async fn resource_commit(&self, by: &Principal, asked: Commit) -> Result<Outcome, Error> {
        // What he might do when he began, he may have lost since.
        let (draft, done) = self.shelf.draft(&by.identity, &asked.upload).await?;
        if let Some(resource) = done {
            return Ok(Outcome::new(&Shown { resource }));
        }
        self.may_place(by, &draft).await?;
        let resource = self.shelf.commit(&by.identity, &asked.upload).await?;
        Ok(Outcome::new(&Shown { resource }))
    }

    async fn resource_update(&self, by: &Principal, asked: Update) -> Result<Outcome, Error> {
        let found = self.may_do(by, Act::Write, &asked.id).await?;
        let now = &found.resource;
        let permissions = asked.permissions.unwrap_or(now.permissions.clone());
        check_grants(&permissions)?;
        if permissions != now.permissions {
            may_share(by, now)?;
        }
        let draft = Draft {
            id: asked.id,
            kind: asked.kind.unwrap_or(now.kind.clone()),
            metadata: asked.metadata.unwrap_or(now.metadata.clone()),
            permissions,
            version: 0,
        };
        draft.check()?;
        let change = |resource: &mut Resource| {
            resource.kind = draft.kind;
            resource.metadata = draft.metadata;
            resource.permissions = draft.permissions;
        };
        let resource = self.shelf.change(found, asked.version, change).await?;
        Ok(Outcome::new(&Shown { resource }))
    }

    async fn resource_read(&self, by: &Principal, asked: Read) -> Result<Outcome, Error> {
        let most = PART_BYTES as u64;
        let length = asked.length.unwrap_or(most);
        if length > most {
            return Err(invalid(format!("argument `length`: at most {most}")));
        }
        let range = (asked.offset, asked.offset.saturating_add(length));
        let (mut resource, bytes) = self.read(by, &asked.id, range, asked.version).await?;
        let said = format!(
            "{} bytes of {} from {} on; the content is in structuredContent",
            bytes.len(),
            resource.id,
            asked.offset
        );
        resource.content = Some(Content::of(&bytes));
        Ok(Outcome::new(&Shown { resource }).saying(said))
    }

    async fn resource_page(&self, by: &Principal, asked: &List) -> Result<Page, Error> {
        let prefix = asked.prefix.as_deref().unwrap_or_default();
        let after = asked.after.as_deref().unwrap_or_default();
        let may_see = |resource: &Resource| allowed(by, resource, Act::Read);
        self.shelf.list(after, prefix, may_see).await
    }

    async fn resource_remove(&self, by: &Principal, asked: Remove) -> Result<Outcome, Error> {
        let found = self.may_do(by, Act::Write, &asked.id).await?;
        self.shelf.remove(found, asked.version).await?;
        Ok(Outcome::new(&Removed { id: asked.id }))
    }

    /// A resource and a range of its content: the one way in which contents leave.
    async fn read(
        &self,
        by: &Principal,
        id: &str,
        (from, until): (u64, u64),
        version: Option<u64>,
    ) -> Result<(Resource, Vec<u8>), Error> {
        let found = self.may_do(by, Act::Read, id).await?;
        let (size, there) = (found.resource.size, found.resource.version);
        if version.is_some_and(|wanted| wanted != there) {
            return Err(conflict(id, there, version.unwrap_or(0)));
        }
        let range = (from.min(size), until.min(size));
        let bytes = self.shelf.read(&found, range).await?;
        Ok((found.resource, bytes))
    }

    /// A resource that he may do this with.
    async fn may_do(&self, by: &Principal, act: Act, id: &str) -> Result<Found, Error> {
        check_id(id)?;
        let found = self.shelf.find(id).await?;
        let found = found.filter(|found| sees(by, &found.resource));
        // Who may not see it is told the same as where there is none.
        let found = found.ok_or_else(|| {
            let said =
                format!("there is no resource `{id}`: `resource_list` has those that you may read");
            Error::new(Kind::ResourceNotFound, said)
        })?;
        if allowed(by, &found.resource, act) {
            return Ok(found);
        }
        Err(denied(by, act.word(), id))
    }

    /// That he may register this; whose it is, where it is there.
    async fn may_place(&self, by: &Principal, draft: &Draft) -> Result<Option<Identity>, Error> {
        draft.check()?;
        let found = self.shelf.find(&draft.id).await?;
        let Some(now) = found.map(|found| found.resource) else {
            // The same words as for one that he may not see.
            return if by.may(Act::Write.word(), &[TARGET, &draft.id]) {
                Ok(None)
            } else {
                Err(denied(by, Act::Write.word(), &draft.id))
            };
        };
        if !allowed(by, &now, Act::Write) {
            return Err(denied(by, Act::Write.word(), &draft.id));
        }
        if now.version != draft.version {
            return Err(conflict(&draft.id, now.version, draft.version));
        }
        if now.permissions != draft.permissions {
            may_share(by, &now)?;
        }
        Ok(Some(now.owner))
    }
}

/// Whether he may do this: what he is permitted, whose it is, or its own list; where no grant denies
/// it.
fn allowed(by: &Principal, resource: &Resource, act: Act) -> bool {
    let own = |who: &Identity| resource.lets(who, act);
    by.may_or(act.word(), &[TARGET, &resource.id], own)
}

/// Whether he may know that it is there.
fn sees(by: &Principal, resource: &Resource) -> bool {
    allowed(by, resource, Act::Read)
        || allowed(by, resource, Act::Write)
        || by.may("list", &[TARGET, &resource.id])
}

/// That he may say who else may read and write it.
fn may_share(by: &Principal, resource: &Resource) -> Result<(), Error> {
    let own = |who: &Identity| resource.owner == *who;
    if by.may_or("admin", &[TARGET, &resource.id], own) {
        return Ok(());
    }
    Err(denied(by, "admin", &resource.id))
}

fn denied(by: &Principal, action: &str, id: &str) -> Error {
    let needs = format!("{action}:{TARGET}{id}");
    let said = format!(
        "`{}` may not do this: it needs the permission `{needs}`",
        by.identity
    );
    Error::new(Kind::AccessDenied, said).with("needs", needs)
}
