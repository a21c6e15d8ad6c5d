//! The configuration: read from flags, environment, `weft.yaml` and the files of MCP clients, in
//! this order of precedence, with the place of every mistake.
//!
//! Two kinds of mistake are told apart. A file that says what it must not (an unknown key, a bad
//! duration, a name that is used twice) is refused whole, with all its [`Problems`]. A server that
//! cannot be started (a variable is not set, its transport is not carried) has the reason in its
//! [`Member`], and the others start.

mod batch;
mod broker;
mod cache;
mod calls;
mod choice;
mod decode;
pub mod env;
mod expand;
mod gateway;
mod gather;
mod import;
mod later;
mod limits;
mod model;
mod name;
pub mod nats_context;
mod policy;
mod pool;
mod problem;
mod rate;
mod resource;
mod secret;
mod server;
mod show;
mod source;
mod tree;
mod unit;
mod walk;

use std::{fmt, net::SocketAddr, path::PathBuf};

pub use batch::Batch;
pub use broker::{Broker, Credentials, Tls};
pub use cache::Cache;
pub use calls::{Audit, ChangedTools, ServerEvents, Validate, tools};
pub use env::Env;
pub use gateway::{Edge, Gateway, GatewayIssuer, GatewayTls};
pub use limits::{Limits, Rule, ServerLimits};
pub use model::{Config, KeyFile, Nats, Server, TlsFiles};
pub use name::slug;
pub use policy::{Breaker, Policy, Retry};
pub use pool::{Pin, Pool};
pub use problem::{Place, Problem, Problems, Warning, nearest};
pub use rate::{NotARate, Rate};
pub use resource::{Resources, Room};
pub use secret::{Address, Secret, SecretSource, Setting};
pub use server::{Launch, Member, Process, Remote, Target, header};
pub use show::show;
pub use unit::{NotAUnit, Period, Size};

use choice::Question;
use decode::decode;
use env::{WEFT_CONFIG, WEFT_DATA, WEFT_INSECURE};
use gather::Gathered;
use source::Source;
use tree::Node;

use crate::resource::Sharing;

/// The file that is read where none is named and it is there.
pub const FILE: &str = "weft.yaml";
/// The folder of the state where none is named.
pub const DATA: &str = ".weft";

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file (`-c`). None: `WEFT_CONFIG`, or `weft.yaml` where there is one.
    pub file: Option<PathBuf>,
    /// Files of MCP clients (`--import`).
    pub import: Vec<PathBuf>,
    /// What flags say.
    pub overrides: Overrides,
    /// The environment.
    pub env: Env,
    /// Where `weft.yaml` is looked for. Empty: the folder of the process.
    pub folder: PathBuf,
}

