//! Each use of a tool written down before it is used, with what became of it; and the tool by which
//! all that was written is read.

use serde_json::{Map, Value};

use super::{Desk, Outcome, shapes::AuditOpen};
use crate::{
    audit::{Decision, Record},
    call::{Call, Principal},
    control::{audit, leases},
    error::{Error, Kind},
    event::Opened,
    name::store,
    policy::audit::of,
};

/// What the subjects of the whole trail match.
const EVERYBODY: &str = "weft.v1.aud.>";

impl Desk {
    /// Does something that was permitted, on record. `first`: it is written before it is done. What
    /// was asked for stands there as a digest: that it is no secret is known when it has been done.
    ///
    /// # Errors
    /// Those of the work; `SERVER_OVERLOADED` (AUDIT_UNAVAILABLE), and then nothing was done, or it
    /// was refused.
    pub(super) async fn on_record<T>(
        &self,
        call: &Call,
        what: &str,
        first: bool,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let trail = &self.clerk.trail;
        let params = call.request.params().unwrap_or_default();
        let record = Record {
            arguments: Some(self.clerk.digest(params)),
            ..of(Record::new(Decision::Allowed, what), call)
        };
        if first {
            trail.write(record).await?;
        } else {
            trail.note(record).await?;
        }
        let outcome = work.await;
        if let Err(error) = &outcome {
            let refused = matches!(
                error.kind(),
                Kind::AccessDenied | Kind::AuthenticationFailed | Kind::ResourceNotFound
            );
            let told = of(Record::refused(what, error), call);
            if refused {
                trail.write(told).await?;
            } else {
                let decision = Decision::Failed;
                self.afterwards(Record { decision, ..told });
            }
        }
        outcome
    }

    /// Writes that a tool may not be used, and gives what is told then.
    pub(super) async fn refused(&self, call: &Call, tool: &str, error: Error) -> Error {
        let record = Record::refused(format!("call:tools/weft/{tool}"), &error);
        self.clerk.trail.refuse(of(record, call), error).await
    }

    /// Writes what was done, with what of it is no secret: names that are the mesh's own by now.
    pub(super) fn done(&self, call: &Call, what: &str, told: (Map<String, Value>, &Value)) {
        let (mut about, result) = told;
        about.extend(audit::about(result));
        let record = of(Record::new(Decision::Done, what), call);
        self.afterwards(Record { about, ..record });
    }

    /// Writes what became of something. It has been done, so nothing can be refused any more.
    fn afterwards(&self, record: Record) {
        if let Err(record) = self.clerk.trail.try_note(record) {
            tracing::warn!(
                what = record.what,
                "how something ended is not written down"
            );
        }
    }

    pub(super) async fn audit_open(
        &self,
        by: &Principal,
        arguments: AuditOpen,
    ) -> Result<Outcome, Error> {
        leases::check(&arguments.deliver)?;
        let to = (&by.identity, arguments.deliver.as_str());
        let filters = vec![EVERYBODY.to_owned()];
        let opened: Opened = self
            .readers
            .open(to, store::AUDIT, filters, arguments.from)
            .await?;
        Ok(Outcome::new(&opened))
    }
}
