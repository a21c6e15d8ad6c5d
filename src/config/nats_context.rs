//! The contexts of the `nats` command: where it keeps brokers and credentials, a JSON file each
//! under `$XDG_CONFIG_HOME/nats/context`, and in `nats/context.txt` which of them is selected.

use std::path::{Path, PathBuf};

use crate::config::{
    broker::{Credentials, Layer, Tls, home},
    env::{Env, HOME, XDG_CONFIG_HOME},
    problem::Warning,
    secret::Secret,
    source::{self, Source},
    tree::{self, Node},
};

/// Keys that change how one connects and that Weft does not do.
const IGNORED: &[&str] = &[
    "inbox_prefix",
    "nsc",
    "user_jwt",
    "user_seed",
    "jetstream_domain",
    "jetstream_api_prefix",
    "tls_first",
    "socks_proxy",
];

/// Bytes of `context.txt` at most: it holds one name.
const SELECTED_MAX: u64 = 4096;

/// The context that `nats context select` chose; none where there is none.
#[must_use]
pub fn selected(env: &Env) -> Option<String> {
    let text = source::text(&folder(env)?.join("context.txt"), SELECTED_MAX).ok()?;
    let name = text.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn folder(env: &Env) -> Option<PathBuf> {
    env.get(XDG_CONFIG_HOME)
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(env.get(HOME)?).join(".config")))
        .map(|config| config.join("nats"))
}

/// What a context says. The error continues the name of who asked for it.
pub(crate) fn read(name: &str, env: &Env, warnings: &mut Vec<Warning>) -> Result<Layer, String> {
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name.contains("..") {
        return Err(format!("`{}` is no name of a context", name.escape_debug()));
    }
    let folder = folder(env).ok_or("contexts are looked for in HOME, which is not set")?;
    let path = folder.join("context").join(format!("{name}.json"));
    let source = Source::read(&path)
        .map_err(|problem| format!("{}: `nats context list` names them", problem.message()))?;
    let tree = tree::parse(&source).map_err(|problem| problem.summary())?;
    for pair in tree.pairs() {
        let set = pair
            .node
            .text()
            .is_some_and(|text| !text.is_empty() && text != "false");
        if set && IGNORED.contains(&pair.key.as_str()) {
            let what = format!("the context `{name}`: `{}` is not used", pair.key);
            warnings.push(Warning::new(&source, &pair.at, what));
        }
    }
    // As the `nats` command has it where a context names no server.
    let url = text(&tree, "url").unwrap_or("nats://127.0.0.1:4222");
    let own = Layer {
        credentials: credentials(&tree, env),
        tls: Tls {
            ca: path_of(&tree, "ca", env),
            cert: path_of(&tree, "cert", env),
            key: path_of(&tree, "key", env),
            insecure: false,
        },
        ..Layer::default()
    };
    let at = Layer::at(url).map_err(|why| format!("the context `{name}`: {why}"))?;
    Ok(own.over(at))
}

fn text<'a>(tree: &'a Node, key: &str) -> Option<&'a str> {
    tree.get(key)?.node.text().filter(|text| !text.is_empty())
}

fn path_of(tree: &Node, key: &str, env: &Env) -> Option<PathBuf> {
    text(tree, key).map(|path| home(path, env))
}

/// The first in the order in which the `nats` command's library lets them stand.
fn credentials(tree: &Node, env: &Env) -> Credentials {
    if let Some(path) = path_of(tree, "creds", env) {
        return Credentials::Creds(path);
    }
    if let Some(path) = path_of(tree, "nkey", env) {
        return Credentials::Nkey(path);
    }
    if let Some(user) = text(tree, "user") {
        return Credentials::User {
            user: user.to_owned(),
            password: Secret::new(text(tree, "password").unwrap_or_default()),
        };
    }
    match text(tree, "token") {
        Some(token) => Credentials::Token(Secret::new(token)),
        None => Credentials::None,
    }
}
