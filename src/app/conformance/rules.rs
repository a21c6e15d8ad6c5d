//! What is checked: one sentence each, and the section of the document that says so.

use schemars::JsonSchema;
use serde::Serialize;

/// What a check belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Requests and answers.
    Envelope,
    /// The `Weft` header and the call's time.
    Header,
    /// What an error says.
    Errors,
    /// Who may call.
    Auth,
    /// What is said before the answer.
    Frames,
    /// Calls that are given up.
    Cancel,
    /// `$SRV`.
    Service,
    /// Heartbeats.
    Health,
}

impl Group {
    /// As it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Header => "header",
            Self::Errors => "errors",
            Self::Auth => "auth",
            Self::Frames => "frames",
            Self::Cancel => "cancel",
            Self::Service => "service",
            Self::Health => "health",
        }
    }
}

/// One rule of the document.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it belongs to.
    pub group: Group,
    /// Its name.
    pub name: &'static str,
    /// The section of docs/protocol.md.
    pub section: &'static str,
    /// What it asks for.
    pub sentence: &'static str,
}

/// Declares the rules, and the list of them.
macro_rules! rules {
    ($($constant:ident: $group:ident $name:literal, $section:literal, $sentence:literal;)*) => {
        $(pub(super) const $constant: Rule = Rule {
            group: Group::$group,
            name: $name,
            section: $section,
            sentence: $sentence,
        };)*

        /// Every rule, in the order of the report.
        #[must_use]
        pub fn all() -> Vec<Rule> {
            vec![$($constant),*]
        }
    };
}

