//! What servers say of themselves: that something of theirs is not what it was. No content: who
//! cares reads it anew.

use async_nats::Subscriber;
use futures_util::StreamExt as _;

use super::{link::Link, wire};
use crate::{
    error::Error,
    name::{ServerName, subject},
};

/// The notifications of all servers.
#[derive(Debug)]
pub struct Notices {
    from: Subscriber,
}

impl Notices {
    /// Begins to listen.
    ///
    /// # Errors
    /// `ACCESS_DENIED` for who may not hear all servers; `SERVER_OVERLOADED` without a connection.
    pub async fn open(link: &Link) -> Result<Self, Error> {
        let from = link.subscribe(subject::NOTIFICATIONS.to_owned(), false);
        Ok(Self { from: from.await? })
    }

    /// The next one: the server, and what of it, as in `tools.list_changed`. Nothing when the
    /// connection ended.
    pub async fn next(&mut self) -> Option<(ServerName, String)> {
        loop {
            let message = self.from.next().await?;
            // What a stream stored was said by nobody now.
            if wire::header(&message, &wire::STREAM).is_some() {
                continue;
            }
            let Some((server, kind)) = subject::notification_parts(&message.subject) else {
                continue;
            };
            if let Ok(server) = ServerName::new(server) {
                return Some((server, kind.to_owned()));
            }
        }
    }
}
