//! A changed configuration, applied while the mesh runs: servers come, change and go. A file that
//! is refused changes nothing, and is said to be.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    time::Duration,
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::roster::{Change, Roster};
use crate::{
    config::{self, Loaded, Sources},
    spawn::{Failure, Tasks},
};

/// How often the files are looked at. A change is applied when it was seen twice: half a file is
/// not read.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A roster that follows its configuration, until it is taken back.
#[derive(Debug)]
pub(super) struct Reload {
    stop: CancellationToken,
    back: oneshot::Receiver<Roster>,
}

impl Reload {
    /// Begins to follow the files, where there are any.
    pub(super) fn start(
        roster: Roster,
        loaded: Loaded,
        sources: Option<Sources>,
        tasks: &Tasks,
    ) -> Self {
        let (give, back) = oneshot::channel();
        let stop = tasks.stopping().child_token();
        let stopped = stop.clone();
        tasks.spawn("configuration", Failure::Stops, async move {
            let mut roster = roster;
            match sources {
                None => stopped.cancelled().await,
                Some(sources) => follow(&mut roster, loaded, &sources, &stopped).await,
            }
            // Whoever wants it back may have gone.
            drop(give.send(roster));
        });
        Self { stop, back }
    }

    /// Ends it.
    pub(super) async fn stop(self) -> Option<Roster> {
        self.stop.cancel();
        self.back.await.ok()
    }
}

async fn follow(
    roster: &mut Roster,
    mut running: Loaded,
    sources: &Sources,
    stop: &CancellationToken,
) {
    let mut applied = marks(sources).await;
    let mut seen = applied;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let now = marks(sources).await;
        if now == applied || std::mem::replace(&mut seen, now) != now {
            continue;
        }
        applied = now;
        match config::load(sources) {
            Err(problems) => {
                tracing::error!(
                    "the changed configuration is refused, and the one before goes on:\n{problems}"
                );
            }
            Ok(loaded) => {
                told(&roster.apply(&loaded).await, &running, &loaded);
                running = loaded;
            }
        }
    }
}

/// Says what a change did, and what of it needs a restart.
fn told(change: &Change, running: &Loaded, loaded: &Loaded) {
    let Change {
        added,
        changed,
        removed,
    } = change;
    tracing::info!(
        ?added,
        ?changed,
        ?removed,
        "the changed configuration is applied"
    );
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let bodies = |of: &Loaded| {
        (
            of.config.limits.request_body,
            of.config.limits.request_bodies,
            of.config.limits.extent(),
        )
    };
    let gateway = running.config.gateway != loaded.config.gateway
        || running.edge != loaded.edge
        || bodies(running) != bodies(loaded);
    let parts = [
        ("gateway", gateway),
        ("nats", running.broker != loaded.broker),
        ("events", running.config.events != loaded.config.events),
    ];
    for (part, _) in parts.iter().filter(|(_, differs)| *differs) {
        tracing::warn!("`{part}` changed: that takes effect when the mesh is started again");
    }
}

/// What the files are now: changes with each of them.
async fn marks(sources: &Sources) -> u64 {
    let files = config::watched(sources);
    // A file on a disk that hangs delays nothing but the next look.
    let read = tokio::task::spawn_blocking(move || {
        let mut mark = DefaultHasher::new();
        for file in files {
            mark_of(&file).hash(&mut mark);
        }
        mark.finish()
    });
    read.await.unwrap_or_default()
}

fn mark_of(file: &PathBuf) -> Option<(u64, std::time::SystemTime)> {
    let about = std::fs::metadata(file).ok()?;
    Some((about.len(), about.modified().ok()?))
}
