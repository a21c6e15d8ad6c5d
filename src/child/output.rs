//! A short run to its end, for what a program prints: `nats-server --version`.

use std::{io, time::Duration};

use rustix::process::Signal;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{sleep, timeout},
};

use super::{Exit, SpawnError, Spec, Stream, group::Group};

/// What is kept of each stream, in bytes. A program that writes more finds its pipe closed.
const KEPT: u64 = 64 * 1024;
/// A file that is still being written can't be run: how often it is tried again, and when.
const BUSY_TRIES: u32 = 20;
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// How a short run ended, and the first 64 KiB of each stream.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
}

/// Why a short run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It did not end in time and was killed.
    #[error("`{program}` did not end within {within:?} and was killed")]
    Late {
        /// What was run.
        program: String,
        /// The time that it had.
        within: Duration,
    },
    /// Its output could not be read.
    #[error("the output of `{program}` could not be read: {source}")]
    Read {
        /// What was run.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs a program to its end, at most for `within`; then, or when this future is dropped, its
/// whole group is killed. It has no input. Too short-lived to be told to the watchdog.
///
/// # Errors
/// It did not start, did not end in time, or could not be read. A bad exit status is no error.
pub async fn output(spec: &Spec, within: Duration) -> Result<Output, OutputError> {
    let spec = Spec {
        stdin: Stream::Null,
        stdout: Stream::Piped,
        stderr: Stream::Piped,
        ..spec.clone()
    };
    let program = || spec.program.display().to_string();
    let mut process = start(&spec).await?;
    let killed = process.id().and_then(Group::new).map(Killed);
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    let run = async { tokio::try_join!(head(stdout), head(stderr), process.wait()) };
    match timeout(within, run).await {
        Ok(Ok((stdout, stderr, status))) => Ok(Output {
            exit: status.into(),
            stdout,
            stderr,
        }),
        Ok(Err(source)) => Err(OutputError::Read {
            program: program(),
            source,
        }),
        Err(_late) => {
            drop(killed);
            // Reaps; KILL was sent.
            process.wait().await.map_err(|source| OutputError::Read {
                program: program(),
                source,
            })?;
            Err(OutputError::Late {
                program: program(),
                within,
            })
        }
    }
}

/// Starts it, and again where the file is still being written, by an installation or, in another
/// thread of ours, by a fork that has not closed what it inherited.
async fn start(spec: &Spec) -> Result<tokio::process::Child, SpawnError> {
    let mut tries = 1;
    loop {
        match spec.command().kill_on_drop(true).spawn() {
            Ok(process) => return Ok(process),
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
            {
                tries += 1;
                sleep(BUSY_WAIT).await;
            }
            Err(error) => return Err(spec.refusal(error)),
        }
    }
}

/// A group that is killed when this is dropped.
struct Killed(Group);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.signal(Signal::KILL);
    }
}

/// The first bytes of a stream. What follows is not read: the pipe closes.
async fn head(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(stream) = stream {
        stream.take(KEPT).read_to_end(&mut kept).await?;
    }
    Ok(kept)
}
