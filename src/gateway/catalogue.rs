//! All tools of all servers, as they are known now: pure data, made anew at each change.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    name,
    parameter::{self, Parameter},
};
use crate::{
    call::{
        Principal,
        condition::{Arguments, Facts},
    },
    mcp::{
        envelope::splice,
        members::{Members, quoted, span},
    },
    name::ServerName,
    registry::State,
};

/// What one may do with a tool so that it is shown to him.
const SEEN_BY: [&str; 2] = ["call", "list"];

/// All servers.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    servers: BTreeMap<ServerName, Listed>,
    /// Names that were cut, and what they stand for.
    cut: HashMap<String, (ServerName, String)>,
    /// The tools that have arguments which are repeated in headers: nearly none has.
    annotated: HashMap<ServerName, HashMap<String, Arc<[Parameter]>>>,
}

/// One server.
#[derive(Clone, Debug)]
pub struct Listed {
    /// How it is.
    pub state: State,
    /// Why its tools are not shown, where they are not.
    pub problem: Option<String>,
    /// Its tools, as they were read last.
    pub tools: Arc<[Tool]>,
    /// How often the server itself said that they are others.
    pub said: u64,
}

/// One tool.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name on the server.
    pub name: String,
    /// Its name among those of all servers.
    pub shown: String,
    /// Its entry in `tools/list`, under its name among those of all servers.
    pub json: String,
    /// The arguments that HTTP clients repeat in headers.
    pub parameters: Arc<[Parameter]>,
    /// Changes with the entry.
    mark: u64,
}

/// A server whose tools are missing in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing<'a> {
    /// Its name.
    pub server: &'a str,
    /// How it is.
    pub state: &'a str,
    /// Why.
    pub reason: &'a str,
}

impl Tool {
    /// Reads an entry of a server's `tools/list`; `None` where it is none.
    #[must_use]
    pub fn read(server: &ServerName, entry: &RawValue) -> Option<Self> {
        let text = entry.get();
        let members = Members::read(text)?;
        let spelt = members.get("name")?;
        let name: String = serde_json::from_str(spelt).ok()?;
        let shown = name::shown(server, &name);
        let json = splice(text.as_bytes(), &[(span(text, spelt), &quoted(&shown))]);
        let mut mark = DefaultHasher::new();
        json.hash(&mut mark);
        Some(Self {
            parameters: members
                .get("inputSchema")
                .map(parameter::of_schema)
                .unwrap_or_default()
                .into(),
            name,
            shown,
            json: String::from_utf8(json).ok()?,
            mark: mark.finish(),
        })
    }
}

impl Listed {
    /// Whether nothing changed. A list that was read again is another one.
    fn is_same(&self, other: &Self) -> bool {
        self.state == other.state
            && self.problem == other.problem
            && self.said == other.said
            && Arc::ptr_eq(&self.tools, &other.tools)
    }

    /// Whether its tools are shown.
    const fn is_shown(&self) -> bool {
        self.problem.is_none()
    }
}

impl Catalogue {
    /// The catalogue of these servers.
    #[must_use]
    pub fn new(servers: BTreeMap<ServerName, Listed>) -> Self {
        let mut cut = HashMap::new();
        let mut annotated: HashMap<_, HashMap<_, _>> = HashMap::new();
        for (server, listed) in &servers {
            for tool in listed.tools.iter() {
                if !tool.parameters.is_empty() {
                    let of_server = annotated.entry(server.clone()).or_default();
                    of_server.insert(tool.name.clone(), Arc::clone(&tool.parameters));
                }
                let whole = name::split(&tool.shown);
                if whole.is_none_or(|(of, name)| of != *server || name != tool.name) {
                    cut.insert(tool.shown.clone(), (server.clone(), tool.name.clone()));
                }
            }
        }
        Self {
            servers,
            cut,
            annotated,
        }
    }

