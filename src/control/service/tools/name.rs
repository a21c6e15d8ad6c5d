//! The names of `weft`'s tools.

/// Gives a call token for the proof of a connect token.
pub const TOKEN_EXCHANGE: &str = "token_exchange";
pub use crate::access::exchange::TOKEN_VOUCH;

/// Has the audit trail pushed to a reader.
pub const AUDIT_OPEN: &str = "audit_open";
/// Gives a new connect token for one that ends soon.
pub const TOKEN_RENEW: &str = "token_renew";
/// Gives a call token with which a server acts for who called it.
pub const TOKEN_DELEGATE: &str = "token_delegate";
/// Issues a connect token.
pub const TOKEN_ISSUE: &str = "token_issue";
/// Revokes connect tokens.
pub const TOKEN_REVOKE: &str = "token_revoke";
/// Lists connect tokens.
pub const TOKEN_LIST: &str = "token_list";
/// Shows one connect token.
pub const TOKEN_INSPECT: &str = "token_inspect";
/// Opens a watch on trust snapshots.
pub const TRUST_OPEN: &str = "trust_open";
/// Tells whenever the servers changed.
pub const SERVER_WATCH: &str = "server_watch";
/// Says which domains and types of events are declared.
pub const EVENT_TYPES: &str = "event_types";
/// Has a stream push its events to a reader.
pub const EVENT_OPEN: &str = "event_open";
/// Opens a durable subscription.
pub const CONSUMER_OPEN: &str = "consumer_open";
/// Lists durable subscriptions.
pub const CONSUMER_LIST: &str = "consumer_list";
/// Removes a durable subscription.
pub const CONSUMER_REMOVE: &str = "consumer_remove";
/// Looks for events that no client can read.
pub const CONSUMER_MEND: &str = "consumer_mend";
/// Lists dead letters.
pub const DLQ_LIST: &str = "dlq_list";
/// Shows a dead letter with its event.
pub const DLQ_SHOW: &str = "dlq_show";
/// Delivers the events of dead letters once more.
pub const DLQ_REDRIVE: &str = "dlq_redrive";
/// Drops dead letters.
pub const DLQ_DROP: &str = "dlq_drop";
/// Delivers events to one durable once more.
pub const REPLAY_DELIVER: &str = "replay_deliver";
/// Asks which of a server's tools are approved.
pub const TOOL_CHECK: &str = "tool_check";
/// Tells what tools say of themselves.
pub const TOOL_TELL: &str = "tool_tell";
/// Lists tools with what is approved of them.
pub const TOOL_LIST: &str = "tool_list";
/// Approves tools.
pub const TOOL_APPROVE: &str = "tool_approve";
/// Lists servers.
pub const SERVER_LIST: &str = "server_list";
/// Shows one server.
pub const SERVER_GET: &str = "server_get";
/// Registers a resource whose content fits into the call.
pub const RESOURCE_REGISTER: &str = "resource_register";
/// Begins to register a resource in parts.
pub const RESOURCE_BEGIN: &str = "resource_begin";
/// Stores a part of it.
pub const RESOURCE_APPEND: &str = "resource_append";
/// Ends that: the resource is there.
pub const RESOURCE_COMMIT: &str = "resource_commit";
/// Changes all of a resource but its content.
pub const RESOURCE_UPDATE: &str = "resource_update";
/// Reads a part of a resource's content.
pub const RESOURCE_READ: &str = "resource_read";
/// Lists resources.
pub const RESOURCE_LIST: &str = "resource_list";
/// Removes a resource.
pub const RESOURCE_REMOVE: &str = "resource_remove";
/// Says whether somebody may do something.
pub const ACCESS_CHECK: &str = "access_check";
/// Permits or denies something at run time.
pub const GRANT_ADD: &str = "grant_add";
/// Removes a grant.
pub const GRANT_REMOVE: &str = "grant_remove";
/// Lists grants.
pub const GRANT_LIST: &str = "grant_list";
