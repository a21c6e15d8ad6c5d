//! Shared resources: how much one owner may keep, and the folders whose files are shared.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Env,
    env::HOME,
    problem::{Problem, Problems},
    source::Source,
    tree::Node,
    unit::Size,
};
use crate::{
    name::ServerName,
    resource::{Act, Quota, Root, Sharing, check_grants},
};

/// Resources that the mesh keeps for its members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// How much one owner may keep.
    pub quota: Room,
    /// Folders whose files everybody sees whom their lists let, by name: 1 to 63 of a-z, 0-9 and
    /// `-`. The files are resources `root://{name}/{path}`; links and hidden files are not shared.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roots: BTreeMap<String, Root>,
}

/// How much one owner may keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Room {
    /// Resources, 1 to 10000.
    pub resources: u32,
    /// Bytes of all their contents together, those that are being sent among them: 64KiB to 1GiB.
    pub bytes: Size,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            resources: 1000,
            bytes: Size::mib(512),
        }
    }
}

impl Resources {
    /// What the control plane is told of it; what is wrong goes to `problems`.
    pub(super) fn read(
        &self,
        node: &Node,
        source: &Source,
        env: &Env,
        problems: &mut Problems,
    ) -> Sharing {
        let mut tell = |keys: &[&str], what: String| {
            let at = node.find(keys).unwrap_or(node);
            problems.push(Problem::new(source, &at.at, what));
        };
        if !(1..=10_000).contains(&self.quota.resources) {
            let what = format!(
                "`resources.quota.resources`: {}; 1 to 10000",
                self.quota.resources
            );
            tell(&["resources", "quota", "resources"], what);
        }
        let mut roots = BTreeMap::new();
        for (name, root) in &self.roots {
            let keys = ["resources", "roots", name.as_str()];
            let path = keys.join(".");
            if let Err(error) = ServerName::new(name) {
                tell(&keys, format!("`{path}`: {error}"));
            }
            if root.path.as_os_str().is_empty() {
                tell(
                    &keys,
                    format!("`{path}.path` is missing: the folder whose files are shared"),
                );
            }
            let writes = |grant: &crate::resource::Grant| grant.may.contains(&Act::Write);
            if let Err(error) = check_grants(&root.permissions) {
                tell(&keys, format!("`{path}`: {}", error.message()));
            } else if root.permissions.iter().any(writes) {
                tell(
                    &keys,
                    format!("`{path}.permissions`: files below a root are only read"),
                );
            }
            let home = env.get(HOME);
            let root = Root {
                path: source.path(&root.path, home),
                permissions: root.permissions.clone(),
            };
            roots.insert(name.clone(), root);
        }
        Sharing {
            quota: Quota {
                resources: u64::from(self.quota.resources),
                bytes: self.quota.bytes.bytes(),
            },
            roots,
        }
    }
}
