//! The environment: every variable that Weft reads, named once, and the one place that reads it.

use std::{collections::BTreeMap, fmt, path::Path};

use crate::config::{secret::Secret, source};

/// Folder of the state of a mesh, where `--data` is not given. Default: `.weft`.
pub const WEFT_DATA: &str = "WEFT_DATA";
/// URL of the NATS server of a mesh. With [`WEFT_TOKEN`] it suffices to join.
pub const WEFT_NATS_URL: &str = "WEFT_NATS_URL";
/// The Weft token of who joins. Others can read a process's environment: prefer
/// [`WEFT_TOKEN_FILE`].
pub const WEFT_TOKEN: &str = "WEFT_TOKEN";
/// File that holds the Weft token of who joins.
pub const WEFT_TOKEN_FILE: &str = "WEFT_TOKEN_FILE";
/// What is logged, in the form of `RUST_LOG`: `info`, `weftbus::bus=debug,warn`.
pub const WEFT_LOG: &str = "WEFT_LOG";
/// Where the gateway listens: `127.0.0.1:7420`.
pub const WEFT_LISTEN: &str = "WEFT_LISTEN";
/// `1` or `true`: reach and be reached beyond this machine without TLS, as with `--insecure`.
pub const WEFT_INSECURE: &str = "WEFT_INSECURE";
/// The configuration file, where `-c` is not given. Default: `weft.yaml`, where there is one.
pub const WEFT_CONFIG: &str = "WEFT_CONFIG";
/// Set to anything but nothing: no colour. <https://no-color.org>
pub const NO_COLOR: &str = "NO_COLOR";
/// URL of an existing NATS server, as the `nats` command reads it.
pub const NATS_URL: &str = "NATS_URL";
/// Credentials file for an existing NATS server, as the `nats` command reads it.
pub const NATS_CREDS: &str = "NATS_CREDS";
/// A context of the `nats` command to take broker and credentials from.
pub const NATS_CONTEXT: &str = "NATS_CONTEXT";
/// Name of a server that joins, where none is given: the description of the project has it.
pub const MCP_SERVER_NAME: &str = "MCP_SERVER_NAME";
/// Folder of the user's configuration, for the contexts of `nats`. Default: `$HOME/.config`.
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// The user's home: `~/` in a path of a configuration file.
pub const HOME: &str = "HOME";
/// Where commands are looked for.
pub const PATH: &str = "PATH";

/// Variables by which a loader runs foreign code in a program before its own: lists of servers are
/// passed around, and nobody looks for a program in a variable.
const LOADED_FIRST: [&str; 3] = ["LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"];

/// Why a server is not given this variable.
pub(crate) fn wrong(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Some("is no variable name");
    }
    LOADED_FIRST.contains(&name).then_some(
        "runs other code than the command in its process: start a script that sets it, if it is meant",
    )
}

/// Bytes of a file with a secret in it at most.
pub(crate) const SECRET_MAX: u64 = 64 * 1024;

/// A snapshot of environment variables. Tests bring their own; its `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The variables of this process whose name and value are UTF-8.
    #[must_use]
    pub fn process() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment; all else is handed a snapshot"
        )]
        let all = std::env::vars_os();
        Self(
            all.filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            })
            .collect(),
        )
    }

    /// A variable. One that is set to nothing counts as not set, as in most programs.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether a variable is there at all, be it empty.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The token that `WEFT_TOKEN` or `WEFT_TOKEN_FILE` gives.
    ///
    /// # Errors
    /// Both are set, or the file cannot be read: in words for the user.
    pub fn token(&self) -> Result<Option<Secret>, String> {
        match (self.get(WEFT_TOKEN), self.get(WEFT_TOKEN_FILE)) {
            (Some(_), Some(_)) => Err(format!(
                "{WEFT_TOKEN} and {WEFT_TOKEN_FILE} are both set: keep one"
            )),
            (Some(token), None) => Ok(Some(Secret::new(token))),
            (None, Some(path)) => source::text(Path::new(path), SECRET_MAX)
                .map(|text| Some(Secret::from_file(text)))
                .map_err(|why| format!("{WEFT_TOKEN_FILE}: the file {path} {why}")),
            (None, None) => Ok(None),
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_shows_names_alone() {
        let env: Env = [("TOKEN", "s3cret"), ("EMPTY", "")].into_iter().collect();
        assert_eq!(format!("{env:?}"), r#"{"EMPTY", "TOKEN"}"#);
        assert_eq!((env.get("TOKEN"), env.get("EMPTY")), (Some("s3cret"), None));
        assert!(env.is_set("EMPTY") && !env.is_set("ABSENT"));
    }

    #[test]
    fn the_process_has_a_path() {
        assert!(Env::process().get(PATH).is_some());
    }

    #[test]
    fn the_token_comes_from_one_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc\n").unwrap();
        let path = file.path().to_str().unwrap();
        let env: Env = [(WEFT_TOKEN_FILE, path)].into_iter().collect();
        assert_eq!(env.token().unwrap().unwrap().reveal(), "abc");
        let env: Env = [(WEFT_TOKEN_FILE, path), (WEFT_TOKEN, "x")]
            .into_iter()
            .collect();
        assert!(env.token().unwrap_err().contains("both"));
        let env: Env = [(WEFT_TOKEN_FILE, "nowhere/token")].into_iter().collect();
        assert!(env.token().unwrap_err().contains("does not exist"));
    }
}
