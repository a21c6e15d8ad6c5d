//! Permissions: who may do what, as text and as a decision.
//!
//! A permission is `action:target`, both with the description's patterns: `*`, `prefix*`, exact.
//! `*` alone is everything. The decision is pure and allocates nothing.

/// A set of permissions: it permits what one of them does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(Vec<Permission>);

/// One permission, `action:target`; each half exact, `prefix*` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// `call`, `list`, …
    pub action: Pattern,
    /// `tools/{server}/{tool}`, `mesh/tokens`, …
    pub target: Pattern,
}

/// `*`, `prefix*` or exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Everything.
    All,
    /// Everything that begins so.
    Prefix(String),
    /// This alone.
    Exact(String),
}

impl Pattern {
    /// Reads a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some("") => Self::All,
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    /// Whether it matches whatever the other one matches.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (_, Self::All) => false,
            (Self::Prefix(own), Self::Prefix(text) | Self::Exact(text)) => text.starts_with(own),
            (Self::Exact(own), Self::Exact(text)) => own == text,
            (Self::Exact(_), Self::Prefix(_)) => false,
        }
    }

    /// Whether it matches the text that `parts` make together. They come in parts so that a
    /// decision on the hot path allocates nothing.
    #[must_use]
    pub fn matches(&self, parts: &[&str]) -> bool {
        let (want, whole) = match self {
            Self::All => return true,
            Self::Prefix(prefix) => (prefix.as_str(), false),
            Self::Exact(exact) => (exact.as_str(), true),
        };
        let mut rest = want;
        for part in parts {
            if rest.len() <= part.len() && !whole {
                return part.starts_with(rest);
            }
            match rest.strip_prefix(part) {
                Some(left) => rest = left,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(exact) => f.write_str(exact),
        }
    }
}

/// The actions there are.
pub const ACTIONS: [&str; 9] = [
    "call",
    "list",
    "read",
    "write",
    "subscribe",
    "publish",
    "replay",
    "serve",
    "admin",
];

/// The kinds of targets there are.
pub const TARGETS: [&str; 6] = [
    "tools/",
    "prompts/",
    "resources/",
    "events/",
    "pipelines/",
    "mesh/",
];

/// A permission that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// No `:` in it, and not `*`.
    #[error("`{0}` is no permission: write `action:target`, for example `call:tools/time/*`")]
    Shape(String),
    /// An action that nobody checks.
    #[error("`{0}`: no such action; there are {list} and `*`", list = ACTIONS.join(", "))]
    Action(String),
    /// A target that nobody checks.
    #[error("`{0}`: no such target; a target begins with {list}", list = TARGETS.join(", "))]
    Target(String),
    /// Too long.
    #[error("a permission has at most 512 bytes; this one has {0}")]
    Long(usize),
}

impl Permission {
    /// Reads `action:target`, or `*` for everything.
    ///
    /// # Errors
    /// [`PermissionError`]: a form, an action or a target that does not exist.
    pub fn parse(text: &str) -> Result<Self, PermissionError> {
        if text.len() > 512 {
            return Err(PermissionError::Long(text.len()));
        }
        let (action, target) = match text {
            "*" => ("*", "*"),
            _ => text
                .split_once(':')
                .ok_or_else(|| PermissionError::Shape(text.to_owned()))?,
        };
        let action_pattern = Pattern::new(action);
        let target_pattern = Pattern::new(target);
        let action_known = ACTIONS.iter().any(|known| action_pattern.matches(&[known]));
        if action.is_empty() || !action_known {
            return Err(PermissionError::Action(text.to_owned()));
        }
        let known = match &target_pattern {
            Pattern::All => true,
            Pattern::Exact(exact) => TARGETS
                .iter()
                .any(|kind| exact.len() > kind.len() && exact.starts_with(kind)),
            Pattern::Prefix(prefix) => TARGETS
                .iter()
                .any(|kind| prefix.starts_with(kind) || kind.starts_with(prefix)),
        };
        if !known {
            return Err(PermissionError::Target(text.to_owned()));
        }
        Ok(Self {
            action: action_pattern,
            target: target_pattern,
        })
    }

    /// Whether it permits `action` on the target that `target`'s parts make together.
    #[must_use]
    pub fn permits(&self, action: &str, target: &[&str]) -> bool {
        self.action.matches(&[action]) && self.target.matches(target)
    }

