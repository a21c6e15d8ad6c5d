//! The tools of a server: what its `tools/list` said, and a digest of each.

use std::{borrow::Cow, fmt::Display};

use data_encoding::HEXLOWER;
use serde_json::{Value, value::RawValue};
use sha2::{Digest as _, Sha256};

use super::{
    canonical,
    hidden::{hidden, written},
    members::Members,
};

/// Tools beyond this many are not read: nobody could choose among them.
pub const TOOLS_MAX: usize = 10_000;

/// The members of a tool that its digest covers: all that a model reads to choose and to call it.
const DIGESTED: [&str; 6] = [
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
];

/// One tool.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name on the server.
    pub name: String,
    /// The whole entry of `tools/list` as the server spelt it.
    pub json: Box<RawValue>,
    /// SHA-256 in lower-case hex over the canonical JSON (members sorted, no blanks, numbers as
    /// they were spelt) of `name`, `title`, `description`, the two schemas and `annotations`: it
    /// changes exactly when something changed that a caller goes by.
    pub digest: String,
}

/// The tools of a server, in its order.
#[derive(Clone, Debug, Default)]
pub struct ToolList {
    /// The tools.
    pub tools: Vec<Tool>,
    /// Whether the list was read to its end. While it is not, a name that is missing says nothing.
    pub complete: bool,
}

/// One page of `tools/list`.
#[derive(Debug)]
pub struct Page {
    /// Its tools; what is none is passed over.
    pub tools: Vec<Tool>,
    /// Where the next page is.
    pub next: Option<String>,
}

impl ToolList {
    /// The list of a server that says it has no tools.
    #[must_use]
    pub fn none() -> Self {
        Self {
            complete: true,
            ..Self::default()
        }
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// The tool whose name is nearest to one that is not there, if any is near.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&str> {
        // Each comparison costs the product of both lengths; no sensible name is longer.
        let name: String = name.chars().take(128).collect();
        let near = self.tools.iter().map(|tool| {
            let near = strsim::jaro_winkler(&tool.name, &name);
            (near, tool.name.as_str())
        });
        let best = near.max_by(|one, other| one.0.total_cmp(&other.0));
        best.filter(|(near, _)| *near > 0.8).map(|(_, name)| name)
    }

    /// Says it in the log where a model reads more of a tool than a person sees.
    pub fn warn(&self, server: &impl Display) {
        for tool in &self.tools {
            let hidden = tool.hidden();
            if hidden.is_empty() {
                continue;
            }
            let hidden = written(&hidden);
            tracing::warn!(
                %server, tool = tool.name, hidden,
                "a tool says of itself what nobody sees, and a model reads: ask who wrote it"
            );
        }
    }

    /// Whether a caller would find the same tools in the other list.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let own = self.tools.iter().map(|tool| &tool.digest);
        own.eq(other.tools.iter().map(|tool| &tool.digest))
    }
}

impl Page {
    /// Reads the result of `tools/list`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(result: &str) -> Result<Self, String> {
        let read = Members::read(result).ok_or("its result is no object")?;
        let tools = read.get("tools").ok_or("its result has no `tools`")?;
        let tools: Vec<&RawValue> =
            serde_json::from_str(tools).map_err(|_| "its `tools` is no array")?;
        Ok(Self {
            tools: tools.into_iter().filter_map(Tool::read).collect(),
            next: read.text("nextCursor"),
        })
    }
}

impl Tool {
    /// A tool, where the entry is one: an object with a name. Others can't be called, nor listed.
    #[must_use]
    pub fn read(entry: &RawValue) -> Option<Self> {
        let members = Members::read(entry.get())?;
        let name = members.text("name").filter(|name| !name.is_empty())?;
        Some(Self {
            name,
            json: entry.to_owned(),
            digest: HEXLOWER.encode(&Sha256::digest(definition(&members))),
        })
    }

    /// Characters in what its digest covers that nobody sees, and a model reads.
    fn hidden(&self) -> Vec<char> {
        let Some(members) = Members::read(self.json.get()) else {
            return Vec::new();
        };
        let values = covered(&members).filter_map(|(_, raw)| serde_json::from_str(raw).ok());
        hidden(&Value::Array(values.collect()))
    }

    /// What its digest is one of.
    #[must_use]
    pub fn definition(&self) -> String {
        let members = Members::read(self.json.get());
        members.map_or_else(String::new, |members| definition(&members))
    }
}

fn covered<'a>(members: &'a Members<'a>) -> impl Iterator<Item = (&'static str, &'a str)> {
    let one = |name| Some((name, members.get(name)?));
    DIGESTED.into_iter().filter_map(one)
}

fn definition(members: &Members<'_>) -> String {
    let named = covered(members).map(|(name, raw)| (Cow::Borrowed(name), raw));
    canonical::object(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(tools: &str) -> ToolList {
        let page = Page::read(&format!(r#"{{"tools":{tools}}}"#)).expect("a page");
        ToolList {
            tools: page.tools,
            complete: true,
        }
    }

    #[test]
    fn a_page_is_read_and_what_is_no_tool_passed_over() {
        let page = Page::read(r#"{"nextCursor":"","tools":[{"name":"a","x":1e400},{},7]}"#);
        let page = page.expect("a page");
        assert_eq!(page.next.as_deref(), Some(""));
        assert_eq!(page.tools.len(), 1);
        assert_eq!(page.tools[0].json.get(), r#"{"name":"a","x":1e400}"#);
        for bad in ["[]", "{}", r#"{"tools":{}}"#] {
            assert!(Page::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_changes_with_what_a_caller_goes_by_alone() {
        let of = |tool: &str| list(&format!("[{tool}]")).tools[0].digest.clone();
        let one = of(r#"{"name":"a","inputSchema":{"type":"object","x":[1,{"b":1,"a":2}]}}"#);
        let same = of(
            r#"{ "inputSchema":{"x":[1,{"a":2,"\u0062":1}],"type":"object"},"name":"a","_meta":{}}"#,
        );
        assert_eq!(one, same);
        for other in [
            r#"{"name":"a","inputSchema":{"type":"object","x":[1,{"b":1,"a":3}]}}"#,
            r#"{"name":"a","title":"t","inputSchema":{"type":"object","x":[1,{"b":1,"a":2}]}}"#,
        ] {
            assert_ne!(one, of(other), "{other}");
        }
        assert!(list(r#"[{"name":"a"}]"#).is_same(&list(r#"[{"name":"a","icons":[]}]"#)));
    }

    #[test]
    fn depth_is_no_attack() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(
            list(&format!(r#"[{{"name":"a","title":{deep}}}]"#))
                .tools
                .len(),
            1
        );
    }

    #[test]
    fn the_nearest_name_is_one_that_is_near() {
        let tools = list(r#"[{"name":"read_file"},{"name":"write_file"}]"#);
        assert_eq!(tools.nearest("reed_file"), Some("read_file"));
        assert_eq!(tools.nearest("zzz"), None);
    }
}
