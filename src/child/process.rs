//! One child: started in a group of its own, registered with the watchdog, owned by one task
//! that ends it in steps and always waits for it.

use std::{io, time::Duration};

use rustix::process::Signal;
use tokio::{
    process,
    sync::{oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Exit, SpawnError, Spec, Watchdog, group::Group, watchdog::Registration};
use crate::spawn::{Failure, Tasks};

/// A child's standard input, where it is piped. Dropping it closes it.
pub type Stdin = process::ChildStdin;
/// A child's standard output, where it is piped.
pub type Stdout = process::ChildStdout;
/// A child's standard error, where it is piped.
pub type Stderr = process::ChildStderr;

/// How long the rest of a group has to go after its leader exited unasked.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How long a killed group may take to vanish before it is given up: its members hang in the
/// kernel, or were handed to an init that does not reap.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// How often it is looked whether a group has gone; the system has no event for that.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long each step of ending a child may take before the next, harder one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// From the closed standard input to TERM.
    pub close: Duration,
    /// From TERM to KILL, both to the whole group.
    pub term: Duration,
}

impl Escalation {
    /// TERM at once, KILL a second later: for what nobody holds any more.
    pub const PROMPT: Self = Self {
        close: Duration::ZERO,
        term: Duration::from_secs(1),
    };
}

/// Two seconds for each step.
impl Default for Escalation {
    fn default() -> Self {
        Self {
            close: Duration::from_secs(2),
            term: Duration::from_secs(2),
        }
    }
}

/// How far a child's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The process itself ended and was reaped; others of its group may be there.
    Exited(Exit),
    /// Nobody of the group is left.
    Gone(Exit),
}

impl Phase {
    fn exit(self) -> Option<Exit> {
        match self {
            Self::Running => None,
            Self::Exited(exit) | Self::Gone(exit) => Some(exit),
        }
    }
}

/// A running child. Dropping it ends its whole group by [`Escalation::PROMPT`].
#[derive(Debug)]
pub struct Child {
    pid: u32,
    /// Its standard input, until taken; only where [`Spec::stdin`] is piped.
    pub stdin: Option<Stdin>,
    /// Its standard output, until taken; only where [`Spec::stdout`] is piped.
    pub stdout: Option<Stdout>,
    /// Its standard error, until taken; only where [`Spec::stderr`] is piped.
    pub stderr: Option<Stderr>,
    phase: watch::Receiver<Phase>,
    order: oneshot::Sender<Escalation>,
}

impl Child {
    /// Starts a program. Its owner is a task of `tasks`; when that group is asked to stop, the
    /// child is ended by the default [`Escalation`].
    ///
    /// # Errors
    /// [`SpawnError`] says what was looked for and what to do. A program that starts and ends at
    /// once is no error here.
    pub fn spawn(spec: &Spec, tasks: &Tasks, watchdog: &Watchdog) -> Result<Self, SpawnError> {
        // A runtime that ends drops the owner task: then the group dies with it, see `Held`.
        let mut process = spec
            .command()
            .spawn()
            .map_err(|source| spec.refusal(source))?;
        let pid = process.id().expect("nobody has waited for it yet");
        let group = Group::new(pid).expect("a child's id is neither 0 nor 1");
        // At once, and without an await in between: until here a `kill -9` of us leaves an orphan.
        let held = Held {
            registration: watchdog.register(group),
            over: false,
        };
        let (stdin, stdout, stderr) = (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        );
        let (told, phase) = watch::channel(Phase::Running);
        let (order, orders) = oneshot::channel();
        let asked = Asked {
            order: orders,
            stopping: tasks.stopping(),
            // Closing what is not open tells nobody, so there is nothing to wait for.
            hears_close: stdin.is_some(),
        };
        let owner = own(process, held, asked, told);
        tasks.spawn("child process", Failure::Logged, owner);
        Ok(Self {
            pid,
            stdin,
            stdout,
            stderr,
            phase,
            order,
        })
    }

    /// The process id, which is also the id of its group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the process to end, without ending it. Others of its group are being ended then.
    pub async fn wait(&self) -> Exit {
        reached(self.phase.clone(), |phase| phase.exit().is_some()).await
    }

