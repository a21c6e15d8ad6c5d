//! Bare NATS, to measure the mesh against: the same broker, the same bodies, nothing of ours.
//!
//! Two ways a good engineer would write it by hand: the library's own `request`, and one wildcard
//! inbox with a table of one-shot channels.

pub mod stream;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::oneshot;

use super::{fault, link::Link};
use crate::{
    error::{Error, Kind},
    name::{Connection, Identity, ServerName, subject},
    spawn::{Failure, Tasks},
};

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How a bare request waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `Client::request` of the library.
    Request,
    /// One wildcard inbox of our own.
    Inbox,
}

/// Asks a bare echo.
#[derive(Clone, Debug)]
pub struct Bare {
    client: Client,
    subject: String,
    inbox: Arc<Inbox>,
    way: Way,
}

#[derive(Debug)]
struct Inbox {
    identity: Identity,
    connection: Connection,
    server: ServerName,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Bytes>>>,
}

/// The subject of a bare echo: one that the permission lists of `server` allow as well.
#[must_use]
pub fn echo_subject(caller: &Identity, server: &ServerName) -> String {
    format!(
        "{}.ins.{caller}.{server}.bare.tools.call.echo",
        subject::ROOT
    )
}

/// Answers every request on `subject` with its own body, until the tasks are stopped.
///
/// # Errors
/// As [`Link::subscribe`].
pub async fn echo(link: &Link, subject: String, tasks: &Tasks) -> Result<(), Error> {
    let mut asked = link.subscribe(subject, false).await?;
    let (client, stop) = (link.client(), tasks.stopping());
    tasks.spawn("bare echo", Failure::Logged, async move {
        let answering = async {
            while let Some(message) = asked.next().await {
                if let Some(reply) = message.reply
                    && client.publish(reply, message.payload).await.is_err()
                {
                    return;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = answering => {}
        }
    });
    Ok(())
}

impl Bare {
    /// Asks on `subject` over the connection of `link`; answers come below the reply subjects of
    /// its identity, as `server`'s permission list asks for.
    ///
    /// # Errors
    /// As [`Link::subscribe`].
    pub async fn new(
        link: &Link,
        subject: String,
        server: ServerName,
        way: Way,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let inbox = Arc::new(Inbox {
            identity: link.identity().clone(),
            connection: Connection::random(),
            server,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
        });
        if way == Way::Inbox {
            let all = subject::replies(&inbox.identity, &inbox.connection);
            let answers = link.subscribe(all, false).await?;
            let (reader, stop) = (Arc::clone(&inbox), tasks.stopping());
            tasks.spawn("bare inbox", Failure::Logged, async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = reader.read(answers) => {}
                }
            });
        }
        Ok(Self {
            client: link.client(),
            subject,
            inbox,
            way,
        })
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// `TIMEOUT`, or what the connection says.
    pub async fn ask(&self, body: Bytes) -> Result<Bytes, Error> {
        match self.way {
            Way::Request => {
                let asked = self.client.request(self.subject.clone(), body).await;
                let answer =
                    asked.map_err(|error| Error::new(Kind::Timeout, fault::causes(&error)))?;
                Ok(answer.payload)
            }
            Way::Inbox => self.ask_inbox(body).await,
        }
    }

    async fn ask_inbox(&self, body: Bytes) -> Result<Bytes, Error> {
        let number = self.inbox.next.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        self.inbox.table().insert(number, answered);
        let to = &self.inbox;
        let reply = format!(
            "{}.rep.{}.{}.{}.{number}",
            subject::ROOT,
            to.identity,
            to.connection,
            to.server
        );
        self.client
            .publish_with_reply(self.subject.clone(), reply, body)
            .await
            .map_err(fault::publish)?;
        match tokio::time::timeout(ANSWER_MAX, answer).await {
            Ok(Ok(body)) => Ok(body),
            _ => Err(Error::new(Kind::Timeout, "the bare echo did not answer")),
        }
    }
}

impl Inbox {
    async fn read(self: Arc<Self>, mut answers: Subscriber) {
        while let Some(message) = answers.next().await {
            let number = message.subject.rsplit('.').next();
            let number = number.and_then(|number| number.parse().ok());
            if let Some(waiting) = number.and_then(|number: u64| self.table().remove(&number)) {
                // Whoever gave up does not hear it.
                drop(waiting.send(message.payload));
            }
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Bytes>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
