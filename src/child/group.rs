//! Process groups: signalled as a whole, asked whether anyone is left.

use std::{fmt, str::FromStr};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// A process group, by the id of the process that leads it. Its number is not given out again by
/// the system while a member lives or waits to be reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group(i32);

impl Group {
    /// The group with this id. None for what no child of ours can lead: to the system, group 1 is
    /// init's, -1 is everybody and 0 is the asking process' own.
    pub(super) fn new(id: u32) -> Option<Self> {
        i32::try_from(id).ok().filter(|id| *id > 1).map(Self)
    }

    fn pid(self) -> Pid {
        Pid::from_raw(self.0).expect("a group is made from an id above 1 only")
    }

    /// Sends a signal to every member. Nobody left is no error.
    pub(super) fn signal(self, signal: Signal) {
        match kill_process_group(self.pid(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => tracing::warn!(group = self.0, ?signal, %error, "signal not sent"),
        }
    }

    /// Whether it has a member; one that ended and was not reaped yet counts.
    pub(super) fn exists(self) -> bool {
        // Any other refusal (a member that changed its user) means that somebody is there.
        test_kill_process_group(self.pid()) != Err(rustix::io::Errno::SRCH)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Group {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().and_then(Self::new).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_would_reach_everybody_is_a_group() {
        for id in [
            "",
            "0",
            "1",
            "-1",
            "-7",
            "4294967295",
            "2147483648",
            "x",
            "7 8",
        ] {
            assert_eq!(id.parse::<Group>(), Err(()), "{id:?}");
        }
        assert_eq!(
            "4711".parse::<Group>().map(|g| g.to_string()),
            Ok("4711".to_owned())
        );
    }
}
