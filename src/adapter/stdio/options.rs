//! What a stdio server is started with, and the bounds of everything about it.

use std::{collections::BTreeMap, ffi::OsString, fmt, path::PathBuf, time::Duration};

pub use crate::adapter::backoff::Backoff;
use crate::{
    adapter::pulse::Probing,
    child::{Escalation, Inherit, Spec, Stream},
};

/// Beyond the steps of the escalation, for what has to be said and joined around them.
const STOP_SLACK: Duration = Duration::from_secs(2);

/// Everything about one stdio server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub launch: Launch,
    /// What it may use up.
    pub limits: Limits,
    /// How long a fresh process may take to answer `initialize`, or a page of its `tools/list`.
    pub start_timeout: Duration,
    /// How long it may take to answer `server/discover` before it is taken for an older one.
    pub probe_timeout: Duration,
    /// How often it is asked whether it answers.
    pub probing: Probing,
    /// How it is ended.
    pub escalation: Escalation,
    /// When it is started again.
    pub backoff: Backoff,
}

/// Variables of ours that lead to a token or a password: a server that is called through the mesh
/// must not be able to act as the one who started it.
const OURS: [&str; 6] = [
    "WEFT_TOKEN",
    "WEFT_TOKEN_FILE",
    "WEFT_NATS_URL",
    "NATS_URL",
    "NATS_CREDS",
    "NATS_CONTEXT",
];

/// A program with all that it is started with.
#[derive(Clone, PartialEq, Eq)]
pub struct Launch {
    /// A path, or a bare name that is looked for in `PATH`.
    pub command: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What it gets of our environment, before `env` is added.
    pub inherit: Inherit,
    /// Variables that it does not get of it. Unless said otherwise, those that lead to a token or
    /// a password of ours; who wants one of them there names it in `env`.
    pub without: Vec<OsString>,
    /// Variables added to its environment.
    pub env: BTreeMap<String, String>,
    /// The folder that it starts in; ours, where none is given.
    pub cwd: Option<PathBuf>,
}

/// What a server may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line on its standard output.
    pub line: usize,
    /// Calls that it works on at the same time.
    pub in_flight: usize,
    /// Bytes of requests that wait for it to read its standard input.
    pub waiting: usize,
    /// How long it may leave one of them unread before it is started again.
    pub unread: Duration,
    /// Lines a minute on its standard output that are no message, before it is started again.
    pub bad_lines: u32,
    /// Lines a second of its standard error that go to the log.
    pub log_lines: u32,
}

impl Options {
    /// This program, with the usual bounds.
    #[must_use]
    pub fn new(launch: Launch) -> Self {
        Self {
            launch,
            limits: Limits::default(),
            start_timeout: Duration::from_secs(30),
            probing: Probing::default(),
            probe_timeout: Duration::from_secs(10),
            escalation: Escalation::default(),
            backoff: Backoff::default(),
        }
    }

    /// How long its end takes at most.
    pub(in crate::adapter) fn stop_within(&self) -> Duration {
        self.escalation.close + self.escalation.term + STOP_SLACK
    }
}

/// No program yet; all of our environment, but none of our secrets.
impl Default for Launch {
    fn default() -> Self {
        Self {
            command: PathBuf::new(),
            args: Vec::new(),
            inherit: Inherit::default(),
            without: OURS.map(Into::into).into(),
            env: BTreeMap::new(),
            cwd: None,
        }
    }
}

/// Neither arguments nor values of variables: there are secrets among both.
impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("command", &self.command)
            .field("args", &format_args!("{} of them", self.args.len()))
            .field("env", &self.env.keys())
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

impl Launch {
    pub(super) fn spec(&self) -> Spec {
        Spec {
            args: self.args.clone(),
            inherit: self.inherit,
            without: self.without.clone(),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            stdin: Stream::Piped,
            stdout: Stream::Piped,
            stderr: Stream::Piped,
            ..Spec::new(self.command.clone())
        }
    }
}

/// 64 MiB a line, 256 calls and 64 MiB waiting, 5 minutes unread, 1,000 bad lines a minute and
/// 200 lines of log a second.
impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 64 << 20,
            in_flight: 256,
            waiting: 64 << 20,
            unread: Duration::from_secs(300),
            bad_lines: 1000,
            log_lines: 200,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_of_ours_that_leads_to_a_secret_is_passed_on() {
        use crate::config::env;
        for name in [
            env::WEFT_TOKEN,
            env::WEFT_TOKEN_FILE,
            env::WEFT_NATS_URL,
            env::NATS_URL,
            env::NATS_CREDS,
            env::NATS_CONTEXT,
        ] {
            assert!(
                Launch::default().without.iter().any(|own| own == name),
                "{name}"
            );
        }
    }
}
