//! Where a replay's events go.

use weftbus::mesh::{Outlet, Stored};

use crate::cli::{events::line::Line, failure::Failure, output::Printer};

/// Where a replay's events go.
pub(super) enum Goal {
    /// Standard output, a line each.
    Lines,
    /// Nowhere: they are counted.
    Nobody,
    /// A subject.
    Subject(Outlet),
}

impl Goal {
    /// Delivers an event.
    pub(super) async fn deliver(
        &mut self,
        stored: Stored,
        to: &mut Printer,
    ) -> Result<(), Failure> {
        match self {
            Self::Lines => Line::from(stored).replayed().show(to),
            Self::Nobody => Ok(()),
            Self::Subject(outlet) => Ok(outlet.send(&stored).await?),
        }
    }

    /// Makes sure that all have arrived. Says whether they are the data themselves.
    pub(super) async fn finish(self) -> Result<bool, Failure> {
        match self {
            Self::Lines => Ok(true),
            Self::Nobody => Ok(false),
            Self::Subject(outlet) => {
                outlet.finish().await?;
                Ok(false)
            }
        }
    }
}
