//! Which tools of a server are approved: what each said of itself when somebody approved it.
//!
//! A model chooses and calls a tool by what that says of itself, so a tool that says something else
//! than when it was approved is another tool. What a server has when it is first seen is approved;
//! what changes or comes later waits for somebody to approve it. This decides, the control plane
//! keeps the record, and adapters ask it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tools of one server that are on record. Further ones are as unapproved as any that nobody saw.
pub const TOOLS_MAX: usize = 2000;
/// Versions of one tool that stay approved: a server may be rolled back, or some of its instances
/// be older than others.
const VERSIONS_MAX: usize = 4;
/// Bytes of a name that is put on record; a tool of a longer one is not approved.
pub const NAME_MAX: usize = 256;
/// Bytes of what one tool says of itself that are kept; of more, the digest alone.
pub const WORDS_MAX: usize = 32 * 1024;

/// What an adapter asks: all the tools that the server lists now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolCheck {
    /// The server.
    pub server: String,
    /// Whether its adapter keeps what is not approved from callers.
    pub quarantine: bool,
    /// Its tools; `[]` where it has none.
    pub tools: Vec<Digested>,
}

/// A tool and what it says of itself now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Digested {
    /// Its name.
    pub name: String,
    /// SHA-256 in lower-case hex over the canonical JSON of `name`, `title`, `description`,
    /// `inputSchema`, `outputSchema` and `annotations`.
    pub digest: String,
}

/// The answer: what is not approved of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolsChecked {
    /// What is not approved.
    pub held: Vec<Held>,
    /// Digests of what nobody has told the control plane the words of: `tool_tell` does.
    pub wanted: Vec<String>,
}

/// A tool that is not approved as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// What it says of itself now.
    pub digest: String,
    /// Why it is not approved.
    pub why: Why,
}

/// Why a tool is not approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// It said something else of itself when it was approved.
    Changed,
    /// The server did not have it when its tools were approved.
    New,
}

/// What an adapter tells: the words behind digests that were wanted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolTell {
    /// The server.
    pub server: String,
    /// Entries of its `tools/list`, each as JSON text; 64 of 256 KiB together at most.
    pub definitions: Vec<String>,
}

/// What was taken of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ToolTold {
    /// How many are kept now.
    pub kept: usize,
}

/// What is on record of one server's tools, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The tools.
    pub tools: BTreeMap<String, Entry>,
}

/// What is on record of one tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was approved, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<Version>,
    /// What is not, where the server lists such a thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Version>,
}

/// One thing that a tool said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its digest.
    pub digest: String,
    /// When it was approved, or since when it waits: seconds since 1970.
    pub at: u64,
    /// Who approved it; the server itself where that was the first that was seen of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Bytes of its words, where they are kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_zero(bytes: &usize) -> bool {
    *bytes == 0
}

/// What a look at a server's tools found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What is not approved.
    pub held: Vec<Held>,
    /// What of it was not known before.
    pub news: Vec<Held>,
}

impl Entry {
    /// What is not approved of this tool when it says this.
    fn why(&self) -> Why {
        if self.approved.is_empty() {
            Why::New
        } else {
            Why::Changed
        }
    }

    fn has(&self, digest: &str) -> bool {
        self.approved.iter().any(|version| version.digest == digest)
    }

    /// All that is kept of it.
    pub fn versions_mut(&mut self) -> impl Iterator<Item = &mut Version> {
        self.approved.iter_mut().chain(self.waiting.as_mut())
    }

    /// All that is kept of it.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.approved.iter().chain(&self.waiting)
    }
}

impl Record {
    /// Of a server that nobody has seen so far: what it has is approved.
    #[must_use]
    pub fn first(tools: &[Digested], server: &str, now: u64) -> Self {
        let fitting = tools.iter().filter(|tool| tool.name.len() <= NAME_MAX);
        let entry = |tool: &Digested| Entry {
            approved: vec![Version {
                digest: tool.digest.clone(),
                at: now,
                by: Some(server.to_owned()),
                bytes: 0,
            }],
            waiting: None,
        };
        let tools = fitting
            .take(TOOLS_MAX)
            .map(|tool| (tool.name.clone(), entry(tool)));
        Self {
            tools: tools.collect(),
        }
    }

    /// Looks at all that the server has now, and notes what waits and what waits no more.
    pub fn look(&mut self, tools: &[Digested], now: u64) -> Found {
        let mut found = Found::default();
        let listed: BTreeSet<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        self.tools.retain(|name, entry| {
            if !listed.contains(name.as_str()) {
                entry.waiting = None;
            }
            !(entry.approved.is_empty() && entry.waiting.is_none())
        });
        for tool in tools {
            let room = self.tools.len() < TOOLS_MAX && tool.name.len() <= NAME_MAX;
            let held = |why| Held {
                name: tool.name.clone(),
                digest: tool.digest.clone(),
                why,
            };
            if !room && !self.tools.contains_key(&tool.name) {
                found.held.push(held(Why::New));
                continue;
            }
            let entry = self.tools.entry(tool.name.clone()).or_default();
            if entry.has(&tool.digest) {
                entry.waiting = None;
                continue;
            }
            let held = held(entry.why());
            let known = entry.waiting.as_ref().map(|waiting| &waiting.digest);
            if known != Some(&tool.digest) {
                found.news.push(held.clone());
                entry.waiting = Some(Version {
                    digest: tool.digest.clone(),
                    at: now,
                    by: None,
                    bytes: 0,
                });
            }
            found.held.push(held);
        }
        found
    }