/// What flags say; it stands above all else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--nats URL`: an existing NATS server.
    pub nats_url: Option<String>,
    /// `--nats-server PATH`: the program of the NATS server to start.
    pub nats_server: Option<PathBuf>,
    /// `--data DIR`: the folder of the state.
    pub data: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--insecure`: reach and be reached beyond this machine without TLS.
    pub insecure: bool,
}

impl Sources {
    /// Whether flags or environment let other machines be spoken to without TLS.
    fn insecure(&self) -> bool {
        let said = self.env.get(WEFT_INSECURE);
        self.overrides.insecure || said.is_some_and(|said| said == "1" || said == "true")
    }
}

/// A configuration that holds together.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// As it is written, the servers of clients included, `${VAR}` not expanded.
    pub config: Config,
    /// The servers in the order of their names, with what is needed to start each.
    pub members: Vec<Member>,
    /// The NATS server.
    pub broker: Broker,
    /// The gateway, beyond what stands in `config`.
    pub edge: Edge,
    /// The folder of the state.
    pub data: PathBuf,
    /// What works, but not as one might think.
    pub warnings: Vec<Warning>,
    /// What is said about shared resources, the folders of roots resolved.
    pub sharing: Sharing,
    /// Where each part comes from.
    pub origin: Origins,
    /// The files that were read, for who watches them.
    pub files: Vec<PathBuf>,
}

/// Where the parts of a configuration come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// The files that name servers.
    pub servers: Vec<Origin>,
    /// The NATS server.
    pub nats: Origin,
    /// `policy`.
    pub policy: Origin,
    /// `limits`.
    pub limits: Origin,
    /// Of the gateway's address.
    pub gateway: Origin,
    /// The folder of the state.
    pub data: Origin,
}

/// Where a part of a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// This file.
    File(String),
    /// This variable.
    Environment(&'static str),
    /// This flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name) => write!(f, "file {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// What is wrong in the files, the flags or the environment, up to [`Problems::MAX`] at once.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut unread = Problems::default();
    let files = files(sources, &mut unread);
    let mut gathered = Gathered::after(unread);
    let mut config = Config::default();
    let (mut main, mut sharing) = (None, Sharing::default());
    for file in &files {
        if file.foreign {
            gathered.take_client(&file.source, &file.tree);
        } else {
            let mut tree = file.tree.clone();
            gathered.take_main(&file.source, &mut tree);
            config = decode(&tree, "", &file.source, &mut gathered.problems);
            config.check(&tree, &file.source, &mut gathered.problems);
            sharing =
                (config.resources).read(&tree, &file.source, &sources.env, &mut gathered.problems);
            main = Some((&file.source, tree));
        }
    }
    let found = gathered.read(&mut config);
    let nats = Question {
        env: &sources.env,
        overrides: &sources.overrides,
        insecure: sources.insecure(),
        file: main.as_ref().and_then(|main| block(main, "nats")),
    };
    let gateway = gateway::answer(sources, &mut config.gateway, &mut gathered.problems);
    let block_of = main.as_ref().and_then(|main| block(main, "gateway"));
    let edge = gateway::edge(sources, block_of, &mut gathered.problems);
    let (broker, nats) = nats.answer(&mut gathered.problems, &mut gathered.warnings);
    gathered.problems.into_result()?;

    let (data, data_origin) = data(sources);
    let from = |key| match main.as_ref().and_then(|main| block(main, key)) {
        Some((_, source)) => Origin::File(source.name().to_owned()),
        None => Origin::Default,
    };
    Ok(Loaded {
        origin: Origins {
            servers: gathered.origins,
            nats,
            policy: from("policy"),
            limits: from("limits"),
            gateway: gateway.unwrap_or_else(|| from("gateway")),
            data: data_origin,
        },
        members: found
            .into_iter()
            .map(|found| found.member(&sources.env, &config.policy))
            .collect(),
        files: files.iter().map(|file| file.path.clone()).collect(),
        warnings: gathered.warnings,
        config,
        sharing,
        broker,
        edge,
        data,
    })
}

/// The JSON Schema (draft 2020-12) of a configuration file.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::generate::SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Config>()
}

/// The files whose change changes the configuration, whether they are there or not.
#[must_use]
pub fn watched(sources: &Sources) -> Vec<PathBuf> {
    std::iter::once(main_file(sources).unwrap_or_else(|| sources.folder.join(FILE)))
        .chain(sources.import.iter().cloned())
        .collect()
}

/// The configuration file that is named.
fn main_file(sources: &Sources) -> Option<PathBuf> {
    let named = || sources.env.get(WEFT_CONFIG).map(PathBuf::from);
    sources.file.clone().or_else(named)
}

/// A file that was read.
struct Read {
    path: PathBuf,
    source: Source,
    tree: Node,
    /// It belongs to an MCP client.
    foreign: bool,
}

/// The configuration file, which is the first where there is one, and those of clients.
fn files(sources: &Sources, problems: &mut Problems) -> Vec<Read> {
    let named = main_file(sources);
    let usual = || Some(sources.folder.join(FILE)).filter(|path| path.exists());
    let main = named.or_else(usual).map(|path| (path, false));
    let clients = sources.import.iter().map(|path| (path.clone(), true));
    main.into_iter()
        .chain(clients)
        .filter_map(|(path, foreign)| {
            read(path, foreign, problems)
                .map_err(|problem| problems.push(problem))
                .ok()
        })
        .collect()
}

fn read(path: PathBuf, foreign: bool, problems: &mut Problems) -> Result<Read, Problem> {
    let json = path
        .extension()
        .is_some_and(|end| end == "json" || end == "jsonc");
    let mut source = Source::read(&path)?;
    if foreign || json {
        source = source.map(|text| import::without_comments(&text).into_owned());
    }
    let mut tree = tree::parse(&source)?;
    source.understand(&tree);
    tree.take_duplicates(&source, problems);
    Ok(Read {
        path,
        source,
        tree,
        foreign,
    })
}

/// A block of the file, where it says something.
fn block<'a>((source, tree): &'a (&Source, Node), key: &str) -> Option<(&'a Node, &'a Source)> {
    let node = &tree.get(key)?.node;
    (!matches!(node.value, tree::Value::Null)).then_some((node, source))
}

fn data(sources: &Sources) -> (PathBuf, Origin) {
    match (&sources.overrides.data, sources.env.get(WEFT_DATA)) {
        (Some(data), _) => (data.clone(), Origin::Flag("--data")),
        (None, Some(data)) => (PathBuf::from(data), Origin::Environment(WEFT_DATA)),
        (None, None) => (PathBuf::from(DATA), Origin::Default),
    }
}

#[cfg(test)]
mod tests;
