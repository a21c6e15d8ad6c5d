//! One start of nats-server, until it serves or has said why it does not.

use std::{collections::BTreeMap, io, net::TcpListener, path::PathBuf, time::Duration};

use tokio::time::{Instant, interval, timeout};

use super::{
    FindError, Instance,
    folder::Folder,
    journal::{Journal, Lines},
    ready::Ports,
};
use crate::{
    child::{Child, Escalation, Exit, Inherit, SpawnError, Spec, Stderr, Stream, Watchdog},
    spawn::Tasks,
};

/// How long it may say nothing before it serves. While it restores streams it says so.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long it may take in all.
const START_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long the pipe of an ended server is read for its last words.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

/// Why there is no managed broker.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No usable program.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The program could not be run.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A public key that is none.
    #[error("the broker can't be told whom to trust: key `{name}`: {why}")]
    Key {
        /// The field of [`PublicKeys`](super::PublicKeys).
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The broker's folder can't be written.
    #[error("`{}`: {source}: make the folder writable for this user, or take another with --data", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A server of a run before is still there.
    #[error(
        "process {pid} is a nats-server of a run before and still uses `{}`: end it with `kill {pid}`, or take another folder with --data",
        store.display()
    )]
    Leftover {
        /// Its process id.
        pid: u32,
        /// What it uses.
        store: PathBuf,
    },
    /// The port is another program's.
    #[error(
        "port {port} on 127.0.0.1 is taken: end what listens there, or give no port and a free one is picked ({said})"
    )]
    PortTaken {
        /// The port that was asked for.
        port: u16,
        /// What nats-server said.
        said: String,
    },
    /// It ended before it served.
    #[error("nats-server ended with {exit} before it served: {said}\n{hint} All that it said: {}", log.display())]
    Ended {
        /// How it ended.
        exit: Exit,
        /// Its last words.
        said: String,
        /// What to do, as a sentence.
        hint: &'static str,
        /// All that it said.
        log: PathBuf,
    },
    /// It did not serve in time, and was stopped.
    #[error("nats-server does not serve after {after:?} and was stopped: {said}\nAll that it said: {}", log.display())]
    Late {
        /// How long it had.
        after: Duration,
        /// Its last words, or what was wrong with its greeting.
        said: String,
        /// All that it said.
        log: PathBuf,
    },
}

/// What every start of a server has in common.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) env: BTreeMap<String, String>,
    pub(super) folder: Folder,
    pub(super) monitor: bool,
    pub(super) tasks: Tasks,
    pub(super) watchdog: Watchdog,
}

/// A server that serves.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) lines: Lines<Stderr>,
    pub(super) port: u16,
    pub(super) instance: Instance,
}

impl Running {
    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// Why a server does not serve.
enum Refusal {
    Ended(Exit),
    Late {
        after: Duration,
        why: Option<String>,
    },
}

impl Launch {
    /// The first start of a run, on the port that was asked for, or the last one, or any.
    pub(super) async fn first(
        &self,
        asked: Option<u16>,
        journal: &mut Journal,
    ) -> Result<Running, StartError> {
        let kept = || self.folder.last_port().filter(|port| is_free(*port));
        let running = match (asked, kept()) {
            (Some(port), _) => self.start(Some(port), journal).await?,
            (None, None) => self.start(None, journal).await?,
            // It was free a moment ago, and nobody asked for it.
            (None, Some(port)) => match self.start(Some(port), journal).await {
                Err(StartError::PortTaken { .. }) => self.start(None, journal).await?,
                outcome => outcome?,
            },
        };
        self.folder.keep_port(running.port);
        Ok(running)
    }

    /// Starts it, on a port that the system picks where none is given, and waits until it serves.
    pub(super) async fn start(
        &self,
        port: Option<u16>,
        journal: &mut Journal,
    ) -> Result<Running, StartError> {
        self.folder.forget_ports()?;
        journal.words();
        let mut child = Child::spawn(&self.spec(port), &self.tasks, &self.watchdog)?;
        let mut lines = Lines::new(child.stderr.take().expect("its standard error is piped"));
        match self.until_it_serves(&child, &mut lines, journal).await {
            Ok(ports) => Ok(Running {
                port: ports.client,
                instance: Instance {
                    pid: child.pid(),
                    monitor_url: ports.monitor,
                },
                child,
                lines,
            }),
            Err(refusal) => {
                child.stop(Escalation::PROMPT).await;
                last_lines(&mut lines, journal).await;
                Err(refused(refusal, port, journal))
            }
        }
    }

