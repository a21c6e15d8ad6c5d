//! What a configuration file may say of answers that are kept: `cache`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    calls::wrong_patterns,
    limits::Wrong,
    policy::outside,
    unit::{Period, Size},
};
use crate::{call::permission::Pattern, mcp::Method};

/// Answers of a server that are kept for whoever asks the same again. Lists, reads and discovery are
/// as long as they say so themselves (`ttlMs` and `cacheScope`); what tools answer is not, unless
/// they stand in `tools`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// How long an answer is kept at most that says itself for how long, 0ms to 1d; with 0ms none
    /// of these is kept.
    pub ttl: Period,
    /// Bytes of all that is kept of the server, 64KiB to 4GiB.
    pub bytes: Size,
    /// Tools whose answers are kept, and how long, 1ms to 1d; each principal has answers of his
    /// own. `*`, `prefix*` or a name, 64 at most; where several match, the shortest time counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub tools: BTreeMap<String, Period>,
    /// Methods whose answers are kept that do not say for how long, or say that they may not, for
    /// each principal his own: `server/discover`, `tools/list`, `prompts/list`, `resources/list`,
    /// `resources/templates/list` and `resources/read`, by name or pattern, as `tools`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub methods: BTreeMap<String, Period>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl: Period::from_secs(300),
            bytes: Size::mib(64),
            tools: BTreeMap::new(),
            methods: BTreeMap::new(),
        }
    }
}

const TTL: (Period, Period) = (Period::from_millis(0), Period::from_secs(86_400));
const DECLARED: (Period, Period) = (Period::from_millis(1), TTL.1);
const BYTES: (Size, Size) = (Size::new(64 * 1024), Size::mib(4096));

impl Cache {
    /// What is wrong with it, below `cache`.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let ttl = outside(["cache", "ttl"], self.ttl, TTL);
        let bytes = outside(["cache", "bytes"], self.bytes, BYTES);
        let mut found: Vec<Wrong> = ttl.into_iter().chain(bytes).collect();
        for (list, declared) in [("tools", &self.tools), ("methods", &self.methods)] {
            let patterns: Vec<String> = declared.keys().cloned().collect();
            let wrong = wrong_patterns(&patterns);
            found.extend(wrong.map(|why| (path(&[list]), why)));
            for (pattern, period) in declared {
                let (least, most) = DECLARED;
                if !(least..=most).contains(period) {
                    let why = format!("{period} is not between {least} and {most}");
                    found.push((path(&[list, pattern]), why));
                }
            }
        }
        for pattern in self.methods.keys().filter(|pattern| names_none(pattern)) {
            let kept: Vec<&str> = Method::CACHEABLE.iter().map(Method::as_str).collect();
            let why = format!(
                "no answer of it is ever kept; those of {} are",
                kept.join(", ")
            );
            found.push((path(&["methods", pattern]), why));
        }
        found
    }

    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything may be kept at all.
    pub(crate) fn keeps(&self) -> bool {
        self.ttl > TTL.0 || !self.tools.is_empty() || !self.methods.is_empty()
    }
}

fn path(below: &[&str]) -> Vec<String> {
    let path = ["cache"].iter().chain(below);
    path.map(|key| (*key).to_owned()).collect()
}

fn names_none(pattern: &str) -> bool {
    let pattern = Pattern::new(pattern);
    let mut kept = Method::CACHEABLE.iter();
    !kept.any(|method| pattern.matches(&[method.as_str()]))
}
