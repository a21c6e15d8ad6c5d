//! How a process ended.

use std::{fmt, os::unix::process::ExitStatusExt as _, process::ExitStatus};

use rustix::process::Signal;

/// The signals that end processes in practice; any other is told by its number alone.
const NAMED: &[(Signal, &str)] = &[
    (Signal::HUP, "SIGHUP"),
    (Signal::INT, "SIGINT"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::ILL, "SIGILL"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::KILL, "SIGKILL"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::ALARM, "SIGALRM"),
    (Signal::TERM, "SIGTERM"),
    (Signal::XCPU, "SIGXCPU"),
    (Signal::XFSZ, "SIGXFSZ"),
];

/// How a process ended. Its text is `exit status 3`, `signal 9 (SIGKILL)`, or `unknown end` where
/// the system did not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The status that it exited with.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Exit {
    /// The end of a process whose status could not be had.
    pub(super) const UNKNOWN: Self = Self {
        code: None,
        signal: None,
    };

    /// Whether it exited by itself with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self {
            code: status.code(),
            signal: status.signal(),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(number)) => {
                write!(f, "signal {number}")?;
                match NAMED.iter().find(|(signal, _)| signal.as_raw() == number) {
                    Some((_, name)) => write!(f, " ({name})"),
                    None => Ok(()),
                }
            }
            (None, None) => f.write_str("unknown end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        let text = |wait_status: i32| Exit::from(ExitStatus::from_raw(wait_status)).to_string();
        assert_eq!(text(0), "exit status 0");
        assert_eq!(text(3 << 8), "exit status 3");
        assert_eq!(text(9), "signal 9 (SIGKILL)");
        assert_eq!(text(11 | 0x80), "signal 11 (SIGSEGV)", "with a core dump");
        assert_eq!(text(40), "signal 40");
        assert_eq!(Exit::UNKNOWN.to_string(), "unknown end");
    }
}
