//! The tools about events.

use super::{Desk, Outcome};
use crate::{
    call::Principal,
    control::{leases, tokens::invalid},
    error::Error,
    event::{Open, Opened, domains_of},
};

impl Desk {
    pub(super) async fn event_open(
        &self,
        by: &Principal,
        arguments: Open,
    ) -> Result<Outcome, Error> {
        leases::check(&arguments.deliver)?;
        let stream = &arguments.stream;
        let domains = domains_of(stream, &self.events.declared().domains);
        if domains.is_empty() {
            let shown: String = stream.chars().take(80).collect();
            let said = format!("argument `stream`: `{shown}` keeps no events");
            return Err(invalid(said));
        }
        let action = arguments.action();
        let filters = arguments.wish.filters(&domains, action, by)?;
        if filters.is_empty() {
            let said = format!("argument `types`: none of these is in {stream}");
            return Err(invalid(said));
        }
        let to = (&by.identity, arguments.deliver.as_str());
        let opened: Opened = self
            .readers
            .open(to, stream, filters, arguments.from)
            .await?;
        Ok(Outcome::new(&opened))
    }
}
