//! The `mcp.json` of an MCP client, read as its own program would read it: comments and trailing
//! commas, names with blanks, keys of which Weft knows nothing. Nothing in it is refused: what
//! cannot be carried is said for the server that it belongs to, what is not used in a warning.

use std::{borrow::Cow, collections::BTreeSet, path::Path};

use crate::config::{
    name,
    problem::{Problem, Warning},
    server::Found,
    source::Source,
    tree::{Node, Pair, Value},
};

/// Where clients keep their list: Claude, Cursor, Cline and Windsurf; VS Code; its `settings.json`.
const LISTS: &[&[&str]] = &[&["mcpServers"], &["servers"], &["mcp", "servers"]];

/// Keys that mean the same here.
const KEPT: &[&str] = &["command", "args", "env", "cwd", "url", "headers", "enabled"];

/// Numbers up to this are seconds (Cline and Roo count so, to an hour), above it milliseconds
/// (Gemini and Claude Code).
const SECONDS_MAX: u64 = 3600;

/// The names that are in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Those of `servers`. A client that writes the same name is told, not renamed.
    pub(crate) servers: BTreeSet<String>,
    /// Those of the clients read so far. The next one to use a name gets another.
    pub(crate) clients: BTreeSet<String>,
}

/// The servers of a client's file. Their names are added to `names`.
pub(crate) fn file<'a>(
    tree: &Node,
    source: &'a Source,
    names: &mut Names,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Found<'a>>, Problem> {
    let Some((keys, list)) = LISTS.iter().find_map(|keys| Some((keys, tree.find(keys)?))) else {
        return Err(Problem::new(
            source,
            &tree.at,
            "no `mcpServers` or `servers` in this file",
        )
        .help("is it the file that your client keeps its MCP servers in?"));
    };
    if let Some(pair) = tree.get("inputs") {
        let what = "`inputs` is not used: write a variable where `${input:…}` stands";
        warnings.push(Warning::new(source, &pair.at, what));
    }
    servers(list, &keys.join("."), source, (names, warnings))
}

/// The servers of a list that stands at `path`.
pub(crate) fn servers<'a>(
    list: &Node,
    path: &str,
    source: &'a Source,
    (names, warnings): (&mut Names, &mut Vec<Warning>),
) -> Result<Vec<Found<'a>>, Problem> {
    if !matches!(list.value, Value::Map(_) | Value::Null) {
        let what = format!("`{path}`: a mapping was expected here, not {}", list.kind());
        return Err(Problem::new(source, &list.at, what));
    }
    // Names that fit keep theirs: only the others give way to one another.
    let fits = |pair: &&Pair| name::check(&pair.key).is_ok();
    let mut own: BTreeSet<String> = list
        .pairs()
        .iter()
        .filter(fits)
        .map(|p| p.key.clone())
        .collect();
    let (mesh, others): (Vec<_>, Vec<_>) = list.pairs().iter().partition(|pair| is_mesh(pair));
    for pair in mesh {
        let what = format!(
            "the server `{}` is a mesh of Weft: left out",
            pair.key.escape_debug()
        );
        warnings.push(Warning::new(source, &pair.at, what));
    }
    let found = others
        .into_iter()
        .map(|pair| {
            let name = rename(pair, &mut own, names);
            if name != pair.key {
                let written = pair.key.escape_debug();
                let what = format!("the server `{written}` is called `{name}` on the mesh");
                warnings.push(Warning::new(source, &pair.at, what));
            }
            let mut server = Client {
                pair,
                path: format!("{path}.{}", pair.key.escape_debug()),
                source,
                unused: Vec::new(),
                refused: None,
            };
            let node = server.translate(warnings);
            Found {
                name,
                path: server.path,
                key: pair.at.clone(),
                node,
                source,
                foreign: true,
                refused: server.refused,
            }
        })
        .collect();
    names.clients.append(&mut own);
    Ok(found)
}

/// Whether it is what `weft connect` writes: a mesh that were its own server would have no end.
fn is_mesh(pair: &Pair) -> bool {
    let node = |key: &str| Some(&pair.node.get(key)?.node);
    let program = node("command").and_then(Node::text).map(Path::new);
    let first = match node("args").map(|args| &args.value) {
        Some(Value::List(words)) => words.first().and_then(Node::text),
        _ => None,
    };
    let piped = program.and_then(Path::file_stem) == Some("weft".as_ref()) && first == Some("mcp");
    piped || (pair.key == "weft" && node("url").is_some())
}

/// The name on the mesh. `own` are the names of this list.
fn rename(pair: &Pair, own: &mut BTreeSet<String>, names: &Names) -> String {
    if name::check(&pair.key).is_ok() && !names.clients.contains(&pair.key) {
        return pair.key.clone();
    }
    let mut used = own.clone();
    used.extend(names.clients.iter().chain(&names.servers).cloned());
    let name = name::free(&name::slug(&pair.key), &used);
    own.insert(name.clone());
    name
}

/// One server of a client, on its way into our keys.
struct Client<'a> {
    pair: &'a Pair,
    path: String,
    source: &'a Source,
    unused: Vec<&'a str>,
    refused: Option<Problem>,
}