    fn spec(&self, port: Option<u16>) -> Spec {
        let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let monitor = if self.monitor { "-1" } else { "0" };
        let mut spec = Spec::new(&self.program);
        spec.args = vec!["-c".into(), self.folder.configuration().into()];
        spec.args.extend(["-a", "127.0.0.1", "-p"].map(Into::into));
        spec.args.extend([port.into(), "-m".into(), monitor.into()]);
        spec.args.push("--ports_file_dir".into());
        spec.args.push(self.folder.ports().into());
        spec.args.extend(["-P".into(), self.folder.pid().into()]);
        spec.args.push("--logtime_utc".into());
        // The mesh's token may stand in our environment; the broker has no use for it.
        spec.inherit = Inherit::Nothing;
        spec.env = self.env.clone();
        spec.stderr = Stream::Piped;
        spec
    }

    async fn until_it_serves(
        &self,
        child: &Child,
        lines: &mut Lines<Stderr>,
        journal: &mut Journal,
    ) -> Result<Ports, Refusal> {
        let begun = Instant::now();
        let (mut heard, mut open, mut why) = (begun, true, None);
        let mut look = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                line = lines.next(), if open => match line {
                    Some(line) => {
                        journal.take(&line);
                        heard = Instant::now();
                    }
                    None => open = false,
                },
                exit = child.wait() => return Err(Refusal::Ended(exit)),
                _ = look.tick() => {
                    if let Some(ports) = Ports::read(&self.folder.ports()) {
                        match ports.greet().await {
                            Ok(()) => return Ok(ports),
                            Err(error) => why = Some(error.to_string()),
                        }
                    }
                    if heard.elapsed() > SILENCE_MAX || begun.elapsed() > START_MAX {
                        return Err(Refusal::Late { after: begun.elapsed(), why });
                    }
                }
            }
        }
    }
}

/// Whether nobody listens on a loopback port now.
fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Reads what an ended server said last. Bounded in time: a process that it left may hold the pipe.
pub(super) async fn last_lines(lines: &mut Lines<Stderr>, journal: &mut Journal) {
    let read = async {
        while let Some(line) = lines.next().await {
            journal.take(&line);
        }
    };
    if timeout(LAST_WORDS_WITHIN, read).await.is_err() {
        tracing::debug!("something still holds the pipe of an ended nats-server");
    }
}

fn refused(refusal: Refusal, port: Option<u16>, journal: &mut Journal) -> StartError {
    let words = journal.words().join("; ");
    let log = journal.path().to_owned();
    match (refusal, port) {
        (Refusal::Ended(_), Some(port)) if words.contains("address already in use") => {
            StartError::PortTaken { port, said: words }
        }
        (Refusal::Ended(exit), _) => StartError::Ended {
            exit,
            hint: hint(&words),
            said: said(words),
            log,
        },
        (Refusal::Late { after, why }, _) => StartError::Late {
            after,
            said: why.unwrap_or_else(|| said(words)),
            log,
        },
    }
}

pub(super) fn said(words: String) -> String {
    if words.is_empty() {
        "it said nothing".to_owned()
    } else {
        words
    }
}

/// The way out, by what the words say.
fn hint(words: &str) -> &'static str {
    let words = words.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if says(&["no space left", "disk quota"]) {
        "Free some space, or take a folder on another disk with --data."
    } else if says(&["permission denied", "read-only", "storage directory"]) {
        "Make its folder writable for this user, or take another with --data."
    } else if says(&["too many open files"]) {
        "Raise the limit of open files (`ulimit -n`)."
    } else {
        "Report this with what it said, or run a broker of your own and give --nats URL."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_follows_what_it_said() {
        let way = |words: &str| hint(words).split_whitespace().next();
        assert_eq!(way("mkdir /x: permission denied"), Some("Make"));
        assert_eq!(way("storage directory is not a directory"), Some("Make"));
        assert_eq!(way("write: No space left on device"), Some("Free"));
        assert_eq!(way("accept: too many open files"), Some("Raise"));
        assert_eq!(way(""), Some("Report"));
    }
}
