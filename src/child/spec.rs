//! What to start, and why it could not be started.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

/// What a child starts with of this process' environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inherit {
    /// All of it.
    #[default]
    Everything,
    /// Nothing: it has [`Spec::env`] only, so no secret of ours is in its reach.
    Nothing,
}

/// Where a standard stream of a child leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// To a pipe, whose other end the [`Child`](super::Child) holds.
    Piped,
    /// To nowhere: reads end at once, writes vanish.
    #[default]
    Null,
    /// To where ours leads.
    Ours,
}

impl From<Stream> for Stdio {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Piped => Self::piped(),
            Stream::Null => Self::null(),
            Stream::Ours => Self::inherit(),
        }
    }
}

/// A program with all that it is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// A path, or a bare name that is looked for in `PATH`.
    pub program: PathBuf,
    /// What follows the program's name.
    pub args: Vec<OsString>,
    /// What it gets of our environment, before `env` is added.
    pub inherit: Inherit,
    /// Variables that it does not get of it, whatever `inherit` says: secrets of ours.
    pub without: Vec<OsString>,
    /// Variables added to its environment. A `PATH` here is also where a bare name is looked for.
    pub env: BTreeMap<String, String>,
    /// The folder that it starts in; ours, where none is given.
    pub cwd: Option<PathBuf>,
    /// Its standard input.
    pub stdin: Stream,
    /// Its standard output.
    pub stdout: Stream,
    /// Its standard error.
    pub stderr: Stream,
}

impl Spec {
    /// A program without arguments, with all of our environment, and no stream connected.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            ..Self::default()
        }
    }

    /// The command, in a process group of its own.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if self.inherit == Inherit::Nothing {
            command.env_clear();
        }
        for name in &self.without {
            command.env_remove(name);
        }
        command.envs(&self.env);
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
            .stdin(self.stdin)
            .stdout(self.stdout)
            .stderr(self.stderr)
            .process_group(0);
        command
    }

    /// Why the system refused to start this. It has one code for several causes, so the cause is
    /// looked for here.
    pub(super) fn refusal(&self, source: io::Error) -> SpawnError {
        let program = self.program.clone();
        if let Some(cwd) = self.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
            return SpawnError::Folder {
                program,
                folder: cwd.clone(),
            };
        }
        let bare = is_bare(&self.program);
        match source.kind() {
            io::ErrorKind::NotFound if bare => SpawnError::NotInPath {
                program,
                path: match self.env.get("PATH") {
                    Some(path) => format!(" ({path})"),
                    None => String::new(),
                },
            },
            io::ErrorKind::NotFound if self.program.exists() => SpawnError::Interpreter { program },
            io::ErrorKind::NotFound => SpawnError::NotThere { program },
            io::ErrorKind::PermissionDenied => SpawnError::Denied {
                why: if self.program.is_dir() {
                    "it is a folder"
                } else if bare {
                    "what PATH has under this name is not executable, or out of reach for this user"
                } else {
                    "make it executable (chmod +x), and its folders accessible to this user"
                },
                program,
            },
            _ => SpawnError::Other { program, source },
        }
    }
}

/// Whether a program is looked for in `PATH`: a name without a separator.
fn is_bare(program: &Path) -> bool {
    program.components().count() == 1 && !program.has_root() && program != Path::new(".")
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A bare name that no folder of `PATH` has.
    #[error(
        "no program `{}` in the folders of PATH{path}: install it, correct the name, or give its full path",
        program.display()
    )]
    NotInPath {
        /// What was looked for.
        program: PathBuf,
        /// The `PATH` of the spec, in brackets; empty where ours was taken.
        path: String,
    },
    /// A path with nothing at it.
    #[error("no program at `{}`: correct the path, or give a bare name to have it looked for in PATH", program.display())]
    NotThere {
        /// What was looked for.
        program: PathBuf,
    },
    /// A script, or a binary for another system, that itself is there.
    #[error("`{}` is there, but the interpreter or loader that it names is not: see its first line (`head -1`)", program.display())]
    Interpreter {
        /// What was to be started.
        program: PathBuf,
    },
    /// The folder to start in is missing.
    #[error("`{}` not started: no folder `{}` to start it in", program.display(), folder.display())]
    Folder {
        /// What was to be started.
        program: PathBuf,
        /// The folder that is missing.
        folder: PathBuf,
    },
    /// The system does not let us run it.
    #[error("`{}` may not be run: {why}", program.display())]
    Denied {
        /// What was to be started.
        program: PathBuf,
        /// The cause and the way out.
        why: &'static str,
    },
    /// Anything else: out of processes, of memory, of file descriptors.
    #[error("`{}` could not be started: {source}", program.display())]
    Other {
        /// What was to be started.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
