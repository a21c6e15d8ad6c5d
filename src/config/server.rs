//! From what a file says about a server to what is needed to start it, or to the reason why that
//! is not possible. The reason belongs to this server: the others start.

use std::{
    collections::BTreeMap,
    fmt,
    path::{MAIN_SEPARATOR, Path, PathBuf},
    time::Duration,
};

use crate::{
    adapter::streamable::{Endpoint, Headers},
    config::{
        batch::Batch,
        cache::Cache,
        calls::{Audit, ChangedTools, Validate},
        decode::decode,
        env::{Env, HOME, SECRET_MAX},
        expand::expand_all,
        limits::ServerLimits,
        model::Server,
        policy::{Breaker, Policy, Retry},
        pool::Pool,
        problem::{Place, Problem, Problems},
        secret::{Secret, Setting},
        source::{self, Source},
        tree::{At, Node, Value},
    },
};

/// One server of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name on the mesh.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// `false`: it is not to be started.
    pub enabled: bool,
    /// How it is had, or why it can't be. For a server that is not enabled it is the same.
    pub launch: Result<Launch, Problem>,
}

/// How a server is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Where it is.
    pub target: Target,
    /// How long a call may take.
    pub timeout: Duration,
    /// Tools that may be called again where nobody knows whether a call had begun: patterns.
    pub idempotent: Vec<String>,
    /// How often a call that failed is made again.
    pub retry: Retry,
    /// When the server is left alone.
    pub breaker: Breaker,
    /// How many processes, or sessions, of it there are.
    pub pool: Pool,
    /// Which calls to it go out together.
    pub batch: Option<Batch>,
    /// Which of its answers are kept.
    pub cache: Cache,
    /// Who checks arguments.
    pub validate: Validate,
    /// When it is written down that a call goes on.
    pub audit: Audit,
    /// What becomes of tools that are not what was approved.
    pub changed_tools: ChangedTools,
    /// Tools whose calls are told as tasks: patterns.
    pub tasks: Vec<String>,
    /// How often and how much each caller may call it.
    pub limits: ServerLimits,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A program to start.
    Process(Process),
    /// A URL to speak to.
    Remote(Remote),
}

/// A server that runs somewhere. Its `Debug` shows neither a query nor values of headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its URL.
    pub endpoint: Endpoint,
    /// Headers that are added to each request.
    pub headers: Headers,
}

/// A process to start. Its `Debug` shows neither arguments nor values of variables.
#[derive(Clone, PartialEq, Eq)]
pub struct Process {
    /// The program: a bare name for PATH, or an absolute path.
    pub command: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables to add to its environment.
    pub env: BTreeMap<String, Secret>,
    /// The folder to run it in; none: the one that Weft runs in.
    pub cwd: Option<PathBuf>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("command", &self.command)
            .field("args", &format_args!("{} of them", self.args.len()))
            .field("env", &self.env)
            .field("cwd", &self.cwd)
            .finish()
    }
}

/// A server as it was found in a file.
#[derive(Clone)]
pub(crate) struct Found<'a> {
    pub(crate) name: String,
    /// As the file calls it, with the list that it stands in: `servers.docs`.
    pub(crate) path: String,
    /// Where its name stands.
    pub(crate) key: At,
    /// What it says, in our keys.
    pub(crate) node: Node,
    pub(crate) source: &'a Source,
    /// It came from a client's file, which is not ours to refuse.
    pub(crate) foreign: bool,
    /// Why it cannot be started, as far as that is known already.
    pub(crate) refused: Option<Problem>,
}

const EXPANDED: &[&str] = &["command", "args", "env", "url", "headers", "cwd"];

