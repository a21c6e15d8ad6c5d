//! One run of a command: what it prints to, what it knows, and how it reaches the mesh.
use weftbus::{
    app::context::{Flags, Reach},
    config::Env,
    error::Kind,
    mesh::Mesh,
};

use super::{args::Globals, exit::Exit, failure::Failure, output::Printer};

/// One run of a command.
pub(crate) struct Invocation {
    /// Where it prints.
    pub(crate) printer: Printer,
    /// The environment.
    pub(crate) env: Env,
    /// The flags that all commands have.
    pub(crate) globals: Globals,
}

impl Invocation {
    /// A run.
    pub(crate) const fn new(printer: Printer, env: Env, globals: Globals) -> Self {
        Self {
            printer,
            env,
            globals,
        }
    }

    /// What the flags say about the mesh.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            data: self.globals.data.clone(),
            nats: self.globals.nats.clone(),
            insecure: self.globals.insecure,
        }
    }

    /// How the mesh is reached.
    pub(crate) fn reach(&self) -> Result<Reach, Failure> {
        Ok(Reach::find(&self.env, &self.flags())?)
    }

    /// Joins the mesh.
    pub(crate) async fn mesh(&self) -> Result<Mesh, Failure> {
        let reach = self.reach()?;
        let options = reach.options()?;
        Box::pin(Mesh::connect(options)).await.map_err(|error| {
            let refused = error.kind() == Kind::AuthenticationFailed;
            let passed_over = reach.passed_over.filter(|_| refused);
            Failure::from(error).hint(passed_over.map(|why| {
                format!("the configuration was passed over, with any credentials in it:\n{why}")
            }))
        })
    }
}

/// Joins, does something, and leaves however it went. Ctrl-C ends it: what was under way is told
/// that nobody waits for it any more.
pub(crate) async fn joined<T>(
    to: &mut Invocation,
    work: impl AsyncFnOnce(&Mesh, &mut Invocation) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mesh = interruptible(to.mesh()).await?;
    let done = interruptible(work(&mesh, to)).await;
    // What was dropped just now has said so; closing lets that arrive.
    mesh.close().await;
    done
}

/// The work that prints line after line, or its end because nobody reads that any more: `gone`.
pub(crate) async fn while_read<T>(
    gone: impl Future<Output = ()>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        () = gone => Err(Failure::Closed),
    }
}

/// The work, or its end by Ctrl-C.
pub(crate) async fn interruptible<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => {
            let error = weftbus::error::Error::new(Kind::InternalError, "interrupted");
            Err(Failure::told(error, Exit::Interrupted))
        }
    }
}
