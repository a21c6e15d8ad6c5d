//! One thing that was looked at.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::output::{Tone, table::Cell};

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// What it is: `nats-server`, `token`, `server docs`.
    pub(super) name: String,
    /// How it came out.
    pub(super) outcome: Outcome,
    /// How it is.
    pub(super) detail: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it should be.
    Ok,
    /// Not wrong, but worth to be known.
    Note,
    /// Wrong.
    Fail,
}

impl Outcome {
    pub(super) fn cell(self) -> Cell {
        match self {
            Self::Ok => Cell::new("ok", Tone::Good),
            Self::Note => Cell::new("note", Tone::Faint),
            Self::Fail => Cell::new("FAIL", Tone::Bad),
        }
    }
}

/// A check that waits for its outcome.
pub(super) struct Verdict {
    name: String,
    detail: String,
}

impl Check {
    /// What was looked at, and how it is.
    pub(super) fn of(name: impl Into<String>, detail: impl Into<String>) -> Verdict {
        Verdict {
            name: name.into(),
            detail: detail.into(),
        }
    }
}

impl Verdict {
    /// It is as it should be.
    pub(super) fn ok(self) -> Check {
        self.with(Outcome::Ok, None)
    }

    /// It may be so; this can be done.
    pub(super) fn noted(self, what: impl Into<String>) -> Check {
        self.with(Outcome::Note, Some(what.into()))
    }

    /// It is wrong; this is to be done.
    pub(super) fn failed(self, fix: impl Into<String>) -> Check {
        self.with(Outcome::Fail, Some(fix.into()))
    }

    fn with(self, outcome: Outcome, fix: Option<String>) -> Check {
        Check {
            name: self.name,
            outcome,
            detail: self.detail,
            fix,
        }
    }
}
