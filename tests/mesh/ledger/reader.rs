//! Who handles events: has an effect for each, once an id, and writes it down before it answers.
//!
//! An event comes again until it is answered. That its effect is there once is the handler's part:
//! it looks into its table first.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use weftbus::{
    event::From,
    mesh::{Mesh, Subscription},
};

use super::{
    member::{self, Member, say},
    record::{Lines, Record},
    writer::{AGAIN, mesh},
};

/// The name of its durable.
pub(super) const DURABLE: &str = "ledger";
/// How long after a kill what was handed out comes again.
const WAIT: Duration = Duration::from_secs(1);
/// Each kill costs what was handed out a try.
const TRIES: u32 = 100;

/// What a reader is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) url: String,
    /// The file with its connect token.
    pub(super) token: PathBuf,
    /// The file that is its table of effects.
    pub(super) record: PathBuf,
    /// It dies with this effect of its own, before it answers.
    pub(super) dies_with: Option<usize>,
    /// How long it may take in all.
    pub(super) within: Duration,
}

/// A line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Line {
    /// The effect of an event.
    Effect(String),
    /// The event came again, and has its effect.
    Again(String),
    /// It is answered, and never comes again.
    Answered(String),
}

/// The table of effects.
#[derive(Debug)]
pub(super) struct Effects {
    lines: Lines,
    pub(super) of: HashMap<String, usize>,
    pub(super) again: usize,
    pub(super) answered: HashSet<String>,
}

impl Effects {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            lines: Lines::new(file),
            of: HashMap::new(),
            again: 0,
            answered: HashSet::new(),
        }
    }

    /// Reads on.
    pub(super) fn refresh(&mut self) {
        for line in self.lines.next() {
            match line {
                Line::Effect(id) => *self.of.entry(id).or_default() += 1,
                Line::Again(_) => self.again += 1,
                Line::Answered(id) => drop(self.answered.insert(id)),
            }
        }
    }

    /// Effects of events that nobody answered.
    pub(super) fn unanswered(&self) -> usize {
        let ids = self.of.keys();
        ids.filter(|id| !self.answered.contains(*id)).count()
    }
}

/// Carries out an order: handles what comes, until it dies.
pub(super) async fn read(order: Order) {
    let whole = async {
        let mut effects = Effects::new(&order.record);
        effects.refresh();
        let mut record = Record::open(&order.record);
        let mesh = mesh(&order.url, &order.token).await;
        let mut events = subscribed(&mesh).await;
        let mut own = 0;
        loop {
            let delivery = events.next().await.expect("it goes on");
            let source = delivery.event.source.as_ref().expect("the broker vouches");
            let id = named(source.as_str(), &delivery.event.id);
            if effects.of.contains_key(&id) {
                record.write(&Line::Again(id.clone()));
            } else {
                record.write(&Line::Effect(id.clone()));
                effects.of.insert(id.clone(), 1);
                own += 1;
                if order.dies_with == Some(own) {
                    kill_process(getpid(), Signal::KILL).expect("it lives");
                }
            }
            match delivery.ack().await {
                Ok(()) => record.write(&Line::Answered(id)),
                Err(error) => say(&format!("{id} is not answered: {error}")),
            }
        }
    };
    timeout(order.within, whole).await.expect("in time");
}

/// Opens the durable, as soon as the mesh lets it.
async fn subscribed(mesh: &Mesh) -> Subscription {
    loop {
        let subscribing = mesh.events().subscribe("task.*").or("swarm.*");
        let subscribing = subscribing.durable(DURABLE).from(From::Start);
        match subscribing.wait(WAIT).tries(TRIES).start().await {
            Ok(subscription) => return subscription,
            Err(error) => say(&format!("not subscribed: {error}")),
        }
        sleep(AGAIN).await;
    }
}

/// An id is one of its source.
pub(super) fn named(source: &str, id: &str) -> String {
    format!("{source} {id}")
}

/// A reader's process, and its table.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) effects: Effects,
    order: Order,
    log: PathBuf,
    member: Member,
}

impl Reader {
    pub(super) fn start(order: Order, log: PathBuf) -> Self {
        Self {
            effects: Effects::new(&order.record),
            member: Member::start(&member::Order::Read(order.clone()), &log),
            order,
            log,
        }
    }

    /// Whether it died as it was told to.
    pub(super) fn is_dead(&mut self) -> bool {
        self.effects.refresh();
        let ended = self.member.ended();
        let said = || std::fs::read_to_string(&self.log).unwrap_or_default();
        assert!(
            ended.is_none() || self.member.was_killed(),
            "the reader failed:\n{}",
            said()
        );
        ended.is_some()
    }

    /// Starts it anew, with what it was at before.
    pub(super) fn again(&mut self, dies_with: Option<usize>) {
        self.order.dies_with = dies_with;
        self.member = Member::start(&member::Order::Read(self.order.clone()), &self.log);
    }
}
