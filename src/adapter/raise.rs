//! Raising: what differs between the mesh, which speaks 2026-07-28, and a server of any era.
//!
//! Pure, and by splicing: a request loses what its server could not know, an answer gains what
//! its era did not have, and all else stays to the byte. This module and the gateway's sessions
//! are the only places that know eras. [`added`] lists what an answer gains, for the tests that
//! compare it with the direct one.

mod discover;
mod request;
mod result;

pub(super) use self::result::raise;
pub use self::{discover::answered_here, request::lower};

use crate::{
    error::{Error, Kind, Origin},
    mcp::{Method, version::Era},
};

/// Which results gain a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Every result.
    Every,
    /// Results of the methods of [`Method::is_cacheable`].
    Cacheable,
}

/// A member that results gain where they do not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Which results.
    pub to: Where,
    /// Its place below `result`, one name a step.
    pub path: &'static [&'static str],
    /// Its value as JSON; `None` where it is what the server said in its handshake.
    pub value: Option<&'static str>,
    /// Where the specification (2026-07-28) asks for it.
    pub section: &'static str,
}

const RESULT_TYPE: Added = Added {
    to: Where::Every,
    path: &["resultType"],
    value: Some(r#""complete""#),
    section: "basic, Responses: `resultType` is required; absent from an older server it means `complete`",
};
const TTL_MS: Added = Added {
    to: Where::Cacheable,
    path: &["ttlMs"],
    value: Some("0"),
    section: "server/utilities/caching, Cacheable Results: required; 0 is stale at once",
};
const CACHE_SCOPE: Added = Added {
    to: Where::Cacheable,
    path: &["cacheScope"],
    value: Some(r#""private""#),
    section: "server/utilities/caching, Cacheable Results: required; `private` promises nothing to others",
};
const SERVER_INFO: Added = Added {
    to: Where::Every,
    path: &["_meta", crate::mcp::version::META_SERVER_INFO],
    value: None,
    section: "basic, General fields, `_meta`: every result SHOULD carry `serverInfo`",
};

/// What results of servers of an era gain, in the order that it is spliced in.
#[must_use]
pub const fn added(era: Era) -> &'static [Added] {
    match era {
        Era::Modern => &[],
        Era::Legacy => &[RESULT_TYPE, TTL_MS, CACHE_SCOPE, SERVER_INFO],
    }
}

/// Why a request is not handed to a server of this era, where it is not.
#[must_use]
pub fn refusal(method: &Method, era: Era) -> Option<Error> {
    let instead = match (method.as_str(), era) {
        // Removed by 2026-07-28 (changelog, Major changes): the mesh speaks that one.
        ("initialize", _) => {
            "the mesh speaks 2026-07-28, which has no handshake: ask `server/discover`"
        }
        ("logging/setLevel", _) => {
            "put `io.modelcontextprotocol/logLevel` into the `_meta` of the request instead"
        }
        ("resources/subscribe" | "resources/unsubscribe", _) => {
            "2026-07-28 has no subscriptions of one connection; read the resource again instead"
        }
        ("tasks/list" | "tasks/result", _) => "2026-07-28 has `tasks/get` instead",
        // A stream without an end is no call; list changes are told by the mesh itself.
        ("subscriptions/listen", _) => "changes of a server are told on its notification subjects",
        // SEP-2663 tasks are not those of 2025-11-25, and cannot be made of them.
        (tasks, Era::Legacy) if tasks.starts_with("tasks/") => {
            "this server is older than the tasks of 2026-07-28: call the tool without one"
        }
        _ => return None,
    };
    Some(
        Error::new(
            Kind::MethodNotFound,
            format!("`{method}` is not carried: {instead}"),
        )
        .origin(Origin::Adapter),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Started;

    #[test]
    fn what_is_refused_was_not_started() {
        let refused = |method: &str, era| refusal(&Method::new(method).expect("a method"), era);
        for method in [
            "initialize",
            "logging/setLevel",
            "resources/subscribe",
            "resources/unsubscribe",
            "subscriptions/listen",
            "tasks/list",
        ] {
            for era in [Era::Modern, Era::Legacy] {
                let error = refused(method, era).expect(method);
                assert_eq!(error.kind(), Kind::MethodNotFound);
                assert_eq!(error.has_started(), Started::No);
            }
        }
        assert!(refused("tasks/get", Era::Legacy).is_some());
        assert!(refused("tasks/get", Era::Modern).is_none());
        assert!(refused("tools/call", Era::Legacy).is_none());
    }
}
