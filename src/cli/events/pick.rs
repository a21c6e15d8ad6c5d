//! Which events, as the command line says it: what the streams filter, and what is left to sort out
//! here.

use weftbus::{
    event::Wish,
    mesh::{Begin, Stored},
    name::Identity,
};

use super::begin::Since;
use crate::cli::failure::Failure;

/// Which events.
#[derive(clap::Args)]
pub(super) struct Pick {
    /// Only events of these types
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Only what this identity published
    #[arg(long, value_name = "NAME")]
    source: Option<Identity>,
    /// Only what is part of this
    #[arg(long, value_name = "ID")]
    corr: Option<String>,
    #[command(flatten)]
    since: Since,
    /// End after so many events
    #[arg(short = 'n', value_name = "N")]
    count: Option<u64>,
}

impl Pick {
    /// What the streams are asked for.
    pub(super) fn wish(&self) -> Wish {
        Wish {
            types: self.types.clone(),
            source: self.source.clone(),
            ..Wish::default()
        }
    }

    /// Where they begin, and who sorts out the rest.
    pub(super) fn read(&self) -> Result<(Vec<Begin>, Picker), Failure> {
        let (begin, behind) = self.since.read()?;
        let picker = Picker {
            behind,
            corr: self.corr.clone(),
            left: self.count.unwrap_or(u64::MAX),
        };
        Ok((begin, picker))
    }
}

/// Sorts out events.
pub(super) struct Picker {
    /// The event to wait for.
    behind: Option<String>,
    corr: Option<String>,
    /// How many are still wanted.
    left: u64,
}

impl Picker {
    /// Whether all that were wanted have come.
    pub(super) const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Whether this one is wanted. One that is counts.
    pub(super) fn wants(&mut self, stored: &Stored) -> bool {
        if let Some(id) = &self.behind {
            if stored.event.id == *id {
                self.behind = None;
            }
            return false;
        }
        let corr = stored.event.correlation_id.as_deref();
        let wanted = self.corr.is_none() || self.corr.as_deref() == corr;
        self.left -= u64::from(wanted);
        wanted
    }

    /// All that is stored has come.
    pub(super) fn at_the_end(&self) -> Result<(), Failure> {
        self.behind.as_ref().map_or(Ok(()), |id| {
            Err(Failure::usage(format!(
                "--after {id}: there is no such event in these streams"
            )))
        })
    }
}
