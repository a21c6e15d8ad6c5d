//! A connection of this member beside the one that its calls travel on.
//!
//! What a stream sends can end the connection that it comes by: one event with a bare CR in a header
//! is enough. So who reads streams does it here, where no call waits for an answer.

use super::Mesh;
use crate::{
    bus::{Link, Options as BusOptions, connect::BACKLOG_OF_EVENTS},
    error::Error,
    spawn::Tasks,
};

/// A connection of its own, of the same member. Dropping it closes it.
#[derive(Debug)]
pub struct Beside {
    link: Link,
    tasks: Tasks,
}

impl Beside {
    /// The connection.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// What ends with it: tasks that work on this connection.
    #[must_use]
    pub const fn tasks(&self) -> &Tasks {
        &self.tasks
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Mesh {
    /// Makes another connection of this member, as the same identity, for what might end it or
    /// keep it busy. It is watched and built anew like the one of the calls, and ends with this
    /// member. `what` it is for stands in the broker's list of connections.
    ///
    /// # Errors
    /// As [`Link::connect`].
    pub async fn connect_beside(&self, what: &str) -> Result<Beside, Error> {
        let inner = &self.inner;
        let options = BusOptions {
            name: format!("{} ({what})", inner.bus.name),
            backlog: BACKLOG_OF_EVENTS,
            ..inner.bus.clone()
        };
        let tasks = inner.tasks.group();
        match Box::pin(Link::connect(options, &tasks)).await {
            Ok(link) => Ok(Beside { link, tasks }),
            Err(error) => {
                tasks.cancel();
                Err(error)
            }
        }
    }
}
