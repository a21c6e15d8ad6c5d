//! The tools about tokens, trust, servers and grants.

use super::*;
use crate::access::exchange::{Delegate, Delegated, Deliver, Exchange, Exchanged, Vouch, Vouched};
use crate::event::Opened;
use crate::registry::approval::{ToolCheck, ToolTell, ToolTold, ToolsChecked};
use shapes as s;

pub(super) fn definitions() -> Vec<ToolDefinition> {
    let mut all = of_tokens();
    all.extend(of_servers());
    all.extend(of_grants());
    all.extend(of_approvals());
    all.push(of_audit());
    all
}

fn of_approvals() -> Vec<ToolDefinition> {
    vec![
        define::<ToolCheck, ToolsChecked>(
            TOOL_CHECK,
            "Check a server's tools",
            "Says which of all tools that a server has now are not what was approved. What is seen first of a server is approved. Needs serve:tools/{server}/*.",
            false,
        ),
        define::<ToolTell, ToolTold>(
            TOOL_TELL,
            "Tell what tools say",
            "Keeps what tools say of themselves for who is to approve them: 32 KiB of each, 2 MiB of a server. Needs serve:tools/{server}/*.",
            false,
        ),
        define::<s::ToolList, s::ApprovalPage>(
            TOOL_LIST,
            "List approvals",
            "Lists the tools that wait to be approved, or all of one server, of servers where the caller may approve any: admin:tools/{server}/….",
            true,
        ),
        define::<s::ToolApprove, s::ToolsApproved>(
            TOOL_APPROVE,
            "Approve tools",
            "Approves tools as they were looked at, each by its digest, all or none. Adapters that keep them in quarantine let them go within 5 s. Needs admin:tools/{server}/{tool} for each.",
            false,
        ),
    ]
}

fn of_audit() -> ToolDefinition {
    define::<s::AuditOpen, Opened>(
        AUDIT_OPEN,
        "Read the audit trail",
        "Has the stream WEFT_AUDIT push its messages to weft.v1.dlv.{caller}.{deliver}, from where the caller says. Needs read:mesh/audit.",
        true,
    )
}

fn of_tokens() -> Vec<ToolDefinition> {
    vec![
        define::<Exchange, Exchanged>(
            TOKEN_EXCHANGE,
            "Get a call token",
            "Gives a call token (15 minutes) to who proves that he holds a connect token. Needs no call token.",
            true,
        ),
        define::<Vouch, Vouched>(
            TOKEN_VOUCH,
            "Vouch for somebody from outside",
            "Gives the gateway, and nobody else, a call token of somebody whom an outside issuer vouched for: under a name that begins with ext-, with nothing that the gateway's own token does not permit.",
            false,
        ),
        define::<Delegate, Delegated>(
            TOKEN_DELEGATE,
            "Act for a caller",
            "Gives a call token with which the caller acts for whoever called him, as far as both may (RFC 8693): for the call token that came with that call. Four act for one at most.",
            false,
        ),
        define::<s::Nothing, s::TokenIssued>(
            TOKEN_RENEW,
            "Renew your token",
            "Gives a new connect token like the caller's own, where that was issued to be renewed. Revoking one of them revokes all.",
            false,
        ),
        define::<s::TokenIssue, s::TokenIssued>(
            TOKEN_ISSUE,
            "Issue a token",
            "Issues a connect token with these permissions. It is shown once. Needs admin:mesh/tokens.",
            false,
        ),
        define::<s::TokenRevoke, s::TokensRevoked>(
            TOKEN_REVOKE,
            "Revoke tokens",
            "Revokes one token, or all of an identity: its connections are cut, its calls refused within a second. Needs admin:mesh/tokens.",
            false,
        ),
        define::<s::TokenList, s::TokenPage>(
            TOKEN_LIST,
            "List tokens",
            "Lists connect tokens, oldest first, never the tokens themselves. Needs admin:mesh/tokens.",
            true,
        ),
        define::<s::TokenInspect, s::About>(
            TOKEN_INSPECT,
            "Show a token",
            "Shows whose a token is, what it permits, until when, and whether it was revoked. Needs admin:mesh/tokens.",
            true,
        ),
        define::<Deliver, s::TrustOpened>(
            TRUST_OPEN,
            "Watch trust",
            "Sends signed snapshots of keys and revocations to weft.v1.dlv.{caller}.{deliver}: at once, at each change, every 5 s. Needs no call token.",
            true,
        ),
    ]
}

fn of_servers() -> Vec<ToolDefinition> {
    vec![
        define::<s::Nothing, s::ServerPage>(
            SERVER_LIST,
            "List servers",
            "Lists the servers that the caller's permissions touch, with their state and instances.",
            true,
        ),
        define::<Deliver, s::WatchOpened>(
            SERVER_WATCH,
            "Watch the servers",
            "Says on weft.v1.dlv.{caller}.{deliver} that the servers changed: at once, at each change, and every 5 s. It says no more: server_list has the rest.",
            true,
        ),
        define::<s::ServerGet, s::ServerFound>(
            SERVER_GET,
            "Show a server",
            "Shows one server: state, instances, tools.",
            true,
        ),
        define::<s::AccessCheck, s::AccessChecked>(
            ACCESS_CHECK,
            "Check access",
            "Says whether an identity may do one thing, which permission decides, and whether the broker lets it pass.",
            true,
        ),
    ]
}

fn of_grants() -> Vec<ToolDefinition> {
    vec![
        define::<s::GrantAdd, s::GrantAdded>(
            GRANT_ADD,
            "Grant or deny",
            "Permits something beside what tokens say, or denies it, from now on; with a condition, only where that holds. What denies wins. Needs admin:mesh/grants.",
            false,
        ),
        define::<s::GrantRemove, s::GrantRemoved>(
            GRANT_REMOVE,
            "Remove a grant",
            "Removes what was granted or denied. Needs admin:mesh/grants.",
            false,
        ),
        define::<s::GrantList, s::GrantPage>(
            GRANT_LIST,
            "List grants",
            "Lists what is granted and denied beside tokens, all of it or what is about one identity. Needs admin:mesh/grants.",
            true,
        ),
    ]
}
