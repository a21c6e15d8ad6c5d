//! The watchdog: a process beside this one that ends what a `kill -9` of this one leaves.
//!
//! It is the same program run again as `weft watchdog`, in a process group of its own so that
//! Ctrl-C at a terminal does not reach it. Its standard input is a pipe that only we hold: while
//! we live it hears `add GROUP` and `del GROUP`; when we die, however we die, the system closes
//! the pipe, and it ends every group still listed. This file is our side of the pipe, `run` the
//! other. Should the watchdog itself die, its owner starts it again and tells it every group anew.

mod run;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use self::run::run;
use super::group::Group;
use crate::spawn::{Failure, Tasks};

/// The hidden subcommand. [`run()`] is what it does.
pub const COMMAND: &str = "watchdog";
/// What it says first, so that a program that does not know the subcommand is noticed at once.
const READY: &str = "ready\n";
/// How long it may take to say so, on a machine that is busy.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Between two attempts to start it again: doubled from the first to the second.
const RESTART_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long it may take to leave when nothing is left to watch.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// A handle to the watchdog of this process. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Watchdog {
    list: Arc<List>,
}

/// The groups that are alive, and where they are told.
///
/// A lock and no owner task, because a group must be told in the very moment that it exists: what
/// waits in a queue when we are killed is an orphan. It is held for one write of 20 bytes to a
/// pipe that never blocks.
#[derive(Debug, Default)]
struct List {
    post: Mutex<Post>,
    shorter: Notify,
}

#[derive(Debug, Default)]
struct Post {
    groups: BTreeSet<Group>,
    line: Option<Line>,
}

/// The pipe to a running watchdog.
#[derive(Debug)]
struct Line {
    pipe: File,
    group: Group,
}

/// Why there is no watchdog.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// The own program's path is not known.
    #[error("the path of the running program can't be had ({0}): is /proc mounted?")]
    Program(#[source] io::Error),
    /// The program could not be started again.
    #[error("the watchdog `{} {COMMAND}` could not be started: {source}", program.display())]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was started is no watchdog.
    #[error(
        "`{} {COMMAND}` is no watchdog ({why}): a program that starts children through this library \
         must run `child::watchdog::run` for its argument `{COMMAND}`, or name a `weft` that does",
        program.display()
    )]
    Foreign {
        /// What was started.
        program: PathBuf,
        /// How it was noticed.
        why: &'static str,
    },
}

impl Watchdog {
    /// Starts the watchdog, from `program` or the running program itself, and waits until it
    /// listens. When `tasks` is asked to stop, it stays until the last group has gone.
    ///
    /// # Errors
    /// It could not be started, or what was started is no watchdog.
    pub async fn start(program: Option<&Path>, tasks: &Tasks) -> Result<Self, WatchdogError> {
        let program = Program::new(program)?;
        // A program that does not know the subcommand would start itself for ever.
        if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(COMMAND)) {
            return Err(WatchdogError::Foreign {
                program: program.path,
                why: "it starts a watchdog itself",
            });
        }
        let list = Arc::new(List::default());
        let process = program.start(&list).await?;
        let owner = keep(list.clone(), program, process, tasks.stopping());
        tasks.spawn("watchdog", Failure::Logged, owner);
        Ok(Self { list })
    }

    /// Its process id; none while it is being started again.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let post = self.list.post();
        let line = post.line.as_ref()?;
        line.group.to_string().parse().ok()
    }

    /// Tells a group, from now until the registration is dropped.
    pub(super) fn register(&self, group: Group) -> Registration {
        let mut post = self.list.post();
        post.groups.insert(group);
        post.tell("add", group);
        Registration {
            list: self.list.clone(),
            group,
        }
    }
}

/// A group that the watchdog ends if we die before this is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    list: Arc<List>,
    group: Group,
}

impl Registration {
    pub(super) fn group(&self) -> Group {
        self.group
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut post = self.list.post();
        post.groups.remove(&self.group);
        post.tell("del", self.group);
        drop(post);
        self.list.shorter.notify_one();
    }
}

impl List {
    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when nothing is left to watch, after it was asked to stop.
    async fn done(&self, stopping: &CancellationToken) {
        stopping.cancelled().await;
        while !self.post().groups.is_empty() {
            self.shorter.notified().await;
        }
    }

