//! The names of tools where all servers are shown as one: `server__tool`.
//!
//! No server name has a `_`, so a name is read back without a table: what stands before the first
//! `__` is the server. Only a name that would be too long for MCP is cut, and then it has to be
//! looked up.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::name::ServerName;

/// What stands between the two names.
const BETWEEN: &str = "__";
/// The longest name that clients must take (2026-07-28, server/tools, Tool Names).
pub const BYTES_MAX: usize = 128;
/// What a name that was cut ends with: `_` and so many digits of its digest.
const DIGITS: usize = 8;

/// The name of a tool among those of all servers: at most [`BYTES_MAX`] bytes.
///
/// ```
/// use weftbus::{gateway::name, name::ServerName};
/// let time = ServerName::new("time")?;
/// let shown = name::shown(&time, "convert_time");
/// assert_eq!(shown, "time__convert_time");
/// assert_eq!(name::split(&shown), Some((time, "convert_time")));
/// # Ok::<(), weftbus::name::id::NameError>(())
/// ```
#[must_use]
pub fn shown(server: &ServerName, tool: &str) -> String {
    let whole = format!("{server}{BETWEEN}{tool}");
    if whole.len() <= BYTES_MAX {
        return whole;
    }
    let digest = HEXLOWER.encode(&Sha256::digest(whole.as_bytes()));
    let most = BYTES_MAX - 1 - DIGITS;
    let end = (0..=most).rev().find(|at| whole.is_char_boundary(*at));
    format!(
        "{}_{}",
        &whole[..end.unwrap_or_default()],
        &digest[..DIGITS]
    )
}

/// The server and the tool of a name that was not cut.
#[must_use]
pub fn split(shown: &str) -> Option<(ServerName, &str)> {
    let (server, tool) = shown.split_once(BETWEEN)?;
    let server = ServerName::new(server).ok()?;
    (!tool.is_empty()).then_some((server, tool))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_is_too_long_is_cut_and_stays_its_own() {
        let server = ServerName::new(&"s".repeat(63)).expect("a name");
        let (one, two) = ("t".repeat(100), format!("{}x", "t".repeat(99)));
        let (one, two) = (shown(&server, &one), shown(&server, &two));
        assert_eq!((one.len(), two.len()), (BYTES_MAX, BYTES_MAX));
        assert_ne!(one, two);
    }

    #[test]
    fn what_is_no_name_of_a_tool_is_told() {
        for none in ["", "echo", "time__", "__x", "Time__x", "a_b__c"] {
            assert_eq!(split(none), None, "{none}");
        }
    }

    proptest! {
        /// Whatever a tool is called, its name leads back to it.
        #[test]
        fn names_are_read_back(server in "[a-z0-9-]{1,30}", tool in "\\PC{1,12}") {
            let server = ServerName::new(&server).expect("a name");
            let name = shown(&server, &tool);
            prop_assert_eq!(split(&name), Some((server, tool.as_str())));
        }
    }
}
