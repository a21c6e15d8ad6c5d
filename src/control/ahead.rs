//! What a reader would be sent first, looked at beforehand: a message whose headers would end his
//! connection is passed over, and he is told its number.
//!
//! Where such a message comes later, it ends his connection once. He opens anew from behind the last
//! one that came, and then it is the first.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    connect::unavailable,
    raw::{Raw, RawReader},
};
use crate::{error::Error, event::From};

/// Messages that one opening passes over; the next opening goes on behind them.
const PASSED_MAX: usize = 64;
/// How long the look may take.
const LOOK_MAX: Duration = Duration::from_secs(8);

/// Where a reader begins.
#[derive(Debug)]
pub(super) struct Start {
    /// Here.
    pub(super) from: From,
    /// The messages that are passed over, in order.
    pub(super) unreadable: Vec<u64>,
}

/// The first message of one filter.
struct Head {
    sequence: u64,
    broken: bool,
}

/// Looks from where a reader wants to begin to the first message that he can be sent.
///
/// # Errors
/// `SERVER_OVERLOADED` where the broker does not answer.
pub(super) async fn look(
    raw: &RawReader,
    stream: &str,
    filters: &[String],
    from: From,
) -> Result<Start, Error> {
    let looked = timeout(LOOK_MAX, pass_over(raw, stream, filters, from));
    let slow = || unavailable(&format!("the stream {stream} is read too slowly"));
    looked.await.map_err(|_| slow())?
}

async fn pass_over(
    raw: &RawReader,
    stream: &str,
    filters: &[String],
    from: From,
) -> Result<Start, Error> {
    let mut heads = Vec::with_capacity(filters.len());
    for filter in filters {
        let first = match from {
            From::Now => None,
            From::Start => raw.next(stream, 1, filter).await?,
            From::Sequence(number) => raw.next(stream, number, filter).await?,
            From::Time(at) => raw.next_since(stream, at, filter).await?,
        };
        heads.push(first.map(|raw| head(stream, &raw)));
    }
    let mut unreadable = Vec::new();
    while unreadable.len() < PASSED_MAX {
        // Of all filters the first message: what is behind it is looked at when it is the first.
        let there = heads.iter().enumerate();
        let there = there.filter_map(|(n, head)| Some((n, head.as_ref()?)));
        let Some((n, first)) = there.min_by_key(|(_, head)| head.sequence) else {
            break;
        };
        if !first.broken {
            break;
        }
        let passed = first.sequence;
        unreadable.push(passed);
        let next = raw.next(stream, passed + 1, &filters[n]).await?;
        heads[n] = next.map(|raw| head(stream, &raw));
    }
    let from = unreadable
        .last()
        .map_or(from, |last| From::Sequence(last + 1));
    Ok(Start { from, unreadable })
}

fn head(stream: &str, raw: &Raw) -> Head {
    let why = raw.breaks();
    if let Some(why) = why {
        let (sequence, subject) = (raw.sequence, &raw.subject);
        tracing::warn!(
            stream,
            sequence,
            subject,
            why,
            "a message would end its reader's connection"
        );
    }
    Head {
        sequence: raw.sequence,
        broken: why.is_some(),
    }
}
