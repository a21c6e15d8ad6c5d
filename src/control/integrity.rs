//! Whether the streams of events still have what they had: looked for at the start, whenever the
//! broker is back, and once a minute; and told.
//!
//! nats-server serves a stream whose files are damaged as if nothing were wrong: what it can't read
//! it leaves out, and its health stays good. But nothing is ever removed from the middle of these
//! streams, and their ends never go back. So a hole, or an end that did, is damage or somebody's
//! hand. What was damaged while no control plane ran, at the very end of a stream, is not seen.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use async_nats::jetstream::stream::State;
use tokio::time::{Instant, sleep};

use super::life::{Voice, again};
use crate::{
    error::Error,
    event::{
        Event,
        catalogue::system::{Health, HealthCheck},
    },
    name::ServerName,
    spawn::{Failure, Tasks},
};

/// How often it is looked at the streams.
const EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether the broker was away.
const GLANCE: Duration = Duration::from_secs(1);

/// What a stream said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    /// When it was made, nanoseconds since 1970.
    created: i128,
    first: u64,
    last: u64,
    messages: u64,
}

/// What was seen of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The highest number that it had, of the stream that was made then.
    last: Option<(i128, u64)>,
    /// How many were missing.
    missing: u64,
}

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// So many are missing between its first and its last.
    Holes(u64),
    /// It had the one number, and has only the other.
    Shorter(u64, u64),
    /// It was removed and made anew; the old one had this number.
    Replaced(u64),
}

impl Seen {
    /// What is wrong now that was not before.
    fn look(&mut self, said: Said) -> Vec<Damage> {
        let mut found = Vec::new();
        match self.last {
            Some((created, last)) if created != said.created => {
                found.push(Damage::Replaced(last));
                self.missing = 0;
            }
            Some((_, last)) if said.last < last => found.push(Damage::Shorter(last, said.last)),
            _ => {}
        }
        self.last = Some((said.created, said.last));
        // One that never had any says that its first is 0.
        let whole = (said.last + 1).saturating_sub(said.first.max(1));
        let missing = whole.saturating_sub(said.messages);
        if missing > self.missing {
            found.push(Damage::Holes(missing));
        }
        self.missing = missing;
        found
    }
}

impl Damage {
    /// For people.
    fn words(self, stream: &str) -> String {
        let end = "restore it from a backup if they are needed; who reads it is told as well";
        match self {
            Self::Holes(missing) => format!(
                "the stream {stream} lacks {missing} events between its first and its last: its \
                 files are damaged, or somebody removed them; {end}"
            ),
            Self::Shorter(had, has) => format!(
                "the stream {stream} had {had} events and ends at {has} now: its files are \
                 damaged; {end}"
            ),
            Self::Replaced(had) => format!(
                "somebody removed the stream {stream} and its {had} events, and it was made anew"
            ),
        }
    }

    /// The same damage is the same event, whoever sees it.
    fn id(self, stream: &str) -> String {
        match self {
            Self::Holes(missing) => format!("integrity-{stream}-holes-{missing}"),
            Self::Shorter(had, has) => format!("integrity-{stream}-shorter-{had}-{has}"),
            Self::Replaced(had) => format!("integrity-{stream}-replaced-{had}"),
        }
    }
}

/// Begins to look.
pub(super) fn watch(voice: Voice, streams: Vec<String>, tasks: &Tasks) {
    let stop = tasks.stopping();
    let streams = streams.into_iter().map(|name| (name, Seen::default()));
    let mut streams: BTreeMap<String, Seen> = streams.collect();
    tasks.spawn("integrity of the streams", Failure::Logged, async move {
        let looking = async {
            loop {
                for (stream, seen) in &mut streams {
                    match ask(&voice, stream).await {
                        Ok(said) => tell(&voice, stream, seen.look(said)).await,
                        Err(error) => tracing::debug!(stream, %error, "not looked at"),
                    }
                }
                rest(&voice).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    });
}

/// Until it is time to look again.
async fn rest(voice: &Voice) {
    let connections = || {
        let client = voice.wire.client();
        client.statistics().connects.load(Ordering::Relaxed)
    };
    let (before, until) = (connections(), Instant::now() + EVERY);
    while Instant::now() < until && connections() == before {
        sleep(GLANCE).await;
    }
}

async fn tell(voice: &Voice, stream: &str, found: Vec<Damage>) {
    for damage in found {
        let error = damage.words(stream);
        tracing::error!(stream, "{error}");
        let check = HealthCheck {
            server_name: ServerName::weft().to_string(),
            status: Health::Degraded,
            before: None,
            error: Some(error),
        };
        let event = Event::of(&check).expect("these are texts, which are JSON");
        let event = event.with_id(damage.id(stream));
        let until = Instant::now() + EVERY;
        if let Err(error) = again(until, || voice.publish(event.clone())).await {
            tracing::warn!(stream, %error, "damage was not told as an event");
        }
    }
}

async fn ask(voice: &Voice, stream: &str) -> Result<Said, Error> {
    let there = voice.wire.stream(stream).await?;
    let info = there.cached_info();
    let State {
        first_sequence: first,
        last_sequence: last,
        messages,
        ..
    } = info.state;
    Ok(Said {
        created: info.created.unix_timestamp_nanos(),
        first,
        last,
        messages,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn said(created: i128, first: u64, last: u64, messages: u64) -> Said {
        Said {
            created,
            first,
            last,
            messages,
        }
    }

    #[test]
    fn damage_is_told_once() {
        let mut seen = Seen::default();
        for (is, found) in [
            // Nothing yet, then some, then their time is over, all of it.
            (said(1, 0, 0, 0), vec![]),
            (said(1, 1, 100, 100), vec![]),
            (said(1, 51, 100, 50), vec![]),
            (said(1, 101, 100, 0), vec![]),
            (said(1, 101, 200, 100), vec![]),
            (said(1, 101, 200, 97), vec![Damage::Holes(3)]),
            (said(1, 101, 201, 98), vec![]),
            (said(1, 101, 201, 97), vec![Damage::Holes(4)]),
            // The holes age away.
            (said(1, 190, 201, 12), vec![]),
            (said(1, 190, 199, 10), vec![Damage::Shorter(201, 199)]),
            (said(1, 190, 199, 10), vec![]),
            (said(2, 1, 5, 5), vec![Damage::Replaced(199)]),
            (said(2, 1, 5, 4), vec![Damage::Holes(1)]),
        ] {
            assert_eq!(seen.look(is), found, "{is:?}");
        }
    }
}