rules! {
    DISCOVER: Envelope "discover", "A server in plain NATS",
        "`server/discover` is answered with a result that names the revisions it speaks";
    TOOLS_LIST: Envelope "tools-list", "A server in plain NATS",
        "`tools/list` is answered with a result whose `tools` each have a name";
    SHAPE: Envelope "response", "A call",
        "the terminal is a JSON-RPC 2.0 response: one of `result` and `error`, no `Weft-Frame`";
    ID_STRING: Envelope "id-string", "A call", "an id comes back as it was spelt: a string";
    ID_NUMBER: Envelope "id-number", "A call", "an id comes back as it was spelt: an integer";
    ID_UNICODE: Envelope "id-unicode", "A call",
        "an id comes back as it was spelt: characters beyond ASCII, quotes, backslashes";
    ONE_END: Envelope "one-terminal", "A call", "nothing follows the terminal";
    NO_METHOD: Envelope "unknown-method", "Errors", "an unknown method is METHOD_NOT_FOUND (-32601)";
    BAD_PARAMS: Envelope "bad-params", "What a server checks, in order",
        "`params` that are no object are INVALID_REQUEST (-32600) or INVALID_PARAMS (-32602)";
    NO_JSON: Envelope "not-json", "What a server checks, in order",
        "a body that is not JSON is PARSE_ERROR (-32700), with the id null";
    NO_ID: Envelope "no-id", "What a server checks, in order",
        "a request without an id is INVALID_REQUEST (-32600)";
    BATCH: Envelope "batch", "A call", "an array of requests is INVALID_REQUEST (-32600)";
    MISMATCH: Envelope "subject-and-body", "What a server checks, in order",
        "a body that asks for something else than the subject is INVALID_REQUEST (-32600)";
    FOREIGN_REPLY: Envelope "foreign-reply", "A call",
        "a request whose reply subject is none of a call is dropped without an answer";
    NO_REPLY: Envelope "no-reply", "A call",
        "a request without a reply subject is dropped, and the next one is answered";
    LATER_FIELD: Header "unknown-field", "The `Weft` header", "an unknown field is passed over";
    OTHER_VERSION: Header "unknown-version", "The `Weft` header",
        "an unknown version is INVALID_REQUEST (-32600)";
    BROKEN_FIELD: Header "broken-value", "The `Weft` header",
        "a known field with a broken value is INVALID_REQUEST (-32600)";
    BAD_CORRELATION: Header "correlation", "What a server checks, in order",
        "a `corr` that is no correlation id is INVALID_REQUEST (-32600)";
    EXPIRED: Header "expired", "Time", "an expired request is TIMEOUT (-32005)";
    FUTURE: Header "future", "Time",
        "a call id that lies ahead of the clock is INVALID_REQUEST (-32600)";
    DATA: Errors "data", "Errors", "`error.data` has every member that the table asks for";
    STARTED: Errors "started", "Errors", "a refusal says `started: no`";
    SERVICE_HEADERS: Errors "headers", "Errors",
        "an error has `Nats-Service-Error-Code`, the code, and `Nats-Service-Error`, its sentence";
    ERROR_ID: Errors "id", "Errors", "an error has the id of the request";
    DERIVED: Errors "request-id", "Correlation and trace context",
        "`context.requestId` is the id derived from the call id where no `corr` was sent";
    GIVEN: Errors "request-id-given", "Correlation and trace context",
        "`context.requestId` is the `corr` that was sent";
    MISSING: Auth "no-token", "What a server checks, in order",
        "a call without a token is AUTHENTICATION_FAILED (TOKEN_MISSING)";
    GARBAGE: Auth "garbage", "What a server checks, in order",
        "a token that is none is AUTHENTICATION_FAILED (TOKEN_INVALID)";
    FORGED: Auth "forged", "Tokens for access",
        "a token whose signature does not fit is AUTHENTICATION_FAILED (TOKEN_INVALID)";
    UNSIGNED_PAST: Auth "expired-looking", "Tokens for access",
        "an old token signed by nobody is AUTHENTICATION_FAILED (TOKEN_INVALID or TOKEN_EXPIRED)";
    UNKNOWN_REFERENCE: Auth "unknown-reference", "References",
        "a reference to a token that was never seen is AUTHENTICATION_FAILED (TOKEN_UNKNOWN)";
    BEARER_COUNTS: Auth "bearer-counts", "References",
        "where a reference and a bearer stand in a message the bearer counts";
    CONNECT_TOKEN: Auth "connect-token", "Tokens for access",
        "a connect token in a message is AUTHENTICATION_FAILED (TOKEN_WRONG_AUDIENCE)";
    WRONG_CALLER: Auth "wrong-caller", "What a server checks, in order",
        "another one's call token is AUTHENTICATION_FAILED (TOKEN_WRONG_CALLER)";
    NOT_PERMITTED: Auth "not-permitted", "Permissions",
        "a call that the token's permissions do not cover is ACCESS_DENIED (-32004)";
    ACK: Frames "ack", "Frames",
        "a call that has not ended after 50 ms is acknowledged, with the instance";
    NUMBERS: Frames "numbers", "Frames", "`msg` frames are numbered from 1, each higher than the last";
    NOTIFICATIONS: Frames "notifications", "Frames",
        "the body of a `msg` frame is a JSON-RPC notification, and progress has the caller's token";
    COUNT: Frames "count", "Frames", "the terminal's `frames` says how many `msg` frames went before";
    UNASKED: Frames "unasked", "Frames", "no `msg` frame comes to a caller that did not ask for any";
    KEEP_ALIVE: Frames "keep-alive", "Frames", "a call that runs on says `ka` every 15 s";
    PARTS: Frames "parts", "Large bodies",
        "a large answer comes in numbered parts, with the digest of the whole in the terminal";
    CANCELLED: Cancel "cancel", "Cancelling", "a cancelled call gets no terminal, and says no more";
    STRANGERS_CANCEL: Cancel "anothers-cancel", "Cancelling",
        "a cancel by another caller ends nothing";
    UNKNOWN_CANCEL: Cancel "unknown-cancel", "Cancelling", "a cancel of no call does no harm";
    PING: Service "ping", "Heartbeats", "`$SRV.PING.{server}` is answered as NATS micro services do";
    INFO: Service "info", "Heartbeats",
        "`$SRV.INFO.{server}` has an endpoint for each tool, with its true name and digest";
    STATS: Service "stats", "Heartbeats", "`$SRV.STATS.{server}` has the counts of each endpoint";
    ONE_INSTANCE: Service "instance", "Heartbeats",
        "`$SRV.PING.{server}.{instance}` is answered by that instance alone";
    ELSEWHERE: Service "elsewhere", "Heartbeats", "`$SRV` is answered below `weft.v1.srv.` only";
    REGISTERED: Health "heartbeat", "Heartbeats", "its heartbeats say that it is healthy";
    TOOL_COUNT: Health "tools", "Heartbeats",
        "its heartbeats count as many tools as `tools/list` has";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_section_is_one_of_the_document() {
        let document = include_str!("../../../docs/protocol.md");
        let headings: BTreeSet<&str> = document
            .lines()
            .filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()))
            .collect();
        for rule in all() {
            assert!(headings.contains(rule.section), "{}", rule.section);
        }
    }

    #[test]
    fn names_are_told_apart() {
        let rules = all();
        let names: BTreeSet<_> = rules
            .iter()
            .map(|rule| (rule.group.as_str(), rule.name))
            .collect();
        assert_eq!(names.len(), rules.len());
    }
}
