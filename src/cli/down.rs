//! `weft down`: the mesh of a folder is asked to end, and waited for.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weftbus::{
    app::context::{Context, ContextError, folder},
    error::{Error, Kind},
};

use super::{exit::Exit, failure::Failure, invocation::Invocation};

const EXAMPLES: &str = "\
EXAMPLES
  weft down
  weft down --data /srv/mesh";

/// How long a mesh may take to finish what is under way, and to end its servers.
const END_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Stop the mesh that `weft up` started
#[derive(clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_help = "Exit status: 0 it has ended, 4 there was none, 6 it still runs after 10 s."
)]
pub(super) struct Args {}

pub(super) async fn run(_: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let folder = folder(&to.env, &to.flags());
    let context = Context::read(&folder)?;
    let (process, pid) = (context.process(), context.pid);
    if !process.lives() || !process.is_ours() {
        return Err(ContextError::Gone { folder, pid }.into());
    }
    process
        .end()
        .map_err(|error| Failure::local(format!("process {pid} can't be asked to end: {error}")))?;
    let end = Instant::now() + END_MAX;
    while process.lives() {
        if Instant::now() >= end {
            let said = format!(
                "the mesh of {} (pid {pid}) was asked to end, and still runs after 10 s; \
                 `kill -9 {pid}` ends it, its servers and its broker",
                folder.display()
            );
            return Err(Error::new(Kind::Timeout, said).into());
        }
        sleep(LOOK_EVERY).await;
    }
    to.printer.say(format!(
        "the mesh of {} has ended (pid {pid})",
        folder.display()
    ));
    Ok(Exit::Ok)
}
