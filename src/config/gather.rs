//! Brings the servers of all files together, and tells where two claim one name.

use std::collections::BTreeMap;

use crate::config::{
    Origin,
    import::{self, Names},
    model::Config,
    name,
    problem::{Problem, Problems, Warning},
    server::Found,
    source::Source,
    tree::{Node, Value},
};

/// What was found so far.
#[derive(Default)]
pub(crate) struct Gathered<'a> {
    pub(crate) problems: Problems,
    pub(crate) warnings: Vec<Warning>,
    /// The files that name servers.
    pub(crate) origins: Vec<Origin>,
    found: BTreeMap<String, Found<'a>>,
    names: Names,
}

impl<'a> Gathered<'a> {
    /// Nothing yet, but for what went wrong before.
    pub(crate) fn after(problems: Problems) -> Self {
        Self {
            problems,
            ..Self::default()
        }
    }

    /// Takes `servers` and `mcpServers` of the configuration file.
    pub(crate) fn take_main(&mut self, source: &'a Source, tree: &mut Node) {
        if let Some(list) = tree.take("servers") {
            self.own(source, &list.node);
        }
        if let Some(list) = tree.take("mcpServers") {
            let into = (&mut self.names, &mut self.warnings);
            let found = import::servers(&list.node, "mcpServers", source, into);
            self.add(source, found);
        }
    }

    /// Takes the servers of a client's file.
    pub(crate) fn take_client(&mut self, source: &'a Source, tree: &Node) {
        let found = import::file(tree, source, &mut self.names, &mut self.warnings);
        self.add(source, found);
    }

    fn own(&mut self, source: &'a Source, list: &Node) {
        let pairs = match &list.value {
            Value::Map(pairs) => pairs.as_slice(),
            Value::Null => &[],
            _ => {
                let what = format!(
                    "`servers`: a mapping was expected here, not {}",
                    list.kind()
                );
                return self.problems.push(Problem::new(source, &list.at, what));
            }
        };
        let mut found = Vec::new();
        for pair in pairs {
            if let Err(why) = name::check(&pair.key) {
                let problem = Problem::new(source, &pair.at, why);
                let near = name::slug(&pair.key);
                self.problems
                    .push(problem.help(format!("`{near}` would do")));
            }
            self.names.servers.insert(pair.key.clone());
            found.push(Found {
                name: pair.key.clone(),
                path: format!("servers.{}", pair.key.escape_debug()),
                key: pair.at.clone(),
                node: pair.node.clone(),
                source,
                foreign: false,
                refused: None,
            });
        }
        self.add(source, Ok(found));
    }

    fn add(&mut self, source: &Source, found: Result<Vec<Found<'a>>, Problem>) {
        let found = match found {
            Ok(found) => found,
            Err(problem) => return self.problems.push(problem),
        };
        let origin = Origin::File(source.name().to_owned());
        if !found.is_empty() && !self.origins.contains(&origin) {
            self.origins.push(origin);
        }
        for found in found {
            if let Some(before) = self.found.get(&found.name) {
                let what = format!("the server `{}` is in two lists", found.name);
                let problem = Problem::new(found.source, &found.key, what)
                    .also("it stands first at", before.source, &before.key)
                    .help("take one out, or give it another name");
                self.problems.push(problem);
            } else {
                self.found.insert(found.name.clone(), found);
            }
        }
    }

    /// Reads every server into the configuration. What comes back is ready to become a member.
    pub(crate) fn read(&mut self, config: &mut Config) -> Vec<Found<'a>> {
        let mut found = Vec::new();
        for (name, mut server) in std::mem::take(&mut self.found) {
            config.servers.insert(name, server.read(&mut self.problems));
            found.push(server);
        }
        found
    }
}
