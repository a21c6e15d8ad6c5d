//! Arguments and results of the tools. Their JSON Schemas are made from these types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::{Claims, Role},
    control::{grants::Kept, tokens::Record},
    event::From,
    registry::{Entry, ToolDigest, approval::Digested},
};

/// Whose tools.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolList {
    /// A server: all of its tools. Where nothing is said, those of all servers that wait.
    pub server: Option<String>,
}

/// Tools with what is approved of them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ApprovalPage {
    /// The tools.
    pub tools: Vec<Approvable>,
}

/// A tool, and what is approved of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approvable {
    /// The server.
    pub server: String,
    /// The tool.
    pub name: String,
    /// Whether it is what was approved.
    pub state: ApprovalState,
    /// What it says of itself now: SHA-256, hex.
    pub digest: String,
    /// Since when it waits, or is approved: seconds since 1970.
    pub since: u64,
    /// What was approved last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_digest: Option<String>,
    /// Who approved that; the server itself where it was the first that was seen of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// When, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<u64>,
    /// What it says of itself now, as canonical JSON, where it waits and that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// What it said when it was approved last, where it waits and that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_definition: Option<String>,
}

/// Whether a tool is what was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalState {
    /// It is.
    Approved,
    /// It says something else of itself.
    Changed,
    /// Nothing of it was ever approved.
    New,
}

/// What is approved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolApprove {
    /// The server.
    pub server: String,
    /// Tools, each with the digest of what was looked at: another one is refused. All or none.
    #[schemars(length(min = 1, max = 2000))]
    pub tools: Vec<Digested>,
}

/// What was approved.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ToolsApproved {
    /// The server.
    pub server: String,
    /// The tools.
    pub tools: Vec<String>,
}

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What the new token shall be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenIssue {
    /// Whose it is: 1 to 63 of A-Z, a-z, 0-9, _ and -.
    pub name: String,
    /// What it permits, each `action:target`, for example `call:tools/time/*`.
    pub permissions: Vec<String>,
    /// What he is to the broker; where nothing is said, it follows from the permissions.
    pub role: Option<Role>,
    /// How long it lives, seconds; where nothing is said, 24 h.
    pub ttl_seconds: Option<u64>,
    /// Whether its holder may have it renewed before it ends; where nothing is said, servers and
    /// gateways may.
    pub renewable: Option<bool>,
}

/// The new token.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenIssued {
    /// The connect token. It is kept nowhere: this is the only time that it is shown.
    pub token: String,
    /// What is known of it.
    pub about: About,
}

/// Which tokens: one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRevoke {
    /// The id of one connect token.
    pub jti: Option<String>,
    /// An identity: all of its tokens.
    pub name: Option<String>,
}

/// What was revoked.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokensRevoked {
    /// The tokens.
    pub tokens: Vec<About>,
    /// How many connections were cut; nothing where the broker could not be asked.
    pub connections_cut: Option<usize>,
}

/// Which tokens to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenList {
    /// An identity: only its tokens.
    pub name: Option<String>,
    /// Those that have expired or were revoked as well.
    #[serde(default)]
    pub all: bool,
    /// Only tokens behind this one: `next` of the page before.
    pub after: Option<String>,
}

/// A page of tokens, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenPage {
    /// The tokens.
    pub tokens: Vec<About>,
    /// Where the next page begins, where there is one.
    pub next: Option<String>,
}

/// Which token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenInspect {
    /// The id of a connect token.
    pub jti: String,
}

/// What is known of a token. Never the token itself.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Its id.
    pub jti: String,
    /// Whose it is.
    pub sub: String,
    /// What he is to the broker.
    pub role: Role,
    /// What it permits.
    pub permissions: Vec<String>,
    /// When it was issued, seconds since 1970.
    pub iat: u64,
    /// Until when it holds, seconds since 1970.
    pub exp: u64,
    /// When it was revoked, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
}

