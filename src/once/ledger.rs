//! The ledger of one server's keys, as an instance of it reads and writes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::sleep;

use super::record::{Key, Outcome, Record, State};
use crate::{
    bus::{Link, keep::Unkept, record::Written},
    error::{Error, Kind, case},
    name::{id, store},
};

/// How long the broker may take for one read or write.
const STEP_MAX: Duration = Duration::from_secs(2);
/// Reads and writes of one claim: each but the first is about what somebody else wrote meanwhile,
/// or about a write that ended without a word.
const TURNS_MAX: usize = 8;
/// How soon it goes on after one without a word.
const AGAIN: Duration = Duration::from_millis(100);
/// Clocks of two machines differ by no more, and an outcome takes no longer to be written.
const LATE: Duration = Duration::from_secs(3);

/// The keys of one server. A cheap handle.
#[derive(Clone, Debug)]
pub struct Ledger {
    link: Link,
    stream: String,
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The run is ours.
    Mine(Claimed),
    /// It ended before, so.
    Ended(Outcome),
    /// Somebody runs it; he must have ended then.
    Runs(Duration),
    /// Somebody ran it, and is gone without a word.
    Gone,
    /// The key belongs to a call with other arguments.
    Other,
}

/// A claim that is ours.
#[derive(Debug)]
pub struct Claimed {
    subject: String,
    record: Record,
    sequence: u64,
}

impl Ledger {
    /// Over this connection.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self {
            link,
            stream: format!("KV_{}", store::ONCE),
        }
    }

    /// Claims the run of a key, which must have ended within `time`.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` (KEYS_UNAVAILABLE) where nothing can be written down now: then it must
    /// not run.
    pub async fn claim(&self, key: &Key, time: Duration) -> Result<Claim, Error> {
        let record = Record {
            run: id::delivery(),
            digest: key.digest.clone(),
            until: millis(now() + time + LATE),
            state: State::Runs,
        };
        let mut last = 0;
        let mut trouble = None;
        for _ in 0..TURNS_MAX {
            let body = encode(&record);
            match self
                .link
                .write_record(&key.subject, body, last, STEP_MAX)
                .await
            {
                Ok(Written::As(sequence)) => {
                    let subject = key.subject.clone();
                    return Ok(Claim::Mine(Claimed {
                        subject,
                        record,
                        sequence,
                    }));
                }
                Ok(Written::Lost) => {}
                // It may have been written all the same: what stands there says so.
                Err(Unkept::ForNow(error)) => {
                    trouble = Some(error);
                    sleep(AGAIN).await;
                }
                Err(Unkept::ForGood(error)) => return Err(unavailable(error)),
            }
            match self
                .link
                .read_record(&self.stream, &key.subject, STEP_MAX)
                .await
            {
                Ok(None) => last = 0,
                Ok(Some(found)) => {
                    let sequence = found.sequence;
                    let found = read(&found.body)?;
                    if found.run == record.run {
                        let subject = key.subject.clone();
                        return Ok(Claim::Mine(Claimed {
                            subject,
                            record,
                            sequence,
                        }));
                    }
                    if found.digest != record.digest {
                        return Ok(Claim::Other);
                    }
                    match found.state {
                        State::Free => last = sequence,
                        State::Runs => return Ok(runs(found.until)),
                        ended => return Ok(ended.outcome().map_or(Claim::Gone, Claim::Ended)),
                    }
                }
                Err(error) => trouble = Some(error.into_error()),
            }
        }
        let crowd = || Error::new(Kind::ServerOverloaded, "many claim the key at once");
        Err(unavailable(trouble.unwrap_or_else(crowd)))
    }

    /// Writes down what came of a run.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` (KEYS_UNAVAILABLE) where it can't be written: then nobody will know.
    pub async fn end(&self, claimed: Claimed, outcome: &Outcome) -> Result<(), Error> {
        self.write(claimed, State::of(outcome)).await
    }

    /// Gives a claim back: the run never began.
    ///
    /// # Errors
    /// As [`Ledger::end`].
    pub async fn release(&self, claimed: Claimed) -> Result<(), Error> {
        self.write(claimed, State::Free).await
    }

    async fn write(&self, claimed: Claimed, state: State) -> Result<(), Error> {
        let Claimed {
            subject,
            record,
            sequence,
        } = claimed;
        let body = encode(&Record { state, ..record });
        let mut trouble = None;
        for _ in 0..TURNS_MAX {
            match self
                .link
                .write_record(&subject, body.clone(), sequence, STEP_MAX)
                .await
            {
                // Nobody else writes to a claim that is ours: a write of before arrived.
                Ok(Written::As(_) | Written::Lost) => return Ok(()),
                Err(Unkept::ForNow(error)) => trouble = Some(error),
                Err(Unkept::ForGood(error)) => return Err(unavailable(error)),
            }
            sleep(AGAIN).await;
        }
        Err(unavailable(
            trouble.expect("each turn that did not return left one"),
        ))
    }
}

fn runs(until: u64) -> Claim {
    let left = Duration::from_millis(until).saturating_sub(now());
    if left.is_zero() {
        Claim::Gone
    } else {
        Claim::Runs(left)
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn encode(record: &Record) -> Bytes {
    serde_json::to_vec(record).expect("a record is JSON").into()
}

fn read(body: &[u8]) -> Result<Record, Error> {
    serde_json::from_slice(body).map_err(|error| {
        let said =
            "what is written down of this key can't be read: a newer Weft may have written it";
        Error::new(Kind::InternalError, said).source(error)
    })
}

fn unavailable(error: Error) -> Error {
    let said = format!(
        "what comes of a call with an idempotency key can't be written down now ({error}): nothing \
         was begun"
    );
    Error::new(Kind::ServerOverloaded, said)
        .case(case::KEYS_UNAVAILABLE)
        .retry_after(Duration::from_secs(1))
        .source(error)
}