    /// Whether it permits whatever the other one permits.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.action.contains(&other.action) && self.target.contains(&other.target)
    }

    /// Whether it permits `action` on something whose name begins so.
    #[must_use]
    pub fn touches(&self, action: &str, prefix: &str) -> bool {
        let target = match &self.target {
            Pattern::All => true,
            Pattern::Exact(exact) => exact.starts_with(prefix),
            Pattern::Prefix(pattern) => {
                pattern.starts_with(prefix) || prefix.starts_with(pattern.as_str())
            }
        };
        target && self.action.matches(&[action])
    }

    /// Whether it permits `action` on everything whose name begins so.
    #[must_use]
    pub fn covers(&self, action: &str, prefix: &str) -> bool {
        let target = match &self.target {
            Pattern::All => true,
            Pattern::Exact(_) => false,
            Pattern::Prefix(pattern) => prefix.starts_with(pattern.as_str()),
        };
        target && self.action.matches(&[action])
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.action, &self.target) {
            (Pattern::All, Pattern::All) => f.write_str("*"),
            (action, target) => write!(f, "{action}:{target}"),
        }
    }
}

impl Permissions {
    /// Reads a list of permissions.
    ///
    /// # Errors
    /// [`PermissionError`] of the first that can't be read.
    pub fn parse<S: AsRef<str>>(list: &[S]) -> Result<Self, PermissionError> {
        list.iter()
            .map(|text| Permission::parse(text.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The permission that permits `action` on the target that `target`'s parts make together.
    #[must_use]
    pub fn permitting(&self, action: &str, target: &[&str]) -> Option<&Permission> {
        self.0
            .iter()
            .find(|permission| permission.permits(action, target))
    }

    /// Whether it permits anything at all below `prefix` with one of these actions.
    #[must_use]
    pub fn touches(&self, actions: &[&str], prefix: &str) -> bool {
        let touched = |one: &Permission| actions.iter().any(|action| one.touches(action, prefix));
        self.0.iter().any(touched)
    }

    /// The permissions one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }

    /// The permissions as text.
    #[must_use]
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn permissions(list: &[&str]) -> Permissions {
        Permissions::parse(list).expect("permissions")
    }

    #[test]
    fn patterns_are_those_of_the_description() {
        let may = permissions(&["call:tools/search/*", "list:tools/gh/exact"]);
        let tool = |s, t| ["tools/", s, "/", t];
        assert!(may.permitting("call", &tool("search", "x")).is_some());
        assert!(may.permitting("call", &tool("search2", "x")).is_none());
        assert!(may.permitting("list", &tool("search", "x")).is_none());
        assert!(may.permitting("list", &tool("gh", "exact")).is_some());
        assert!(may.permitting("list", &tool("gh", "exactly")).is_none());
        assert!(
            permissions(&["*"])
                .permitting("admin", &["mesh/tokens"])
                .is_some()
        );
        assert!(
            permissions(&[])
                .permitting("call", &tool("a", "b"))
                .is_none()
        );
        assert!(may.touches(&["call", "list"], "tools/gh/"));
        assert!(!may.touches(&["call"], "tools/gh/"));
    }

    #[test]
    fn what_nobody_checks_is_refused() {
        for (text, error) in [
            ("call", "action:target"),
            ("fly:tools/a/b", "no such action"),
            (":tools/a/b", "no such action"),
            ("call:toolz/a", "no such target"),
            ("call:", "no such target"),
            ("call:tools/", "no such target"),
        ] {
            let said = Permission::parse(text).expect_err(text).to_string();
            assert!(said.contains(error), "{text}: {said}");
        }
        assert!(Permission::parse(&"x".repeat(513)).is_err());
    }

    proptest! {
        /// The parts are a shortcut: the answer is that of the whole text.
        #[test]
        fn parts_decide_as_the_whole(
            pattern in "[ab/]{0,6}\\*?",
            parts in proptest::collection::vec("[ab/]{0,3}", 1..5),
        ) {
            let pattern = Pattern::new(&pattern);
            let whole: String = parts.concat();
            let plain = match &pattern {
                Pattern::All => true,
                Pattern::Prefix(prefix) => whole.starts_with(prefix.as_str()),
                Pattern::Exact(exact) => whole == *exact,
            };
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            prop_assert_eq!(pattern.matches(&parts), plain);
        }

        #[test]
        fn a_permission_comes_back(action in "call|list|ad\\*|\\*", target in "tools/[a-z]{1,5}(/[a-z]{1,3})?\\*?|\\*") {
            let text = format!("{action}:{target}");
            let read = Permission::parse(&text).expect("a permission");
            prop_assert_eq!(Permission::parse(&read.to_string()), Ok(read));
        }
    }
}