impl About {
    pub(super) fn record(jti: impl ToString, record: &Record) -> Self {
        Self {
            jti: jti.to_string(),
            sub: record.sub.to_string(),
            role: record.role,
            permissions: record.permissions.clone(),
            iat: record.iat,
            exp: record.exp,
            revoked_at: record.revoked_at,
        }
    }

    pub(super) fn claims(claims: &Claims) -> Self {
        Self {
            jti: claims.jti.to_string(),
            sub: claims.sub.to_string(),
            role: claims.role,
            permissions: claims.permissions.clone(),
            iat: claims.iat,
            exp: claims.exp,
            revoked_at: None,
        }
    }
}

/// A watch that was opened.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustOpened {
    /// How long it lives; open it again before that.
    pub lease_seconds: u64,
    /// The number of the snapshot that was sent at once.
    pub number: u64,
}

/// A watch that was opened.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WatchOpened {
    /// How long it lives; open it again before that.
    pub lease_seconds: u64,
}

/// All servers that the caller may see.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerPage {
    /// The servers, by name.
    pub servers: Vec<Entry>,
}

/// Which server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerGet {
    /// Its name.
    pub server: String,
}

/// One server and its tools.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerFound {
    /// The server.
    #[serde(flatten)]
    pub entry: Entry,
    /// Its tools; empty where there are too many for a heartbeat: `tools/list` of the server
    /// has them.
    pub tool_digests: Vec<ToolDigest>,
}

/// Who, and what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessCheck {
    /// An identity; where nothing is said, the caller. Another needs `admin:mesh/tokens`.
    pub who: Option<String>,
    /// One thing, `action:target` without patterns: `call:tools/time/convert_time`.
    pub permission: String,
}

/// Whether somebody may do something, and why.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessChecked {
    /// Who.
    pub who: String,
    /// What.
    pub permission: String,
    /// Whether one of his tokens permits it.
    pub allowed: bool,
    /// What each of his tokens says. Empty where he has none that holds.
    pub tokens: Vec<TokenVerdict>,
}

/// What one token says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenVerdict {
    /// The token.
    pub jti: String,
    /// Whether it permits it.
    pub allowed: bool,
    /// The permission of the token that permits it, where no grant decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Why, in words: what an adapter decides. A condition on arguments is taken as if it held.
    pub reason: String,
    /// The subject that it would be published to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether the broker lets it pass. Its lists may be wider than the permissions, never
    /// narrower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_allows: Option<bool>,
}

/// Arguments of `audit_open`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditOpen {
    /// The `{n}` of `weft.v1.dlv.{caller}.{n}`: 26 to 32 of `a-z 2-7`, at least 128 random bits,
    /// told to nobody else. Subscribe to it first.
    pub deliver: String,
    /// Where to begin.
    #[serde(default)]
    pub from: From,
}

/// Arguments of `grant_add`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantAdd {
    /// Whom it is for: a name, `prefix*`, or `*` for everybody.
    pub who: String,
    /// What it permits or denies, `action:target`.
    pub permission: String,
    /// Whether it denies. What denies wins.
    #[serde(default)]
    pub deny: bool,
    /// When it counts: CEL over caller, action, target, server, tool, arguments, time, claims.
    #[serde(default, rename = "if")]
    pub condition: Option<String>,
}

/// The result of `grant_add`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantAdded {
    /// The grant; one that said the same was there already.
    #[serde(flatten)]
    pub kept: Kept,
    /// Connections that lost something by it and were cut; they come back with less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_cut: Option<usize>,
}

/// Arguments of `grant_remove`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRemove {
    /// Its id.
    pub id: String,
}

/// The result of `grant_remove`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantRemoved {
    /// The grant that was removed.
    #[serde(flatten)]
    pub kept: Kept,
    /// Connections that lost something by it and were cut; they come back with less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_cut: Option<usize>,
}

/// Arguments of `grant_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantList {
    /// Those about this identity alone.
    #[serde(default)]
    pub who: Option<String>,
}

/// The result of `grant_list`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GrantPage {
    /// The grants, oldest first.
    pub grants: Vec<Kept>,
}
