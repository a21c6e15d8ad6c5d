//! What a configuration file may say of limits: `limits`, and `limits` of a server.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rate::Rate, unit::Size};
use crate::mcp::Extent;

/// How much is taken in. What goes beyond is refused with the name of its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// The longest line that a server may write, 64KiB to 1GiB.
    pub line: Size,
    /// The largest result of a call, 64KiB to 1GiB.
    pub result: Size,
    /// Calls that a server works on at once, 1 to 65536.
    pub in_flight: u32,
    /// Calls that wait for a server, 0 to 65536. Callers have turns in the line; where it is full,
    /// whoever has most in it loses his last one.
    pub queue: u32,
    /// Bytes of calls that wait for a server, 64KiB to 1GiB.
    pub waiting: Size,
    /// How large the body of one request at the gateway may be.
    pub request_body: Size,
    /// How large all of them under way may be together.
    pub request_bodies: Size,
    /// How deep objects and lists of a request may lie in each other, 8 to 120.
    pub depth: u32,
    /// How many members all objects of a request may have together, 100 to 10000000.
    pub keys: u32,
    /// What each caller may do with each server. Nothing: as much as the server takes.
    #[serde(skip_serializing_if = "Rule::is_empty")]
    pub per_caller: Rule,
    /// What each caller may do with each tool of each server, beside that.
    #[serde(skip_serializing_if = "Rule::is_empty")]
    pub per_tool: Rule,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: Size::mib(64),
            result: Size::mib(64),
            in_flight: 256,
            queue: 1024,
            waiting: Size::mib(64),
            request_body: Size::mib(4),
            request_bodies: Size::mib(256),
            depth: 64,
            keys: 100_000,
            per_caller: Rule::default(),
            per_tool: Rule::default(),
        }
    }
}

/// How often and how much one caller may call. Each instance of a server counts for itself, from
/// its own start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// How often, in the long run: `20/s`, `600/m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many of them may come at once, 1 to 1000000; needs `rate`. Default: the number of
    /// `rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// How many may be under way at once, 1 to 65536.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// How many in all, in each span from the first call on: `500/h`, `10000/d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Rate>,
}

/// What callers may do with this server. What stands here takes the place of the same key of the
/// mesh's `limits`, as a whole: `perCaller: {}` lifts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ServerLimits {
    /// What each caller may do with it. Default: `limits.perCaller`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_caller: Option<Rule>,
    /// What each caller may do with each of its tools, beside that. Default: `limits.perTool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_tool: Option<Rule>,
    /// The same for some of its tools, in place of `perTool`: `prefix*` or a name, 64 at most. A
    /// name counts before a prefix, and a longer prefix before a shorter one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub tools: BTreeMap<String, Rule>,
}

/// A value that is none, where it stands, and why.
pub(crate) type Wrong = (Vec<String>, String);

const BURST: (u32, u32) = (1, 1_000_000);
const IN_FLIGHT: (u32, u32) = (1, 65_536);
/// Patterns of tools of one server.
const PATTERNS_MAX: usize = 64;

impl Rule {
    /// Whether it allows everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with it, below `path`.
    fn wrong(&self, path: &[&str]) -> Vec<Wrong> {
        let mut found = Vec::new();
        let mut tell = |key: &str, why: String| {
            let at = path.iter().copied().chain([key]);
            found.push((at.map(str::to_owned).collect(), why));
        };
        for (key, value, (least, most)) in [
            ("burst", self.burst, BURST),
            ("inFlight", self.in_flight, IN_FLIGHT),
        ] {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                tell(key, format!("{value} is not between {least} and {most}"));
            }
        }
        if self.burst.is_some() && self.rate.is_none() {
            tell("burst", "it belongs to a `rate`".to_owned());
        }
        found
    }
}

impl Limits {
    /// How deep and how wide a request may be.
    #[must_use]
    pub fn extent(&self) -> Extent {
        let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
        Extent {
            depth: count(self.depth),
            keys: count(self.keys),
        }
    }

    /// What is wrong with the rules in it.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let mut found = self.per_caller.wrong(&["perCaller"]);
        found.extend(self.per_tool.wrong(&["perTool"]));
        found
    }
}

impl ServerLimits {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with it.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let own = [("perCaller", &self.per_caller), ("perTool", &self.per_tool)];
        let mut found: Vec<Wrong> = own
            .into_iter()
            .filter_map(|(key, rule)| Some(rule.as_ref()?.wrong(&[key])))
            .flatten()
            .collect();
        if self.tools.len() > PATTERNS_MAX {
            let count = self.tools.len();
            let why = format!("{count} patterns; at most {PATTERNS_MAX} are taken");
            found.push((vec!["tools".to_owned()], why));
        }
        for (pattern, rule) in &self.tools {
            let name = pattern.strip_suffix('*').unwrap_or(pattern);
            if name.is_empty() || name.contains('*') {
                let at = vec!["tools".to_owned(), pattern.clone()];
                let shown = pattern.escape_debug();
                let why = format!("`{shown}` is no pattern: a tool is `prefix*` or a name");
                found.push((at, why));
            }
            found.extend(rule.wrong(&["tools", pattern]));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_writes_is_what_the_mesh_takes() {
        assert_eq!(Limits::default().extent(), Extent::default());
    }
}
