//! The ledger: no acknowledged event is lost, whatever dies meanwhile.
//!
//! Writers are processes of their own that write down each try before it begins and each outcome
//! when it is there ([`record`]). At the end [`check`] holds what they wrote against what the mesh
//! replays. One writer is patient, as the library is; the other gives up soon and tries again
//! itself: so both what the library mends and what it hands back is seen. Meanwhile a subscriber
//! handles what is stored, and writes its effects into a table: one for each event in the end.
//!
//! `make ledger` runs the same with the full numbers: `WEFT_LEDGER_EVENTS`, `WEFT_LEDGER_KILLS`.

mod acks;
mod book;
mod broker;
mod check;
mod damaged;
mod disk;
mod full;
mod member;
mod node;
pub(crate) mod proxy;
mod publisher;
mod reader;
mod record;
mod subscriber;
mod writer;

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::time::timeout;
use weftbus::{
    control::Secrets,
    event::{From, Wish},
    mesh::{Begin, Told},
    spawn::Tasks,
};

use self::{
    book::Book,
    check::{Replayed, Table, wrongs},
    node::Node,
    reader::Reader,
    record::Try,
    writer::{Order, Writer},
};
use crate::{
    control::root,
    plane::{Plane, public},
    process::until,
    stage::PATIENCE,
};

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    /// Events of a scenario, those of all writers.
    events: u32,
    /// How often something is killed in it.
    kills: u32,
}

impl Numbers {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever starts the tests says how long they may take"
    )]
    fn read() -> Self {
        let number = |name: &str, usual: u32| match std::env::var(name) {
            Ok(text) => text.parse().expect(name),
            Err(_) => usual,
        };
        Self {
            events: number("WEFT_LEDGER_EVENTS", 3000),
            kills: number("WEFT_LEDGER_KILLS", 4),
        }
    }

    /// How long a scenario may take.
    fn within(self) -> Duration {
        PATIENCE * 2 + Duration::from_millis(10) * self.events
    }
}

/// How long the impatient one waits: less than a broker takes to be back.
const IMPATIENT: Duration = Duration::from_millis(150);

/// A mesh, its broker, and who writes and reads there.
struct Scene {
    numbers: Numbers,
    node: Node,
    plane: Plane,
    writers: Vec<Writer>,
    reader: Option<Reader>,
    dir: tempfile::TempDir,
}

impl Scene {
    /// A mesh on a nats-server that is run by these words, in this folder.
    async fn set(store: tempfile::TempDir, by: Vec<String>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let secrets = Secrets::load_or_create(dir.path()).expect("secrets");
        let node = Node::start(public(&secrets), store, by).await;
        let (_, page) = node.page("varz").await;
        let jetstream = &page["jetstream"]["config"];
        assert_eq!(jetstream["sync_always"], true, "{jetstream}");
        let folder = tempfile::tempdir().expect("a folder");
        let plane = Plane::on(node.url(), Arc::new(secrets), folder, Tasks::new()).await;
        Self {
            numbers: Numbers::read(),
            node,
            plane,
            writers: Vec::new(),
            reader: None,
            dir,
        }
    }

    async fn usual() -> Self {
        Self::set(tempfile::tempdir().expect("a folder"), Vec::new()).await
    }

    /// One in which two write and one reads, all of them by the shortest way.
    async fn busy() -> Self {
        let mut scene = Self::usual().await;
        let url = scene.node.url();
        scene.read(url.clone(), None).await;
        scene.write([url.clone(), url], IMPATIENT).await;
        scene
    }

    /// Lets two begin: the patient `w0`, and `w1` that gives up so soon, each by a way of its own.
    async fn write(&mut self, urls: [String; 2], patience: Duration) {
        let patience = [None, Some(patience)];
        for (url, (n, patience)) in urls.into_iter().zip((0..).zip(patience)) {
            let source = format!("w{n}");
            let token = self.path(&format!("{source}.token"));
            let issued = self.plane.issue(&source, &["*"]).await;
            std::fs::write(&token, &issued.token).expect("ours");
            let events = self.numbers.events / 2;
            let order = Order {
                url,
                token,
                record: self.path(&format!("{source}.record")),
                source,
                events,
                window: (events / 25).clamp(16, 512) as usize,
                patience,
                within: self.numbers.within(),
            };
            self.writers.push(Writer::start(order, self.dir.path()));
        }
    }