    /// From now on the groups are told on this pipe, all that there are at once.
    fn connect(&self, pipe: File, group: Group) {
        let mut post = self.post();
        post.line = Some(Line { pipe, group });
        for group in post.groups.clone() {
            post.tell("add", group);
        }
    }
}

impl Post {
    fn tell(&mut self, verb: &str, group: Group) {
        let Some(line) = &mut self.line else {
            return; // It is being started again, and will be told all.
        };
        let text = format!("{verb} {group}\n");
        if let Err(error) = line.pipe.write_all(text.as_bytes()) {
            tracing::warn!(%error, "the watchdog does not listen: it is started again");
            // Killed before its pipe closes: one that is merely stuck would otherwise wake up,
            // find the end of file, and end every group although we live.
            line.group.signal(Signal::KILL);
            self.line = None;
        }
    }
}

/// Owns the watchdog process: starts it again when it dies, lets it go when all is over.
async fn keep(list: Arc<List>, program: Program, mut process: Child, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = list.done(&stopping) => break,
            ended = process.wait() => {
                list.post().line = None;
                let end = ended.map_or_else(|error| error.to_string(), |s| super::Exit::from(s).to_string());
                tracing::warn!(end, "the watchdog ended: it is started again");
            }
        }
        let mut wait = RESTART_WAIT.0;
        process = loop {
            match program.start(&list).await {
                Ok(process) => break process,
                Err(error) => tracing::error!(%error, "no watchdog: a kill -9 would leave orphans"),
            }
            tokio::select! {
                () = list.done(&stopping) => return,
                () = sleep(wait) => wait = (wait * 2).min(RESTART_WAIT.1),
            }
        };
    }
    list.post().line = None;
    if timeout(LEAVE_WITHIN, process.wait()).await.is_err() {
        tracing::warn!("the watchdog did not leave, and is killed");
        if let Err(error) = process.kill().await {
            tracing::warn!(%error, "the watchdog could not be killed");
        }
    }
}

/// The program that knows the subcommand.
#[derive(Debug)]
struct Program {
    path: PathBuf,
}

impl Program {
    fn new(given: Option<&Path>) -> Result<Self, WatchdogError> {
        let path = match given {
            // The watchdog starts in another folder.
            Some(path) => std::path::absolute(path),
            None => std::env::current_exe(),
        };
        Ok(Self {
            path: path.map_err(WatchdogError::Program)?,
        })
    }

    /// Starts a watchdog that `list` tells its groups.
    async fn start(&self, list: &List) -> Result<Child, WatchdogError> {
        let failed = |source| WatchdogError::Start {
            program: self.path.clone(),
            source,
        };
        let mut process = self.command().spawn().map_err(failed)?;
        let pid = process.id().expect("nobody has waited for it yet");
        let group = Group::new(pid).expect("a child's id is neither 0 nor 1");
        let stdin = process.stdin.take().expect("its input is piped");
        let pipe = stdin.into_owned_fd().map_err(failed)?;
        rustix::io::ioctl_fionbio(&pipe, true).map_err(|errno| failed(errno.into()))?;
        if let Err(why) = is_ready(&mut process).await {
            group.signal(Signal::KILL);
            process.wait().await.map_err(failed)?;
            return Err(WatchdogError::Foreign {
                program: self.path.clone(),
                why,
            });
        }
        list.connect(pipe.into(), group);
        Ok(process)
    }

    /// It holds nothing of ours: no terminal and no pipeline that would wait for it, no folder
    /// that could not be unmounted, no secret of our environment.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .arg(COMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            // It must outlive us, also where only our runtime ends.
            .kill_on_drop(false);
        command
    }
}

/// Reads its first words; the pipe they came through is closed here.
async fn is_ready(process: &mut Child) -> Result<(), &'static str> {
    let mut stdout = process.stdout.take().ok_or("it has no output")?;
    let mut said = [0; READY.len()];
    match timeout(READY_WITHIN, stdout.read_exact(&mut said)).await {
        Ok(Ok(_)) if said == READY.as_bytes() => Ok(()),
        Ok(Ok(_)) => Err("it says something else"),
        Ok(Err(_)) => Err("it ended at once"),
        Err(_) => Err("it says nothing"),
    }
}
