//! `tests/real/calls.json`: what is asked of each real server, on which state, and what may differ
//! between two executions. Its `about` is the law here.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{server::root, stage::real};

const VOLATILE: &str = "<volatile>";

#[derive(Deserialize)]
pub(super) struct Plans {
    pub(super) servers: BTreeMap<String, Plan>,
}

/// One server.
#[derive(Deserialize)]
pub(super) struct Plan {
    command: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    setup: Setup,
    #[serde(default)]
    volatile: Vec<Rule>,
    pub(super) calls: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Setup {
    files: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    commands: Vec<Vec<String>>,
}

/// One tool, and the calls of it.
#[derive(Deserialize)]
pub(super) struct Entry {
    pub(super) tool: String,
    valid: Value,
    missing: Option<Value>,
    fails: Option<String>,
    #[serde(default)]
    volatile: Vec<Rule>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rule {
    Pointer(String),
    Pattern(String),
}

/// One call.
pub(super) struct Step<'a> {
    pub(super) tool: &'a str,
    pub(super) arguments: Value,
    pub(super) must_fail: bool,
    entry: &'a Entry,
}

impl Plans {
    pub(super) fn read() -> Self {
        let text = fs::read(root().join("tests/real/calls.json")).expect("it is there");
        serde_json::from_slice(&text).expect("calls.json is of the shape that its `about` says")
    }
}

impl Plan {
    /// Makes the fresh state in this folder.
    pub(super) fn prepare(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("the folder is ours");
        for (name, text) in &self.setup.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("ours");
            fs::write(path, text).expect("ours");
        }
        for command in &self.setup.commands {
            let done = Command::new(&command[0])
                .args(&command[1..])
                .envs(&self.setup.env)
                .current_dir(folder)
                .stdout(Stdio::null())
                .status();
            assert!(done.expect("it runs").success(), "{command:?} failed");
        }
    }

    /// The server as MCP clients write it down.
    pub(super) fn entry(&self, folder: &Path) -> Value {
        let command = real(&self.command[0]);
        let (args, env) = (
            fill(&json!(self.command[1..]), folder),
            fill(&json!(self.env), folder),
        );
        json!({"command": command, "args": args, "env": env})
    }

    /// Its calls, in order.
    pub(super) fn steps(&self, folder: &Path) -> Vec<Step<'_>> {
        self.calls
            .iter()
            .flat_map(|entry| entry.steps(folder))
            .collect()
    }

    /// An answer without what may differ between two executions.
    pub(super) fn scrubbed(&self, mut answer: Value, step: Option<&Step<'_>>, at: &Path) -> Value {
        let own = step.map_or(&[][..], |step| &step.entry.volatile);
        // What holds for a server holds for its calls, not for what it lists.
        let all = if step.is_some() {
            &self.volatile[..]
        } else {
            &[]
        };
        let mut patterns = vec![regex::escape(&at.display().to_string())];
        for rule in all.iter().chain(own) {
            match rule {
                Rule::Pattern(pattern) => patterns.push(pattern.clone()),
                Rule::Pointer(pointer) => {
                    let result = answer.get_mut("result");
                    if let Some(value) = result.and_then(|result| result.pointer_mut(pointer)) {
                        *value = VOLATILE.into();
                    }
                }
            }
        }
        for pattern in patterns {
            let pattern = Regex::new(&pattern).expect("a pattern that Python and Rust both read");
            blank(&mut answer, &pattern);
        }
        answer
    }
}

impl Entry {
    fn steps(&self, folder: &Path) -> impl Iterator<Item = Step<'_>> {
        let valid = self.step(&self.valid, self.fails.is_some(), folder);
        let missing = self.missing.as_ref();
        let missing = missing.map(|arguments| self.step(arguments, true, folder));
        std::iter::once(valid).chain(missing)
    }

    fn step(&self, arguments: &Value, must_fail: bool, folder: &Path) -> Step<'_> {
        Step {
            tool: &self.tool,
            arguments: fill(arguments, folder),
            must_fail,
            entry: self,
        }
    }
}

fn blank(value: &mut Value, pattern: &Regex) {
    match value {
        Value::String(text) => *text = pattern.replace_all(text, VOLATILE).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| blank(item, pattern)),
        Value::Object(members) => members.values_mut().for_each(|item| blank(item, pattern)),
        _ => {}
    }
}

/// The value with its placeholders replaced.
fn fill(value: &Value, folder: &Path) -> Value {
    let folder = json!(folder).to_string();
    let folder = &folder[1..folder.len() - 1];
    let text = value.to_string();
    let text = text.replace("${DIR}", folder).replace("${REPO}", folder);
    serde_json::from_str(&text).expect("still JSON")
}
