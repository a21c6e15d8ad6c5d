//! What the entry of a server says of its calls: who checks them, what is told and written of them,
//! and whether a tool that changed is called.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Patterns of tools in one list.
const PATTERNS_MAX: usize = 64;

/// Which calls of a server are told as events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerEvents {
    /// Tools whose calls are tasks: `*`, `prefix*` or a name, 64 at most. Each call of theirs is
    /// told as `task.created` when it begins, and as `task.completed` or `task.failed` when it
    /// ended.
    #[schemars(length(max = 64))]
    pub tasks: Vec<String>,
}

impl ServerEvents {
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// What is no pattern of tools in a list, in words.
pub(super) fn wrong_patterns(list: &[String]) -> Option<String> {
    if list.len() > PATTERNS_MAX {
        let count = list.len();
        return Some(format!(
            "{count} patterns; at most {PATTERNS_MAX} are taken"
        ));
    }
    list.iter().find_map(|text| tools(text).err())
}

/// A pattern of tools as a command line has it.
///
/// # Errors
/// What is wrong with it, in words.
pub fn tools(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('*').unwrap_or(text);
    if text.is_empty() || name.contains('*') {
        let shown = text.escape_debug();
        return Err(format!(
            "`{shown}` is no pattern: a tool is `*`, `prefix*` or a name"
        ));
    }
    Ok(text.to_owned())
}

/// Who checks the arguments of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Validate {
    /// The server itself, as the protocol asks of it.
    #[default]
    Server,
    /// The adapter, before the server sees the call: for servers that do not check.
    Adapter,
}

/// When it is written to the audit trail that a call may go on. A refusal is written before it is
/// told, whatever this says; what can't be written is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Audit {
    /// Within 200 ms, while the call goes on: a process that is killed loses so much.
    #[default]
    Soon,
    /// Before the call goes on, which takes as long as the broker takes to write it to its disk.
    Strict,
}

impl Audit {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
    pub(super) fn is_soon(&self) -> bool {
        *self == Self::Soon
    }
}

/// What becomes of tools that say something else of themselves than when they were approved, or
/// that are new. What is seen first of a server is approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangedTools {
    /// It is told: as an event, in the log, by `weft approve`. They are called as before.
    #[default]
    Tell,
    /// They are told of, and neither listed nor called until somebody approves them.
    Quarantine,
}

impl ChangedTools {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
    pub(super) fn is_tell(&self) -> bool {
        *self == Self::Tell
    }
}
