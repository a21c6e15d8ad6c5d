//! Methods: the names the mesh routes by, and what it knows of some of them.

use std::{borrow::Cow, fmt};

/// A method of MCP, or of an extension: 1 to 96 characters of `A-Z a-z 0-9 _ - /`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Method(Cow<'static, str>);

/// A method that can't stand in a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no method: 1 to 96 of A-Z, a-z, 0-9, _, - and /, no empty part")]
pub struct MethodError(String);

impl Method {
    /// Calls a tool; `params.name` is its name.
    pub const TOOLS_CALL: Self = Self(Cow::Borrowed("tools/call"));
    /// Lists a server's tools.
    pub const TOOLS_LIST: Self = Self(Cow::Borrowed("tools/list"));
    /// What a server is and can do (2026-07-28).
    pub const DISCOVER: Self = Self(Cow::Borrowed("server/discover"));
    /// Gets a prompt; `params.name` is its name.
    pub const PROMPTS_GET: Self = Self(Cow::Borrowed("prompts/get"));
    /// Reads a resource; `params.uri` is its URI.
    pub const RESOURCES_READ: Self = Self(Cow::Borrowed("resources/read"));
    /// Opens a session (until 2025-11-25).
    pub const INITIALIZE: Self = Self(Cow::Borrowed("initialize"));
    /// Asks whether the other end lives (until 2025-11-25).
    pub const PING: Self = Self(Cow::Borrowed("ping"));
    /// Follows changes of a server (2026-07-28).
    pub const LISTEN: Self = Self(Cow::Borrowed("subscriptions/listen"));

    /// Checks and takes a method.
    ///
    /// # Errors
    /// [`MethodError`] where it could not stand in a subject.
    pub fn new(method: &str) -> Result<Self, MethodError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let part = |part: &str| !part.is_empty() && part.bytes().all(plain);
        if (1..=96).contains(&method.len()) && method.split('/').all(part) {
            Ok(Self::known(method).unwrap_or_else(|| Self(Cow::Owned(method.to_owned()))))
        } else {
            Err(MethodError(method.chars().take(96).collect()))
        }
    }

    /// The methods of every call, without an allocation.
    fn known(method: &str) -> Option<Self> {
        [
            Self::TOOLS_CALL,
            Self::TOOLS_LIST,
            Self::DISCOVER,
            Self::PROMPTS_GET,
            Self::RESOURCES_READ,
        ]
        .into_iter()
        .find(|known| known.0 == method)
    }

    /// The method as the body spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it only asks: to ask twice does no harm, whatever the server.
    #[must_use]
    pub fn only_asks(&self) -> bool {
        matches!(
            self.as_str(),
            "server/discover"
                | "tools/list"
                | "prompts/list"
                | "prompts/get"
                | "resources/list"
                | "resources/templates/list"
                | "resources/read"
                | "completion/complete"
                | "ping"
        )
    }

    /// The member of `params` that names what the call is about: it stands in the subject too.
    #[must_use]
    pub fn name_field(&self) -> Option<&'static str> {
        match self.as_str() {
            "tools/call" | "prompts/get" => Some("name"),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
            "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
            _ => None,
        }
    }

    /// Whether that name is a URI, which stands in a subject as its digest.
    #[must_use]
    pub fn names_a_uri(&self) -> bool {
        self.name_field() == Some("uri")
    }

    /// Those whose complete results say how long they may be cached (2026-07-28, Caching).
    pub const CACHEABLE: [Self; 6] = [
        Self::DISCOVER,
        Self::TOOLS_LIST,
        Self(Cow::Borrowed("prompts/list")),
        Self(Cow::Borrowed("resources/list")),
        Self(Cow::Borrowed("resources/templates/list")),
        Self::RESOURCES_READ,
    ];

    /// Whether it is one of [`Self::CACHEABLE`].
    #[must_use]
    pub fn is_cacheable(&self) -> bool {
        Self::CACHEABLE.contains(self)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The levels of log messages, from the least (2026-07-28, server/utilities/logging, Log Levels).
pub const LOG_LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// The rank of a level among [`LOG_LEVELS`].
#[must_use]
pub fn log_level(name: &str) -> Option<usize> {
    LOG_LEVELS.iter().position(|level| *level == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_checked() {
        assert_eq!(Method::new("tools/call"), Ok(Method::TOOLS_CALL));
        assert!(Method::new("vendor/x/y-z_1").is_ok());
        for bad in ["", "/", "a//b", "a/", "a.b", "a b", "*", "a/>", "ä"] {
            assert!(Method::new(bad).is_err(), "{bad}");
        }
        assert!(Method::new(&"m".repeat(97)).is_err());
    }
}