    /// Which tool of which server a name stands for; `None` where it can be none.
    #[must_use]
    pub fn find<'a>(&'a self, shown: &'a str) -> Option<(ServerName, &'a str)> {
        if let Some((server, tool)) = self.cut.get(shown) {
            return Some((server.clone(), tool));
        }
        name::split(shown)
    }

    /// The arguments of a tool that are repeated in headers.
    #[must_use]
    pub fn parameters(&self, server: &ServerName, tool: &str) -> Option<&Arc<[Parameter]>> {
        self.annotated.get(server)?.get(tool)
    }

    /// Whether a catalogue of these servers would be this one.
    #[must_use]
    pub fn is_of(&self, servers: &BTreeMap<ServerName, Listed>) -> bool {
        self.servers.len() == servers.len()
            && self
                .servers
                .iter()
                .zip(servers)
                .all(|(own, other)| own.0 == other.0 && own.1.is_same(other.1))
    }

    /// The servers in order of their names.
    pub fn servers(&self) -> impl Iterator<Item = (&ServerName, &Listed)> {
        self.servers.iter()
    }

    /// The tools that one may see, of one server or of all, in order.
    pub fn tools<'a>(
        &'a self,
        of: Option<&'a ServerName>,
        may: &'a Principal,
    ) -> impl Iterator<Item = (&'a ServerName, &'a Tool)> {
        self.servers
            .iter()
            .filter(move |(server, listed)| {
                listed.is_shown() && of.is_none_or(|one| one == *server)
            })
            .flat_map(|(server, listed)| listed.tools.iter().map(move |tool| (server, tool)))
            .filter(move |(server, tool)| {
                let target = ["tools/", server.as_str(), "/", tool.name.as_str()];
                // Nobody calls yet: a condition on arguments may hold.
                let facts = Facts {
                    server: server.as_str(),
                    tool: &tool.name,
                    arguments: Arguments::Any,
                    now_ms: None,
                };
                let sees = |action: &&str| may.decide(action, &target, facts).is_permitted();
                SEEN_BY.iter().any(sees)
            })
    }

    /// Changes when one of those tools does, when one comes and when one goes, and when a server
    /// of theirs says that they did.
    #[must_use]
    pub fn mark(&self, of: Option<&ServerName>, may: &Principal) -> u64 {
        let mut mark = DefaultHasher::new();
        for (server, tool) in self.tools(of, may) {
            tool.mark.hash(&mut mark);
            self.servers
                .get(server)
                .map(|listed| listed.said)
                .hash(&mut mark);
        }
        mark.finish()
    }

    /// The servers that one may see something of, and whose tools are missing.
    pub fn missing<'a>(&'a self, may: &'a Principal) -> impl Iterator<Item = Missing<'a>> {
        self.servers.iter().filter_map(move |(server, listed)| {
            let reason = listed.problem.as_deref()?;
            may.might(&SEEN_BY, &format!("tools/{server}/"))
                .then(|| Missing {
                    server: server.as_str(),
                    state: listed.state.as_str(),
                    reason,
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call::Permissions, name::Identity};

    fn server(name: &str) -> ServerName {
        ServerName::new(name).expect("a name")
    }

    fn listed(of: &str, entries: &[&str], problem: Option<&str>) -> (ServerName, Listed) {
        let of = server(of);
        let read = |entry: &&str| {
            let raw = RawValue::from_string((*entry).to_owned()).expect("JSON");
            Tool::read(&of, &raw).expect("a tool")
        };
        let tools = entries.iter().map(read).collect();
        let listed = Listed {
            state: State::Healthy,
            problem: problem.map(str::to_owned),
            tools,
            said: 0,
        };
        (of, listed)
    }

    fn may(list: &[&str]) -> Principal {
        let alice = Identity::new("alice").expect("a name");
        Principal::new(alice, Permissions::parse(list).expect("permissions"))
    }

    #[test]
    fn an_entry_keeps_all_but_its_name() {
        let raw =
            RawValue::from_string(r#"{ "x":[1e400], "name" : "a\u0062", "title":"T"}"#.into());
        let tool = Tool::read(&server("gh"), &raw.expect("JSON")).expect("a tool");
        assert_eq!((tool.name.as_str(), tool.shown.as_str()), ("ab", "gh__ab"));
        assert_eq!(
            tool.json,
            r#"{ "x":[1e400], "name" : "gh__ab", "title":"T"}"#
        );
    }

    #[test]
    fn one_sees_what_one_may_use() {
        let all = Catalogue::new(BTreeMap::from([
            listed("gh", &[r#"{"name":"a"}"#, r#"{"name":"b"}"#], None),
            listed("jira", &[r#"{"name":"a"}"#], None),
            listed("dead", &[r#"{"name":"a"}"#], Some("it ended")),
        ]));
        let seen = |of: Option<&ServerName>, list: &[&str]| {
            let may = may(list);
            let names: Vec<String> = all
                .tools(of, &may)
                .map(|(_, tool)| tool.shown.clone())
                .collect();
            let missing: Vec<String> = all.missing(&may).map(|m| m.server.to_owned()).collect();
            (names, missing)
        };
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            seen(None, &["*"]),
            (names(&["gh__a", "gh__b", "jira__a"]), names(&["dead"]))
        );
        assert_eq!(
            seen(None, &["call:tools/gh/b"]),
            (names(&["gh__b"]), vec![])
        );
        assert_eq!(seen(None, &["list:tools/*"]).0.len(), 3);
        assert_eq!(seen(None, &["read:tools/*"]), (vec![], vec![]));
        assert_eq!(seen(Some(&server("jira")), &["*"]).0, names(&["jira__a"]));
    }

    #[test]
    fn the_mark_changes_with_what_one_sees_alone() {
        let with = |entry: &str| {
            Catalogue::new(BTreeMap::from([
                listed("gh", &[r#"{"name":"a"}"#], None),
                listed("jira", &[entry], None),
            ]))
        };
        let (before, after) = (
            with(r#"{"name":"a"}"#),
            with(r#"{"name":"a","title":"new"}"#),
        );
        let mark = |of: &Catalogue, list: &[&str]| of.mark(None, &may(list));
        assert_ne!(mark(&before, &["*"]), mark(&after, &["*"]));
        assert_eq!(
            mark(&before, &["call:tools/gh/*"]),
            mark(&after, &["call:tools/gh/*"])
        );
    }

    #[test]
    fn what_did_not_change_is_the_same_and_what_did_is_not() {
        let servers = BTreeMap::from([listed("gh", &[r#"{"name":"a"}"#], None)]);
        let all = Catalogue::new(servers.clone());
        assert!(all.is_of(&servers));
        let mut changed = servers.clone();
        changed.values_mut().for_each(|listed| listed.said += 1);
        assert!(!all.is_of(&changed));
        let again = BTreeMap::from([listed("gh", &[r#"{"name":"a"}"#], None)]);
        assert!(!all.is_of(&again) && !all.is_of(&BTreeMap::new()));
    }

    #[test]
    fn arguments_of_headers_are_found_by_the_tool() {
        let annotated = r#"{"name":"a","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"R"}}}}"#;
        let plain = r#"{"name":"b","inputSchema":{"properties":{"r":{"type":"string"}}}}"#;
        let all = Catalogue::new(BTreeMap::from([listed("gh", &[annotated, plain], None)]));
        let of = |tool| all.parameters(&server("gh"), tool).map(|all| all.len());
        assert_eq!((of("a"), of("b")), (Some(1), None));
    }

    #[test]
    fn a_name_that_was_cut_is_found() {
        let long = "t".repeat(200);
        let all = Catalogue::new(BTreeMap::from([listed(
            "gh",
            &[&format!(r#"{{"name":"{long}"}}"#)],
            None,
        )]));
        let shown = name::shown(&server("gh"), &long);
        assert_eq!(all.find(&shown), Some((server("gh"), long.as_str())));
        assert_eq!(
            all.find("gh__new"),
            Some((server("gh"), "new")),
            "not listed yet"
        );
        assert_eq!(all.find("new"), None);
    }
}
