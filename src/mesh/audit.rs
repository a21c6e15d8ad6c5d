//! The audit trail as a reader sees it: message by message, from where he likes, to its end or on
//! and on. Who may not read it is told so.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::sleep;

use super::{Beside, Mesh};
use crate::{
    bus::follow::{Following, Heard},
    error::{Error, Kind},
    event::{From, Opened},
};

/// How soon a stream that could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// So many openings in a row may bring nothing, where more is stored.
const EMPTY_MAX: u32 = 5;

/// A message of the trail.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its place in the stream.
    pub place: u64,
    /// The subject: `weft.v1.aud.{server}.{instance}`.
    pub subject: String,
    /// Its body, a [`crate::audit::Page`].
    pub body: Bytes,
}

/// The trail as it is read. Dropping it ends it.
#[derive(Debug)]
pub struct Trail {
    mesh: Mesh,
    beside: Beside,
    following: Following,
    opened: Opened,
    from: From,
    /// The last place that is read; on and on, where there is none.
    until: Option<u64>,
    empty: u32,
}

impl Mesh {
    /// Opens the audit trail: from here, and where `to_its_end` is said, to what is its last
    /// message now. Needs `read:mesh/audit`.
    ///
    /// # Errors
    /// `ACCESS_DENIED`, and what kept the control plane from answering.
    pub async fn audit(&self, from: From, to_its_end: bool) -> Result<Trail, Error> {
        let beside = self.connect_beside("audit").await?;
        let (following, opened) = open(self, &beside, from).await?;
        Ok(Trail {
            mesh: self.clone(),
            beside,
            following,
            until: to_its_end.then_some(opened.last),
            // What comes before it is opened anew, if it has to be, is not passed over.
            from: match from {
                From::Now => From::Sequence(opened.last + 1),
                from => from,
            },
            opened,
            empty: 0,
        })
    }
}

async fn open(mesh: &Mesh, beside: &Beside, from: From) -> Result<(Following, Opened), Error> {
    let following = Following::open(beside.link()).await?;
    let arguments = json!({"deliver": following.number(), "from": from});
    let opened = mesh.control("audit_open", arguments).await?;
    Ok((following, opened))
}

impl Trail {
    /// What the stream said of itself when it was opened.
    #[must_use]
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// The permission was lost, or the stream keeps back what it says that it has.
    pub async fn next(&mut self) -> Result<Option<Written>, Error> {
        loop {
            if self.is_over() {
                return Ok(None);
            }
            match self.following.heard().await {
                Some(Heard::Sent(sent)) => {
                    self.empty = 0;
                    self.from = From::Sequence(sent.sequence + 1);
                    if self.until.is_some_and(|until| sent.sequence > until) {
                        return Ok(None);
                    }
                    return Ok(Some(Written {
                        place: sent.sequence,
                        subject: sent.subject,
                        body: sent.body,
                    }));
                }
                Some(Heard::Idle) if self.until.is_none() => {}
                Some(Heard::Idle) | None => self.reopen().await?,
            }
        }
    }

    fn is_over(&self) -> bool {
        let Some(until) = self.until else {
            return false;
        };
        let next = match self.from {
            From::Sequence(number) => number,
            _ => self.opened.first,
        };
        until == 0 || self.opened.pending == 0 || next > until
    }

    async fn reopen(&mut self) -> Result<(), Error> {
        loop {
            self.empty += 1;
            if self.until.is_some() && self.empty > EMPTY_MAX {
                let said = "the stream WEFT_AUDIT says that it has more, and sends nothing; the \
                            broker's log may say why";
                return Err(Error::new(Kind::ServerOverloaded, said));
            }
            match open(&self.mesh, &self.beside, self.from).await {
                Ok((following, opened)) => {
                    self.following = following;
                    self.opened = opened;
                    return Ok(());
                }
                Err(error) if error.kind() == Kind::AccessDenied => return Err(error),
                Err(error) => tracing::debug!(%error, "the audit trail is not read now"),
            }
            sleep(AGAIN).await;
        }
    }
}
