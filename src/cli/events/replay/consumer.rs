//! A replay to one durable reader: the control plane delivers, and is told the numbers by pages.

use std::collections::BTreeMap;

use weftbus::mesh::{Mesh, Stored};

use super::summary::Summary;
use crate::cli::failure::Failure;

/// Numbers of one page.
const PAGE_MAX: usize = 256;

/// One durable reader.
pub(super) struct Consumer {
    mesh: Mesh,
    name: String,
    /// How many numbers go together.
    together: usize,
    /// The numbers of each stream that wait, in order.
    waiting: BTreeMap<String, Vec<u64>>,
}

impl Consumer {
    /// `at_once`: each event is delivered when its time is there, and waits for no other.
    pub(super) fn new(mesh: &Mesh, name: &str, at_once: bool) -> Self {
        Self {
            mesh: mesh.clone(),
            name: name.to_owned(),
            together: if at_once { 1 } else { PAGE_MAX },
            waiting: BTreeMap::new(),
        }
    }

    /// Delivers an event, with those before it when a page is full.
    pub(super) async fn deliver(
        &mut self,
        stored: &Stored,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let page = self.waiting.entry(stored.stream.clone()).or_default();
        page.push(stored.sequence);
        if page.len() < self.together {
            return Ok(());
        }
        let page = std::mem::take(page);
        self.turn(&stored.stream, &page, summary).await
    }

    /// Delivers what still waits.
    pub(super) async fn finish(mut self, summary: &mut Summary) -> Result<(), Failure> {
        for (stream, page) in std::mem::take(&mut self.waiting) {
            if !page.is_empty() {
                self.turn(&stream, &page, summary).await?;
            }
        }
        Ok(())
    }

    async fn turn(&self, stream: &str, page: &[u64], summary: &mut Summary) -> Result<(), Failure> {
        let events = self.mesh.events();
        let delivered = events.redeliver(&self.name, stream, page).await?;
        summary.count(stream.to_owned(), delivered);
        // What was read a moment ago, and could not be delivered.
        summary.miss(
            u64::try_from(page.len())
                .unwrap_or(0)
                .saturating_sub(delivered),
        );
        Ok(())
    }
}
