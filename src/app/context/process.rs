//! The process of a mesh, by its id: whether it lives, whether it is Weft, and its end.

use std::fs;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// A process, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

impl Process {
    /// Whether it lives. One that only waits to be reaped does not.
    #[must_use]
    pub fn lives(self) -> bool {
        let Some(pid) = self.pid() else { return false };
        let exists = match test_kill_process(pid) {
            Ok(()) => true,
            // Somebody else's: it is there.
            Err(error) => error == rustix::io::Errno::PERM,
        };
        exists && self.stat().is_none_or(|stat| stat.state != 'Z')
    }

    /// Whether it runs the program that we are: an id may be another's by now. Where the system
    /// does not tell (no `/proc`), it is believed.
    #[must_use]
    pub fn is_ours(self) -> bool {
        let name = |process: Self| process.stat().map(|stat| stat.name);
        match name(Self(std::process::id())) {
            Some(own) => name(self).as_deref() == Some(&own),
            None => true,
        }
    }

    /// Asks it to end (TERM).
    ///
    /// # Errors
    /// What the system says.
    pub fn end(self) -> std::io::Result<()> {
        let pid = self
            .pid()
            .ok_or_else(|| std::io::Error::other(format!("{} is no process id", self.0)))?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    fn pid(self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.0).ok()?)
    }

    /// `PID (NAME) STATE …`; the name may hold anything, so the last parenthesis ends it.
    fn stat(self) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        let (_, rest) = text.split_once('(')?;
        let (name, rest) = rest.rsplit_once(')')?;
        Some(Stat {
            name: name.to_owned(),
            state: rest.trim_start().chars().next()?,
        })
    }
}

struct Stat {
    name: String,
    state: char,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_live_and_nobody_has_the_last_id() {
        let own = Process(std::process::id());
        assert!(own.lives() && own.is_ours());
        for nobody in [0, i32::MAX as u32, u32::MAX] {
            assert!(!Process(nobody).lives(), "{nobody}");
        }
    }

    #[test]
    fn the_first_process_is_none_of_ours() {
        assert!(!Process(1).is_ours());
    }
}
