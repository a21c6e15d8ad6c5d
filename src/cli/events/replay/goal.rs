//! Where a replay's events go.

use weftbus::mesh::{Outlet, Stored};

use super::{consumer::Consumer, summary::Summary};
use crate::cli::{events::line::Line, failure::Failure, output::Printer};

/// Where a replay's events go.
pub(super) enum Goal {
    /// Standard output, a line each.
    Lines,
    /// Nowhere: they are counted.
    Nobody,
    /// A subject.
    Subject(Outlet),
    /// A durable reader.
    Consumer(Consumer),
}

impl Goal {
    /// Delivers an event, and counts it when it is delivered.
    pub(super) async fn deliver(
        &mut self,
        stored: Stored,
        summary: &mut Summary,
        to: &mut Printer,
    ) -> Result<(), Failure> {
        let stream = stored.stream.clone();
        match self {
            Self::Lines => Line::from(stored).replayed().show(to)?,
            Self::Nobody => {}
            Self::Subject(outlet) => outlet.send(&stored).await?,
            Self::Consumer(consumer) => return consumer.deliver(&stored, summary).await,
        }
        summary.count(stream, 1);
        Ok(())
    }

    /// Makes sure that all have arrived. Says whether they are the data themselves.
    pub(super) async fn finish(self, summary: &mut Summary) -> Result<bool, Failure> {
        match self {
            Self::Lines => return Ok(true),
            Self::Nobody => {}
            Self::Subject(outlet) => {
                outlet.finish().await?;
            }
            Self::Consumer(consumer) => consumer.finish(summary).await?,
        }
        Ok(false)
    }
}
