//! Who is to be told something, and until when: deliveries that members asked for.
//!
//! A member opens `weft.v1.dlv.{member}.{n}`, where `n` is a secret of the two ends, and renews
//! its lease every so often. Who stops doing so is told nothing more.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{connect::unavailable, tokens::invalid};
use crate::{
    error::{Error, Kind},
    name::Identity,
};

/// How long a delivery goes on without being asked for again.
pub(super) const LEASE: Duration = Duration::from_secs(60);
/// How many there may be of one kind.
pub(super) const LEASES_MAX: usize = 10_000;
/// How many one identity may have of one kind; one more ends the oldest.
pub(super) const LEASES_OF_ONE_MAX: usize = 64;

/// Deliveries that wait to be opened.
const REQUESTS: usize = 256;

/// Where something is delivered: who reads it, and the number that he chose.
pub(super) type Place = (Identity, String);

/// The deliveries of one kind.
#[derive(Debug, Default)]
pub(super) struct Leases {
    ends: HashMap<Place, Instant>,
}

impl Leases {
    /// Takes one more, or renews one that is there.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where there are too many.
    pub(super) fn take(&mut self, place: &Place) -> Result<(), Error> {
        let now = Instant::now();
        self.ends.retain(|_, ends| *ends > now);
        if !self.ends.contains_key(place) {
            self.make_room(&place.0)?;
        }
        self.ends.insert(place.clone(), now + LEASE);
        Ok(())
    }

    fn make_room(&mut self, who: &Identity) -> Result<(), Error> {
        let own = self.ends.iter().filter(|((of, _), _)| of == who);
        let oldest = own.clone().min_by_key(|(_, ends)| **ends);
        if own.clone().count() >= LEASES_OF_ONE_MAX
            && let Some(place) = oldest.map(|(place, _)| place.clone())
        {
            self.ends.remove(&place);
        }
        if self.ends.len() >= LEASES_MAX {
            return Err(Error::new(
                Kind::ServerOverloaded,
                format!("{LEASES_MAX} members are told of this already; no more are"),
            ));
        }
        Ok(())
    }

    /// Those that hold now.
    pub(super) fn live(&mut self) -> Vec<Place> {
        let now = Instant::now();
        self.ends.retain(|_, ends| *ends > now);
        self.ends.keys().cloned().collect()
    }
}

/// Asks whoever tells something for a delivery of it, and hears `T` about that. Clones ask the same.
#[derive(Debug)]
pub(super) struct Asking<T>(mpsc::Sender<Request<T>>);

/// A delivery that is asked for.
pub(super) struct Request<T> {
    pub(super) place: Place,
    pub(super) opened: oneshot::Sender<Result<T, Error>>,
}

impl<T> Clone for Asking<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Asking<T> {
    /// Who asks, and what reaches who tells.
    pub(super) fn channel() -> (Self, mpsc::Receiver<Request<T>>) {
        let (requests, waiting) = mpsc::channel(REQUESTS);
        (Self(requests), waiting)
    }

    /// Opens a delivery, or renews it.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the number is none, `SERVER_OVERLOADED` where there are too many.
    pub(super) async fn open(&self, who: &Identity, deliver: &str) -> Result<T, Error> {
        check(deliver)?;
        let (opened, answer) = oneshot::channel();
        let request = Request {
            place: (who.clone(), deliver.to_owned()),
            opened,
        };
        self.0
            .try_send(request)
            .map_err(|_| unavailable("too many members ask for a delivery at once: try again"))?;
        answer
            .await
            .map_err(|_| unavailable("the control plane stops"))?
    }
}

/// Checks the number of a delivery: it must be hard to guess.
pub(super) fn check(deliver: &str) -> Result<(), Error> {
    let base32 = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
    if (26..=32).contains(&deliver.len()) && deliver.bytes().all(base32) {
        return Ok(());
    }
    Err(invalid(
        "deliver: 26 to 32 of a-z and 2-7, at least 128 random bits",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(who: &str, n: usize) -> Place {
        (Identity::new(who).expect("a name"), format!("n{n}"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_unless_it_is_renewed() {
        let mut leases = Leases::default();
        for n in 0..2 {
            leases.take(&place("gh", n)).expect("room");
        }
        tokio::time::advance(LEASE / 2).await;
        leases.take(&place("gh", 0)).expect("room");
        tokio::time::advance(LEASE / 2).await;
        assert_eq!(leases.live(), [place("gh", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_crowds_out_the_others() {
        let mut leases = Leases::default();
        leases.take(&place("jira", 0)).expect("room");
        for n in 0..=LEASES_OF_ONE_MAX {
            tokio::time::advance(Duration::from_millis(1)).await;
            leases.take(&place("gh", n)).expect("room");
        }
        let live = leases.live();
        assert_eq!(live.len(), 1 + LEASES_OF_ONE_MAX);
        assert!(!live.contains(&place("gh", 0)), "the oldest went");
        assert!(live.contains(&place("jira", 0)));
    }
}
