//! The tools about which tools are approved.

use super::{
    Desk, Outcome,
    shapes::{Approvable, ApprovalPage, ApprovalState, ToolApprove, ToolList, ToolsApproved},
};
use crate::{
    call::Principal,
    control::tokens::invalid,
    error::{Error, Kind},
    name::ServerName,
    registry::approval::{Digested, Record, ToolCheck, ToolTell, ToolTold, Version},
};

/// Bytes of all words in one answer; what does not fit any more comes without.
const WORDS_MAX: usize = 256 * 1024;

impl Desk {
    pub(super) async fn tool_check(
        &self,
        by: &Principal,
        asked: ToolCheck,
    ) -> Result<Outcome, Error> {
        let server = served(by, &asked.server)?;
        let checked = self.approvals.check(&server, &asked).await?;
        Ok(Outcome::new(&checked))
    }

    pub(super) async fn tool_tell(&self, by: &Principal, told: ToolTell) -> Result<Outcome, Error> {
        let server = served(by, &told.server)?;
        let kept = self.approvals.keep(&server, &told.definitions).await?;
        Ok(Outcome::new(&ToolTold { kept }))
    }

    /// All tools of one server, or those that wait of all.
    pub(super) async fn tool_list(
        &self,
        by: &Principal,
        asked: ToolList,
    ) -> Result<Outcome, Error> {
        let may = |server: &str| by.might(&["admin"], &format!("tools/{server}/"));
        let mut tools = Vec::new();
        let mut room = WORDS_MAX;
        if let Some(server) = asked.server {
            if !may(&server) {
                return Err(denied(&server, "*"));
            }
            let server = named(&server)?;
            let record = self.approvals.record(&server).await?;
            let record = record.ok_or_else(|| {
                let said = format!("argument `server`: no tools of `{server}` are on record");
                invalid(said)
            })?;
            self.list((&server, &record), |_| true, &mut room, &mut tools)
                .await;
        } else {
            let servers = self.registry.servers();
            let names: Vec<ServerName> = servers.borrow().names().cloned().collect();
            for server in names.iter().filter(|server| may(server.as_str())) {
                if let Some(record) = self.approvals.record(server).await? {
                    let waits = |state| state != ApprovalState::Approved;
                    self.list((server, &record), waits, &mut room, &mut tools)
                        .await;
                }
            }
        }
        Ok(Outcome::new(&ApprovalPage { tools }))
    }

    async fn list(
        &self,
        (server, record): (&ServerName, &Record),
        wanted: impl Fn(ApprovalState) -> bool,
        room: &mut usize,
        tools: &mut Vec<Approvable>,
    ) {
        for (name, entry) in &record.tools {
            let last = entry.approved.last();
            let state = match (&entry.waiting, last) {
                (None, _) => ApprovalState::Approved,
                (Some(_), None) => ApprovalState::New,
                (Some(_), Some(_)) => ApprovalState::Changed,
            };
            let Some(shown) = entry.waiting.as_ref().or(last) else {
                continue;
            };
            if !wanted(state) {
                continue;
            }
            let (mut definition, mut approved) = (None, None);
            if state != ApprovalState::Approved {
                definition = self.words(server, Some(shown), room).await;
                approved = self.words(server, last, room).await;
            }
            tools.push(Approvable {
                server: server.to_string(),
                name: name.clone(),
                state,
                digest: shown.digest.clone(),
                since: shown.at,
                approved_digest: last.map(|version| version.digest.clone()),
                approved_by: last.and_then(|version| version.by.clone()),
                approved_at: last.map(|version| version.at),
                definition,
                approved_definition: approved,
            });
        }
    }

    async fn words(
        &self,
        server: &ServerName,
        version: Option<&Version>,
        room: &mut usize,
    ) -> Option<String> {
        let version = version.filter(|version| (1..=*room).contains(&version.bytes))?;
        let words = self.approvals.words(server, &version.digest).await?;
        *room = room.saturating_sub(words.len());
        Some(words)
    }

    pub(super) async fn tool_approve(
        &self,
        by: &Principal,
        asked: ToolApprove,
    ) -> Result<Outcome, Error> {
        let server = named(&asked.server)?;
        let may = |tool: &Digested| by.may("admin", &["tools/", server.as_str(), "/", &tool.name]);
        if let Some(tool) = asked.tools.iter().find(|tool| !may(tool)) {
            return Err(denied(server.as_str(), &tool.name));
        }
        self.approvals
            .approve(&server, &asked.tools, &by.identity)
            .await?;
        Ok(Outcome::new(&ToolsApproved {
            server: server.to_string(),
            tools: asked.tools.into_iter().map(|tool| tool.name).collect(),
        }))
    }
}

fn named(server: &str) -> Result<ServerName, Error> {
    ServerName::new(server).map_err(|error| invalid(format!("argument `server`: {error}")))
}

/// The server, where the caller serves it.
fn served(by: &Principal, server: &str) -> Result<ServerName, Error> {
    let name = named(server)?;
    if by.may("serve", &["tools/", name.as_str(), "/"]) {
        return Ok(name);
    }
    let needs = format!("serve:tools/{server}/*");
    let said = format!("what `{server}` has, who serves it says: it needs `{needs}`");
    Err(Error::new(Kind::AccessDenied, said).with("needs", needs))
}

fn denied(server: &str, tool: &str) -> Error {
    let needs = format!("admin:tools/{server}/{tool}");
    let said = format!("to look after the tools of a server needs the permission `{needs}`");
    Error::new(Kind::AccessDenied, said).with("needs", needs)
}
