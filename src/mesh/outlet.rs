//! Events that were stored, published once more as plain messages to a subject.

use super::{Beside, Mesh, Stored};
use crate::{
    bus::outbox::Outbox,
    error::{Error, Kind},
    name::{
        Identity,
        header::REPLAY,
        subject::{BYTES_MAX, ROOT},
    },
};

/// So many messages, and the broker is asked whether it has seen them.
const ASKED_EVERY: u64 = 256;

/// Where stored events go out again, over a connection of its own.
#[derive(Debug)]
pub struct Outlet {
    outbox: Outbox,
    sent: u64,
    /// The last event that the broker has seen for sure.
    arrived: Option<String>,
    _beside: Beside,
}

impl Outlet {
    pub(super) async fn open(mesh: &Mesh, to: &str) -> Result<Self, Error> {
        check(mesh.identity(), to)?;
        let beside = mesh.connect_beside("replay").await?;
        Ok(Self {
            outbox: Outbox::open(beside.link(), to)?,
            sent: 0,
            arrived: None,
            _beside: beside,
        })
    }

    /// Publishes an event's body as it is stored, with `Weft-Replay: WEFT_TASKS:12` (its place) and
    /// its `ce-*` headers.
    ///
    /// # Errors
    /// `ACCESS_DENIED` where the broker does not let this member publish there: at the first, or at
    /// the latest 256 later; `INTERNAL_ERROR` (CONNECTION_LOST) with the last event that arrived
    /// for sure.
    pub async fn send(&mut self, stored: &Stored) -> Result<(), Error> {
        let cursor = stored.cursor();
        let mut headers = vec![(REPLAY, cursor.clone())];
        let source = stored.event.source.as_ref().map_or("", Identity::as_str);
        // A foreign publisher's words may be of any kind; they stand in the body all the same.
        let fits = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let own = stored.event.cloud_headers(source).into_iter();
        headers.extend(own.filter(|(_, value)| fits(value)));
        let sent = self.outbox.send(&headers, stored.body.clone()).await;
        sent.map_err(|error| self.told(error))?;
        self.sent += 1;
        if self.sent == 1 {
            // Who may not publish there learns it before he read all of a stream.
            self.settle().await?;
        } else if self.sent.is_multiple_of(ASKED_EVERY) {
            let arrived = self.outbox.arrived().await;
            arrived.map_err(|error| self.told(error))?;
        } else {
            return Ok(());
        }
        self.arrived = Some(cursor);
        Ok(())
    }

    /// Waits until the broker has taken the last one, and says how many there were.
    ///
    /// # Errors
    /// As [`Outlet::send`].
    pub async fn finish(self) -> Result<u64, Error> {
        if self.sent > 0 {
            self.settle().await?;
        }
        Ok(self.sent)
    }

    async fn settle(&self) -> Result<(), Error> {
        let settled = self.outbox.settle().await;
        settled.map_err(|error| self.told(error))
    }

    fn told(&self, error: Error) -> Error {
        match &self.arrived {
            Some(arrived) => error.with("lastArrived", arrived.as_str()),
            None => error,
        }
    }
}

/// Whether events may go out again there: to a place of one's own, or to a subject that is not
/// Weft's; what else there is the broker decides.
fn check(own: &Identity, to: &str) -> Result<(), Error> {
    let refused = |why: &str| {
        let shown: String = to.chars().take(80).collect();
        let said = format!(
            "events can't be replayed to `{shown}`: {why}. Name a subject below \
             `{ROOT}.dlv.{own}.`, or one that is not Weft's"
        );
        Err(Error::new(Kind::InvalidParams, said))
    };
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
    if to.len() > BYTES_MAX {
        return refused("it is too long");
    }
    if !to.split('.').all(plain) {
        return refused("a subject is visible ASCII characters, with single dots between them");
    }
    if to.split('.').any(|part| part == "*" || part == ">") {
        return refused("it has a wildcard");
    }
    if to.starts_with('$') {
        return refused("it is the broker's own");
    }
    let below = |root: &str| {
        let rest = to.strip_prefix(root);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let delivery = format!("{ROOT}.dlv.{own}");
    if below(ROOT) && (!below(&delivery) || to == delivery) {
        return refused("it is Weft's own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_events_may_go() {
        let own = Identity::new("al").expect("a name");
        for good in [
            "weft.v1.dlv.al.again",
            "weft.v1.dlv.al.a.b",
            "orders.in",
            "weft.v10.x",
            "a*b",
            "x",
        ] {
            assert!(check(&own, good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "a b",
            "a\tb",
            "a.*",
            "a.>",
            ">",
            "ä",
            "$JS.API.INFO",
            "$SYS.x",
            "weft.v1",
            "weft.v1.evt.al.task.created",
            "weft.v1.dlv.al",
            "weft.v1.dlv.alice.x",
            "weft.v1.dlv.bob.x",
            "weft.v1.dlv.al.*",
        ] {
            let said = check(&own, bad).expect_err(bad);
            assert!(said.message().contains("weft.v1.dlv.al."), "{said}");
        }
        assert!(check(&own, &"x".repeat(BYTES_MAX + 1)).is_err());
    }
}