    /// Lets one begin to handle what they write, who dies with so many effects of its own.
    async fn read(&mut self, url: String, dies_with: Option<usize>) {
        let token = self.path("reader.token");
        let issued = self.plane.issue("reader", &["*"]).await;
        std::fs::write(&token, &issued.token).expect("ours");
        let order = reader::Order {
            url,
            token,
            record: self.path("effects"),
            dies_with,
            within: self.numbers.within(),
        };
        self.reader = Some(Reader::start(order, self.path("reader.log")));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What all have got acknowledged so far, of a thousand.
    fn progress(&mut self) -> u32 {
        let mut done = 0;
        for writer in &mut self.writers {
            assert!(writer.is_alive(), "{}", writer.said());
            done += u32::try_from(writer.book.acknowledged.len()).expect("few");
        }
        done * 1000 / self.numbers.events
    }

    /// Tries that were told as failed so far.
    fn refused(&mut self) -> usize {
        self.progress();
        self.writers
            .iter()
            .map(|writer| writer.book.refused())
            .sum()
    }

    /// Tries that are under way.
    fn in_flight(&self) -> usize {
        let open = |writer: &Writer| writer.book.in_flight();
        self.writers.iter().map(open).sum()
    }

    /// Waits until so much of a thousand is acknowledged, and something is under way.
    async fn reaches(&mut self, progress: u32) {
        until(self.numbers.within(), "the writers come so far", || {
            self.progress() >= progress && self.in_flight() > 0
        })
        .await;
    }

    /// Waits until all have done what they were to do, replays everything, and checks it.
    async fn end(&mut self, name: &'static str) -> Table {
        let writers = &mut self.writers;
        until(self.numbers.within(), "the writers end", || {
            writers.iter_mut().all(Writer::is_done)
        })
        .await;
        let replayed = replay(&self.plane).await;
        let books: Vec<&Book> = self.writers.iter().map(|writer| &writer.book).collect();
        let wrongs = wrongs(&books, self.numbers.events / 2, &replayed);
        let mut table = Table::new(name, &books, replayed.len());
        let shown = &wrongs[..wrongs.len().min(20)];
        assert!(
            wrongs.is_empty(),
            "{table}{} wrongs: {shown:#?}",
            wrongs.len()
        );
        self.effects(&replayed, &mut table).await;
        table
    }

    /// Waits until the reader has answered everything, and checks that each has one effect.
    async fn effects(&mut self, replayed: &[Replayed], table: &mut Table) {
        let within = self.numbers.within();
        let reader = self.reader.as_mut().expect("each scene has one");
        until(within, "all is answered", || {
            assert!(!reader.is_dead(), "nobody told it to");
            reader.effects.answered.len() >= replayed.len()
        })
        .await;
        let effects = &reader.effects;
        table.effects = (effects.of.values().sum(), effects.again);
        let twice = effects.of.iter().find(|(_, count)| **count > 1);
        assert_eq!(twice, None, "an effect was there twice\n{table}");
        let named = replayed
            .iter()
            .map(|one| reader::named(&one.source, &one.id));
        let (had, were): (HashSet<_>, HashSet<_>) =
            (effects.of.keys().cloned().collect(), named.collect());
        let wrong: Vec<_> = were.symmetric_difference(&had).take(5).collect();
        assert!(wrong.is_empty(), "{wrong:?}\n{table}");
    }
}

/// Everything that is stored, from the begin.
async fn replay(plane: &Plane) -> Vec<Replayed> {
    #[derive(Deserialize)]
    struct Data {
        of: Try,
    }
    let mesh = root(plane).await;
    let wish = Wish {
        types: vec!["task.*".to_owned(), "swarm.*".to_owned()],
        ..Wish::default()
    };
    let begin = [Begin {
        stream: None,
        from: From::Start,
    }];
    let opened = mesh.events().tail(wish, &begin).await;
    let mut tail = opened.expect("opened");
    let mut all = Vec::new();
    while !tail.is_live() {
        let told = timeout(PATIENCE, tail.next()).await.expect("in time");
        let stored = match told.expect("goes on") {
            Told::Event(stored) => stored,
            other => panic!("no event: {other:?}"),
        };
        let data: Data = stored.event.data().expect("ours");
        let source = stored.event.source.expect("the broker vouches for it");
        all.push(Replayed {
            source: source.as_str().to_owned(),
            id: stored.event.id,
            of: data.of,
            stream: stored.stream,
            sequence: stored.sequence,
        });
    }
    mesh.close().await;
    all
}
