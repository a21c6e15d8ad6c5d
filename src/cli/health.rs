//! `weft health`: whether the mesh is up, now or within a time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use weftbus::config::Period;

use super::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, interruptible, joined},
    output::{Format, Tone, paint},
    servers::{self, Server, State},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft health
  weft health --wait 30s && weft servers
  weft health -o json";

/// How often is looked whether the mesh is ready.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Say whether the mesh is up
#[derive(clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_help = "Exit status: 0 all is up, 7 some server is not, 4 there is no mesh."
)]
pub(super) struct Args {
    /// Wait so long at most until the mesh is ready: every server is up, or has failed once
    #[arg(long, value_name = "TIME")]
    wait: Option<Period>,
}

/// How the mesh is.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    /// How it is in all.
    status: Status,
    /// Every server.
    servers: Vec<Server>,
}

/// How a mesh is in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// Every server is healthy.
    Healthy,
    /// The mesh is there, and some server is not healthy.
    Degraded,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let health = interruptible(look(args, to)).await?;
    let exit = match health.status {
        Status::Healthy => Exit::Ok,
        Status::Degraded => Exit::Degraded,
    };
    if to.printer.format != Format::Table {
        to.printer.json(&health)?;
        return Ok(exit);
    }
    let sentence = health.sentence(to.printer.is_coloured(false));
    to.printer.raw(sentence.as_bytes())?;
    let broken: Vec<Server> = health
        .servers
        .into_iter()
        .filter(|server| server.state != State::Healthy)
        .collect();
    if !broken.is_empty() {
        to.printer.table(&servers::table(&broken))?;
    }
    Ok(exit)
}

/// Looks once, or until the mesh is ready or the time is over.
async fn look(args: &Args, to: &mut Invocation) -> Result<Health, Failure> {
    let Some(wait) = args.wait else {
        return once(to).await;
    };
    let end = Instant::now() + wait.duration();
    // Servers are heard of one by one: it is ready when two looks see the same.
    let mut seen = None;
    loop {
        let found = tokio::time::timeout_at(end, once(to)).await;
        let over = Instant::now() + LOOK_EVERY >= end;
        match found {
            Ok(Ok(health)) if over || (health.is_ready() && seen == Some(health.states())) => {
                return Ok(health);
            }
            Ok(Err(failure)) if over || failure.exit() != Exit::Unreachable => {
                return Err(failure);
            }
            Ok(Ok(health)) => seen = Some(health.states()),
            Ok(Err(_)) => {}
            Err(_) => {
                let said = format!("the mesh did not answer within {wait}");
                let error = weftbus::error::Error::new(weftbus::error::Kind::Timeout, said);
                return Err(Failure::told(error, Exit::Unreachable));
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn once(to: &mut Invocation) -> Result<Health, Failure> {
    joined(to, async |mesh, _| {
        Ok(Health::of(servers::list(mesh).await?))
    })
    .await
}

impl Health {
    fn of(servers: Vec<Server>) -> Self {
        let well = servers.iter().all(|server| server.state == State::Healthy);
        let status = if well {
            Status::Healthy
        } else {
            Status::Degraded
        };
        Self { status, servers }
    }

    /// Whether every server is up, or has failed once.
    fn is_ready(&self) -> bool {
        let starting = |server: &Server| server.state == State::Starting;
        !self.servers.iter().any(starting)
    }

    /// What two looks are compared by.
    fn states(&self) -> Vec<(String, State)> {
        let servers = self.servers.iter();
        servers
            .map(|server| (server.server.clone(), server.state))
            .collect()
    }

    fn sentence(&self, colour: bool) -> String {
        let up = self
            .servers
            .iter()
            .filter(|server| server.state.serves())
            .count();
        let (word, tone) = match self.status {
            Status::Healthy => ("healthy", Tone::Good),
            Status::Degraded => ("degraded", Tone::Uneasy),
        };
        let word = paint(word, tone, colour);
        format!("{word}: {up} of {} servers up", self.servers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::servers::tests::server, *};

    #[test]
    fn all_up_or_not() {
        let well = Health::of(vec![server("a", "healthy", None)]);
        assert_eq!(well.sentence(false), "healthy: 1 of 1 servers up");
        assert!(well.is_ready());
        let ill = Health::of(vec![
            server("a", "degraded", Some("slow")),
            server("b", "unhealthy", Some("gone")),
        ]);
        assert_eq!(ill.sentence(false), "degraded: 1 of 2 servers up");
        assert!(ill.is_ready(), "each has failed once");
        let early = Health::of(vec![server("a", "starting", None)]);
        assert!(!early.is_ready());
        assert_eq!(early.status, Status::Degraded);
        assert_eq!(Health::of(Vec::new()).status, Status::Healthy);
    }
}
