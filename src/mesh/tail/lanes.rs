//! Several streams read as one: history in the order in which it was stored, news as it comes.

use std::time::Duration;

use futures_util::future::select_all;
use tokio::{sync::mpsc, time::timeout};

use super::Told;
use crate::error::{Error, Kind};

/// Events of one stream that wait for who reads them.
pub(super) const QUEUE_MAX: usize = 256;
/// How long the history of one stream waits for that of another.
const ORDER_MAX: Duration = Duration::from_secs(10);

/// What the task of a stream says.
pub(super) enum Item {
    /// Something for who reads.
    Told { at: u64, behind: u64, told: Told },
    /// So many stored events are still to come.
    Behind(u64),
    /// All is told.
    Over,
    /// It can't go on.
    Failed(Error),
}

/// One stream's events.
#[derive(Debug)]
pub(super) struct Lane {
    from: mpsc::Receiver<Item>,
    /// What came and has to wait for its turn.
    head: Option<(u64, Told)>,
    /// How many stored events are still to come.
    behind: u64,
    over: bool,
}

/// The streams of one reader.
#[derive(Debug)]
pub(in crate::mesh) struct Lanes(Vec<Lane>);

impl Lanes {
    pub(super) const fn new(lanes: Vec<Lane>) -> Self {
        Self(lanes)
    }

    /// What comes next; `None` where all of them are over.
    ///
    /// # Errors
    /// What ended one of them before.
    pub(in crate::mesh) async fn next(&mut self) -> Result<Option<Told>, Error> {
        loop {
            self.history().await?;
            self.0.retain(|lane| !lane.over || lane.head.is_some());
            let ready = self.0.iter_mut().filter(|lane| lane.head.is_some());
            let first = ready.min_by_key(|lane| lane.head.as_ref().map(|(at, _)| *at));
            if let Some((_, told)) = first.and_then(|lane| lane.head.take()) {
                return Ok(Some(told));
            }
            if self.0.is_empty() {
                return Ok(None);
            }
            let waiting = self.0.iter_mut().map(|lane| Box::pin(lane.from.recv()));
            let (item, lane, _) = select_all(waiting).await;
            self.0[lane].take(item)?;
        }
    }

    /// Whether everything that was stored has been told.
    pub(in crate::mesh) fn is_live(&self) -> bool {
        let told = |lane: &Lane| lane.behind == 0 && lane.head.is_none();
        self.0.iter().all(told)
    }

    /// Waits until each stream that is still in its history has something to show.
    async fn history(&mut self) -> Result<(), Error> {
        for lane in &mut self.0 {
            while lane.head.is_none() && lane.behind > 0 {
                match timeout(ORDER_MAX, lane.from.recv()).await {
                    Ok(item) => lane.take(item)?,
                    // It goes on when it can; the others do now.
                    Err(_) => lane.behind = 0,
                }
            }
        }
        Ok(())
    }
}

impl Lane {
    pub(super) const fn new(from: mpsc::Receiver<Item>, behind: u64) -> Self {
        Self {
            from,
            head: None,
            behind,
            over: false,
        }
    }

    fn take(&mut self, item: Option<Item>) -> Result<(), Error> {
        match item {
            Some(Item::Told { at, behind, told }) => {
                self.behind = behind;
                self.head = Some((at, told));
            }
            Some(Item::Behind(behind)) => self.behind = behind,
            Some(Item::Over) => (self.behind, self.over) = (0, true),
            Some(Item::Failed(error)) => return Err(error),
            None => return Err(Error::new(Kind::ServerOverloaded, "the mesh was left")),
        }
        Ok(())
    }
}
