//! Who publishes: writes down each try before it begins and each outcome when it is there, and
//! tries again, with the same ids, until all events are acknowledged.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{sleep, timeout};
use weftbus::{
    error::Error,
    event::{Event, Published, Publisher},
    mesh::{Mesh, Options},
};

use super::{
    book::Book,
    member::{self, Member, say},
    record::{Line, Record, Try},
};

/// Between two tries of what failed.
pub(super) const AGAIN: Duration = Duration::from_millis(50);

/// What a writer is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) source: String,
    pub(super) url: String,
    /// The file with its connect token.
    pub(super) token: PathBuf,
    /// The file that it writes down everything in.
    pub(super) record: PathBuf,
    /// How many events.
    pub(super) events: u32,
    /// How many of them at a time.
    pub(super) window: usize,
    /// How long it gives an event; none: as long as the library does.
    pub(super) patience: Option<Duration>,
    /// How long it may take in all.
    pub(super) within: Duration,
}

/// The id of an event, the same in each try.
pub(super) fn id(source: &str, n: u32) -> String {
    format!("{source}-{n}")
}

/// A try, and what came of it.
type Outcome = (Try, u32, Result<Published, Error>);

/// Carries out an order, from where the record ends.
pub(super) async fn write(order: Order) {
    let whole = async {
        let mut book = Book::new(&order.source, &order.record);
        book.refresh();
        let unacknowledged = |n: &u32| !book.acknowledged.contains_key(n);
        let mut left: Vec<u32> = (0..order.events).filter(unacknowledged).collect();
        let mesh = mesh(&order.url, &order.token).await;
        let publisher = publisher(&mesh, order.patience).await;
        let mut run = Run {
            record: Record::open(&order.record),
            of: Try {
                run: book.runs().1,
                at: 0,
            },
            order: &order,
        };
        while !left.is_empty() {
            left = run.pass(&publisher, left).await;
            sleep(AGAIN).await;
        }
        mesh.close().await;
    };
    timeout(order.within, whole).await.expect("in time");
}

/// Joins, as soon as there is a mesh.
pub(super) async fn mesh(url: &str, token: &Path) -> Mesh {
    let token = std::fs::read_to_string(token).expect("a token");
    loop {
        match Mesh::connect(Options::new(url, token.clone())).await {
            Ok(mesh) => return mesh,
            Err(error) => say(&format!("not joined: {error}")),
        }
        sleep(AGAIN).await;
    }
}

async fn publisher(mesh: &Mesh, patience: Option<Duration>) -> Publisher {
    loop {
        match (mesh.events().publisher().await, patience) {
            (Ok(publisher), None) => return publisher.clone(),
            (Ok(publisher), Some(patience)) => return publisher.clone().timeout(patience),
            (Err(error), _) => say(&format!("no publisher: {error}")),
        }
        sleep(AGAIN).await;
    }
}

/// One life of a writer.
struct Run<'a> {
    record: Record,
    of: Try,
    order: &'a Order,
}

impl Run<'_> {
    /// Tries these events in their order. Gives those that were not acknowledged.
    async fn pass(&mut self, publisher: &Publisher, events: Vec<u32>) -> Vec<u32> {
        let mut under_way: FuturesOrdered<BoxFuture<'_, Outcome>> = FuturesOrdered::new();
        let mut left = Vec::new();
        for n in events {
            if under_way.len() >= self.order.window
                && let Some(outcome) = under_way.next().await
            {
                left.extend(self.note(outcome));
            }
            self.of.at += 1;
            let of = self.of;
            self.record.write(&Line::Attempt { of, n });
            match publisher.begin(self.event(n)).await {
                Ok(receipt) => under_way.push_back(Box::pin(async move { (of, n, receipt.await) })),
                Err(error) => left.extend(self.note((of, n, Err(error)))),
            }
        }
        while let Some(outcome) = under_way.next().await {
            left.extend(self.note(outcome));
        }
        left.sort_unstable();
        left
    }

    /// The event says which try of it was stored.
    fn event(&self, n: u32) -> Event {
        let kind = if n.is_multiple_of(3) {
            "swarm.written"
        } else {
            "task.written"
        };
        let data = json!({"of": self.of, "n": n, "text": "x".repeat(100)});
        Event::new(kind, data).with_id(id(&self.order.source, n))
    }

    /// Writes an outcome down. Gives the event if it has to be tried again.
    fn note(&mut self, (of, n, outcome): Outcome) -> Option<u32> {
        let again = outcome.is_err().then_some(n);
        self.record.write(&match outcome {
            Ok(published) => Line::Acknowledged {
                of,
                n,
                stream: published.stream,
                sequence: published.sequence,
                duplicate: published.duplicate,
            },
            Err(error) => Line::Failed {
                of,
                n,
                kind: error.kind().name().to_owned(),
                case: error.case_name().to_owned(),
                started: format!("{:?}", error.has_started()),
                message: error.to_string(),
            },
        });
        again
    }
}

/// A writer's process, and what it wrote down.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) book: Book,
    order: Order,
    log: PathBuf,
    member: Member,
}

impl Writer {
    pub(super) fn start(order: Order, dir: &Path) -> Self {
        let log = dir.join(format!("{}.log", order.source));
        Self {
            book: Book::new(&order.source, &order.record),
            member: Member::start(&member::Order::Write(order.clone()), &log),
            order,
            log,
        }
    }

    /// Kills it. Gives how many tries it had under way.
    pub(super) fn kill(&mut self) -> usize {
        self.member.kill();
        self.book.refresh();
        self.book.in_flight()
    }

    /// Starts it anew, with what it was at before.
    pub(super) fn again(&mut self) {
        self.member = Member::start(&member::Order::Write(self.order.clone()), &self.log);
    }

    /// Whether it has done all that it was to do.
    pub(super) fn is_done(&mut self) -> bool {
        self.book.refresh();
        match self.member.ended() {
            None => false,
            Some(true) => {
                self.book.refresh();
                true
            }
            Some(false) => panic!("{} failed:\n{}", self.order.source, self.said()),
        }
    }

    /// Reads on. Says whether it runs, or has ended well.
    pub(super) fn is_alive(&mut self) -> bool {
        self.book.refresh();
        self.member.ended() != Some(false)
    }

    /// What it said to people.
    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