    /// Approves what waits of a tool.
    ///
    /// # Errors
    /// That this is not what waits, in words.
    pub fn approve(&mut self, tool: &Digested, by: &str, now: u64) -> Result<(), String> {
        let name = &tool.name;
        let entry = self.tools.get_mut(name);
        let entry =
            entry.ok_or_else(|| format!("the server has no tool `{name}` that is on record"))?;
        if entry.has(&tool.digest) {
            return Ok(());
        }
        let waiting = entry
            .waiting
            .take_if(|waiting| waiting.digest == tool.digest);
        let waiting = waiting.ok_or_else(|| {
            format!("`{name}` is not any more what you looked at: look at it again")
        })?;
        entry.approved.push(Version {
            at: now,
            by: Some(by.to_owned()),
            ..waiting
        });
        let surplus = entry.approved.len().saturating_sub(VERSIONS_MAX);
        entry.approved.drain(..surplus);
        Ok(())
    }

    /// Everything that is kept of any tool.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.tools.values().flat_map(Entry::versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(written: &[(&str, &str)]) -> Vec<Digested> {
        let one = |(name, digest): &(&str, &str)| Digested {
            name: (*name).into(),
            digest: (*digest).into(),
        };
        written.iter().map(one).collect()
    }

    fn whys(found: &[Held]) -> Vec<(&str, Why)> {
        found
            .iter()
            .map(|held| (held.name.as_str(), held.why))
            .collect()
    }

    #[test]
    fn what_is_seen_first_is_approved_and_what_comes_later_waits() {
        let mut record = Record::first(&tools(&[("a", "1"), ("b", "1")]), "gh", 1);
        let same = record.look(&tools(&[("b", "1"), ("a", "1")]), 2);
        assert_eq!(same, Found::default());
        let other = tools(&[("a", "2"), ("b", "1"), ("c", "1")]);
        let found = record.look(&other, 3);
        assert_eq!(whys(&found.held), [("a", Why::Changed), ("c", Why::New)]);
        assert_eq!(found.held, found.news);
        let again = record.look(&other, 4);
        assert_eq!((again.held.len(), again.news.len()), (2, 0), "told once");
        assert_eq!(record.tools["a"].waiting.as_ref().expect("waits").at, 3);
    }

    #[test]
    fn what_was_looked_at_is_approved_and_nothing_else() {
        let mut record = Record::first(&tools(&[("a", "1")]), "gh", 1);
        record.look(&tools(&[("a", "2")]), 2);
        for wrong in [("a", "3"), ("b", "2")] {
            let said = record.approve(&tools(&[wrong])[0], "alice", 3);
            assert!(said.is_err(), "{wrong:?}");
        }
        let seen = &tools(&[("a", "2")])[0];
        assert_eq!(record.approve(seen, "alice", 3), Ok(()));
        assert_eq!(record.approve(seen, "alice", 3), Ok(()), "it is already");
        for good in ["1", "2"] {
            let found = record.look(&tools(&[("a", good)]), 4);
            assert_eq!(found, Found::default(), "a rollback is no change");
        }
        let newest = record.tools["a"].approved.last().expect("one");
        assert_eq!(newest.by.as_deref(), Some("alice"));
    }

    #[test]
    fn what_went_waits_no_more_and_comes_back_as_what_it_was() {
        let mut record = Record::first(&tools(&[("a", "1")]), "gh", 1);
        record.look(&tools(&[("a", "2"), ("b", "1")]), 2);
        assert_eq!(record.look(&[], 3), Found::default());
        assert!(record.tools["a"].waiting.is_none() && !record.tools.contains_key("b"));
        let back = record.look(&tools(&[("a", "2")]), 4);
        assert_eq!(
            whys(&back.news),
            [("a", Why::Changed)],
            "nobody forgets what it was"
        );
    }

    #[test]
    fn it_is_bounded() {
        let many: Vec<Digested> = (0..TOOLS_MAX + 1)
            .map(|n| Digested {
                name: format!("t{n:05}"),
                digest: "1".into(),
            })
            .collect();
        let mut record = Record::first(&many, "gh", 1);
        assert_eq!(record.tools.len(), TOOLS_MAX);
        assert_eq!(whys(&record.look(&many, 2).held), [("t02000", Why::New)]);
        for n in 2..100 {
            let version = tools(&[("t00000", &n.to_string())]);
            record.look(&version, 3);
            record.approve(&version[0], "alice", 3).expect("it waits");
        }
        assert_eq!(record.tools["t00000"].approved.len(), VERSIONS_MAX);
        let long = tools(&[(&"x".repeat(NAME_MAX + 1), "1")]);
        assert!(Record::first(&long, "gh", 1).tools.is_empty());
    }
}