impl<'a> Client<'a> {
    fn translate(&mut self, warnings: &mut Vec<Warning>) -> Node {
        let pairs = self
            .pair
            .node
            .pairs()
            .iter()
            .filter_map(|pair| self.key(pair, warnings))
            .collect();
        if !self.unused.is_empty() {
            let what = format!("`{}`: not used: {}", self.path, self.unused.join(", "));
            warnings.push(Warning::new(self.source, &self.pair.at, what));
        }
        let value = match &self.pair.node.value {
            Value::Map(_) => Value::Map(pairs),
            other => other.clone(),
        };
        let mut node = Node {
            value,
            ..self.pair.node.clone()
        };
        variables(&mut node);
        node
    }

    /// One key in our words; none where it is not used.
    fn key(&mut self, pair: &'a Pair, warnings: &mut Vec<Warning>) -> Option<Pair> {
        let renamed = |key: &str, value: Value| {
            let mut pair = pair.clone();
            key.clone_into(&mut pair.key);
            pair.node.value = value;
            Some(pair)
        };
        match pair.key.as_str() {
            key if KEPT.contains(&key) => Some(pair.clone()),
            // Windsurf and Gemini have names of their own.
            "serverUrl" | "httpUrl" => renamed("url", pair.node.value.clone()),
            "disabled" => {
                let enabled = pair.node.text() != Some("true");
                renamed("enabled", Value::Plain(enabled.to_string()))
            }
            "timeout" => renamed("timeout", self.timeout(pair, warnings)?),
            "type" | "transport" => {
                self.transport(pair);
                None
            }
            key => {
                self.unused.push(key);
                None
            }
        }
    }

    fn timeout(&mut self, pair: &'a Pair, warnings: &mut Vec<Warning>) -> Option<Value> {
        let text = pair.node.text()?;
        let Ok(number) = text.parse::<u64>() else {
            return Some(pair.node.value.clone());
        };
        let (period, unit) = if number <= SECONDS_MAX {
            (format!("{number}s"), "seconds")
        } else {
            (format!("{number}ms"), "milliseconds")
        };
        let what = format!("`{}.timeout`: {number} is taken as {unit}", self.path);
        warnings.push(Warning::new(self.source, &pair.at, what));
        Some(Value::Text(period))
    }

    fn transport(&mut self, pair: &Pair) {
        let (what, help) = match pair.node.text().unwrap_or_default() {
            "stdio" | "http" | "streamable-http" | "streamableHttp" | "streamable_http" => return,
            "sse" => (
                "the two-endpoint HTTP+SSE transport of 2024-11-05 is not carried",
                "where the server also speaks Streamable HTTP (often at `/mcp` in place of \
                 `/sse`), write that URL and `\"type\": \"http\"`; else its `command`",
            ),
            _ => (
                "this transport is not known",
                "give the `command` of a server that speaks over stdio, or the `url` of one that \
                 speaks Streamable HTTP",
            ),
        };
        let problem =
            Problem::new(self.source, &pair.at, format!("`{}`: {what}", self.path)).help(help);
        self.refused.get_or_insert(problem);
    }
}

/// `${env:NAME}`, as VS Code and Cursor write it, is `${NAME}`.
fn variables(node: &mut Node) {
    match &mut node.value {
        Value::Text(text) if text.contains("${env:") => *text = text.replace("${env:", "${"),
        Value::List(items) => items.iter_mut().for_each(variables),
        Value::Map(pairs) => pairs.iter_mut().for_each(|pair| variables(&mut pair.node)),
        _ => {}
    }
}

/// JSON with `//` and `/* */` comments as JSON without: blanks take their place, so that line and
/// column stay. Trailing commas need nothing, YAML has them.
pub(crate) fn without_comments(text: &str) -> Cow<'_, str> {
    if !text.contains("//") && !text.contains("/*") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut state = State::Outside;
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        // The second character of a pair belongs to the first.
        let (after, pair) = match (state, c, next) {
            (State::Outside, '"', _) => (State::Text, false),
            (State::Outside, '/', Some('/')) => (State::Line, true),
            (State::Outside, '/', Some('*')) => (State::Block, true),
            (State::Text, '\\', Some(_)) => (State::Text, true),
            (State::Text, '"', _) | (State::Line, '\n', _) => (State::Outside, false),
            (State::Block, '*', Some('/')) => (State::Outside, true),
            (state, ..) => (state, false),
        };
        let commented = |c: char| {
            matches!(state, State::Line | State::Block)
                || matches!(after, State::Line | State::Block) && c != '\n'
        };
        let blank = |c: char| {
            if commented(c) && c != '\n' && c != '\r' {
                ' '
            } else {
                c
            }
        };
        out.push(blank(c));
        if pair && let Some(second) = chars.next() {
            out.push(blank(second));
        }
        state = after;
    }
    Cow::Owned(out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    Text,
    Line,
    Block,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_blanks_and_nothing_moves() {
        let text = "{ // one \"x\"\n \"a\": \"http://b\\\"//c\", /* two\n // */ \"d\": 1 }";
        let bare = without_comments(text);
        assert_eq!(
            bare,
            "{           \n \"a\": \"http://b\\\"//c\",       \n       \"d\": 1 }"
        );
        assert_eq!(bare.chars().count(), text.chars().count());
        assert!(matches!(without_comments("{}"), Cow::Borrowed(_)));
    }
}