    /// Ends the whole group in steps, and returns when nobody of it is left: closes the standard
    /// input (whoever took it must have dropped it), then TERM, then KILL. A future dropped before
    /// its end changes nothing: the steps go on.
    pub async fn stop(self, escalation: Escalation) -> Exit {
        let Self {
            stdin,
            stdout,
            stderr,
            phase,
            order,
            ..
        } = self;
        drop(stdin);
        if let Err(_over) = order.send(escalation) {
            tracing::trace!("the child had ended before it was asked to");
        }
        let exit = reached(phase, |phase| matches!(phase, Phase::Gone(_))).await;
        // Kept until now: a child that still writes must not die of a closed pipe instead.
        drop((stdout, stderr));
        exit
    }
}

/// Waits for a phase. An owner that is gone, by a panic or with its runtime, has killed the group.
async fn reached(mut phase: watch::Receiver<Phase>, is: impl Fn(Phase) -> bool) -> Exit {
    let exit = match phase.wait_for(|now| is(*now)).await {
        Ok(now) => now.exit(),
        Err(_owner_is_gone) => None,
    };
    exit.or_else(|| phase.borrow().exit())
        .unwrap_or(Exit::UNKNOWN)
}

/// A group that is killed when this is dropped before it is known to be over.
struct Held {
    registration: Registration,
    over: bool,
}

impl Held {
    fn group(&self) -> Group {
        self.registration.group()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.over {
            self.group().signal(Signal::KILL);
        }
    }
}

/// Who may ask a child to end.
struct Asked {
    order: oneshot::Receiver<Escalation>,
    stopping: CancellationToken,
    hears_close: bool,
}

impl Asked {
    /// Resolves when it is to end.
    async fn steps(self) -> Escalation {
        let mut steps = tokio::select! {
            order = self.order => order.unwrap_or(Escalation::PROMPT),
            () = self.stopping.cancelled() => Escalation::default(),
        };
        if !self.hears_close {
            steps.close = Duration::ZERO;
        }
        steps
    }
}

/// The owner: from the start to the last member of the group.
async fn own(
    mut process: process::Child,
    mut held: Held,
    asked: Asked,
    phase: watch::Sender<Phase>,
) {
    let group = held.group();
    let asked = tokio::select! {
        biased;
        _ = process.wait() => None,
        steps = asked.steps() => Some(steps),
    };
    let (ended, grace) = match asked {
        // Answers again what it answered above.
        None => (process.wait().await, LEFTOVER_GRACE),
        Some(steps) => end(&mut process, group, steps).await,
    };
    let exit = ended.map_or_else(
        |error| {
            tracing::error!(%group, %error, "the end of a child could not be had");
            Exit::UNKNOWN
        },
        Exit::from,
    );
    phase.send_replace(Phase::Exited(exit));
    sweep(group, grace).await;
    held.over = true;
    drop(held);
    phase.send_replace(Phase::Gone(exit));
}

/// Waits for the process, harder at each step; its standard input is closed already. Answers also
/// what is left of the time that its group has between TERM and KILL.
async fn end(
    process: &mut process::Child,
    group: Group,
    steps: Escalation,
) -> (io::Result<std::process::ExitStatus>, Duration) {
    if let Ok(ended) = timeout(steps.close, process.wait()).await {
        return (ended, steps.term);
    }
    group.signal(Signal::TERM);
    let asked = Instant::now();
    if let Ok(ended) = timeout(steps.term, process.wait()).await {
        return (ended, steps.term.saturating_sub(asked.elapsed()));
    }
    group.signal(Signal::KILL);
    // No deadline: KILL can't be refused, and who gives up here leaves a zombie.
    (process.wait().await, Duration::ZERO)
}

/// Ends what a leader left in its group.
async fn sweep(group: Group, grace: Duration) {
    if !group.exists() {
        return;
    }
    group.signal(Signal::TERM);
    if vanished(group, grace).await {
        return;
    }
    group.signal(Signal::KILL);
    if !vanished(group, KILL_GRACE).await {
        tracing::warn!(%group, "killed, and still there: not reaped by init, or stuck in the kernel");
    }
}

async fn vanished(group: Group, within: Duration) -> bool {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timeout(within, async {
        while group.exists() {
            look.tick().await;
        }
    })
    .await
    .is_ok()
}