impl Found<'_> {
    /// Reads it as it is written. Mistakes are problems of the file; in a client's file they are
    /// this server's.
    pub(crate) fn read(&mut self, problems: &mut Problems) -> Server {
        let mut own = Problems::default();
        let server: Server = decode(&self.node, &self.path, self.source, &mut own);
        let mut found = own.list().to_vec();
        // What was wrongly written is absent now, and not to be missed once more.
        if found.is_empty() {
            found = server.check((&self.node, &self.path), self.source);
        }
        if self.foreign {
            self.refused = self.refused.take().or(found.into_iter().next());
        } else {
            found.into_iter().for_each(|problem| problems.push(problem));
        }
        server
    }

    /// What to start, where the mesh as a whole has this `policy`.
    pub(crate) fn member(mut self, env: &Env, policy: &Policy) -> Member {
        let launch = match self.refused.take() {
            Some(problem) => Err(problem),
            None => self.launch(env, policy),
        };
        Member {
            enabled: self
                .node
                .find(&["enabled"])
                .is_none_or(|node| node.text() != Some("false")),
            place: Place {
                file: self.source.name().to_owned(),
                line: self.key.line,
                column: self.key.column,
            },
            launch,
            name: self.name,
        }
    }

    fn launch(&mut self, env: &Env, policy: &Policy) -> Result<Launch, Problem> {
        let server = self.expanded(env).map_err(first)?;
        let timeout = server.timeout.unwrap_or(policy.timeout).duration();
        let retry = server.retry.unwrap_or(policy.retry);
        let breaker = server.breaker.unwrap_or(policy.breaker);
        let pool = server.pool.unwrap_or(policy.pool);
        let batch = server.batch.or(policy.batch);
        let cache = server.cache.as_ref().unwrap_or(&policy.cache).clone();
        let idempotent = server.idempotent.clone();
        let (validate, audit) = (server.validate, server.audit);
        let changed_tools = server.changed_tools;
        let (tasks, limits) = (server.events.tasks.clone(), server.limits.clone());
        let target = match &server.url {
            Some(url) => Target::Remote(self.remote(url.reveal(), &server.headers, env)?),
            None => Target::Process(self.process(server, env)?),
        };
        Ok(Launch {
            target,
            timeout,
            idempotent,
            retry,
            breaker,
            pool,
            batch,
            cache,
            validate,
            audit,
            changed_tools,
            tasks,
            limits,
        })
    }

    fn remote(
        &self,
        url: &str,
        headers: &BTreeMap<String, Setting>,
        env: &Env,
    ) -> Result<Remote, Problem> {
        let endpoint = Endpoint::own(url).map_err(|error| {
            let at = self
                .node
                .get("url")
                .map_or(&self.node.at, |pair| &pair.node.at);
            Problem::new(self.source, at, format!("`{}.url`: {error}", self.path))
        })?;
        let mut added = Headers::default();
        for (name, value) in self.fetch("headers", headers, env)? {
            added.add(&name, value.reveal()).map_err(|error| {
                let at = self.node.find(&["headers", &name]).unwrap_or(&self.node);
                Problem::new(
                    self.source,
                    &at.at,
                    format!("`{}.headers`: {error}", self.path),
                )
            })?;
        }
        Ok(Remote {
            endpoint,
            headers: added,
        })
    }

    fn process(&self, server: Server, env: &Env) -> Result<Process, Problem> {
        let command = server.command.unwrap_or_default();
        let home = env.get(HOME);
        let cwd = match server.cwd {
            Some(cwd) => Some(self.source.path(&cwd, home)),
            None if self.foreign => None,
            None => Some(self.source.folder().to_owned()),
        };
        Ok(Process {
            command: if command.contains(['/', MAIN_SEPARATOR]) {
                self.source.path(Path::new(&command), home)
            } else {
                PathBuf::from(command)
            },
            args: server.args,
            env: self.fetch("env", &server.env, env)?,
            cwd,
        })
    }

    fn expanded(&mut self, env: &Env) -> Result<Server, Problems> {
        let mut problems = Problems::default();
        if let Value::Map(pairs) = &mut self.node.value {
            for pair in pairs {
                if EXPANDED.contains(&pair.key.as_str()) {
                    let path = format!("{}.{}", self.path, pair.key);
                    expand_all(&mut pair.node, &path, env, (self.source, &mut problems));
                }
            }
        }
        let server = decode(&self.node, &self.path, self.source, &mut problems);
        problems.into_result().map(|()| server)
    }

    /// The values of the settings under a key.
    fn fetch(
        &self,
        key: &str,
        settings: &BTreeMap<String, Setting>,
        env: &Env,
    ) -> Result<BTreeMap<String, Secret>, Problem> {
        let fetch = |(name, setting): (&String, &Setting)| {
            let secret = setting.fetch(env, self.source).map_err(|why| {
                let at = self.node.find(&[key, name]).unwrap_or(&self.node);
                let what = format!("`{}.{key}.{name}`: {why}", self.path);
                Problem::new(self.source, &at.at, what)
            })?;
            Ok((name.clone(), secret))
        };
        settings.iter().map(fetch).collect()
    }
}

/// A header as a command line names it: `NAME=VARIABLE`, or `NAME=@FILE`. The value itself has no
/// place on a command line, where everybody on the machine can read it.
///
/// # Errors
/// What is wrong, in words for the user; without the value.
pub fn header(spec: &str, env: &Env) -> Result<(String, Secret), String> {
    let (name, place) = spec
        .split_once('=')
        .ok_or("a header is `NAME=VARIABLE`, or `NAME=@FILE`")?;
    Headers::check(name).map_err(|error| error.to_string())?;
    let secret = match place.strip_prefix('@') {
        Some(file) => source::text(Path::new(file), SECRET_MAX)
            .map(Secret::from_file)
            .map_err(|why| format!("header `{name}`: the file {file} {why}"))?,
        None => env.get(place).map(Secret::new).ok_or_else(|| {
            // What stands there may be the value, by mistake: it is not repeated.
            format!(
                "header `{name}`: behind `=` belongs the name of a variable that is set, or \
                 `@FILE`; not the value itself, which others could read"
            )
        })?,
    };
    Ok((name.to_owned(), secret))
}

fn first(problems: Problems) -> Problem {
    problems.list()[0].clone()
}
