//! The tools about servers.

use super::{
    Desk, Outcome, is_operator,
    shapes::{ServerFound, ServerGet, ServerPage, WatchOpened},
    tools::nearest,
};
use crate::{
    access::{exchange::Deliver, now_ms},
    call::Principal,
    control::{leases::LEASE, tokens::invalid},
    error::{Error, Kind, case},
    name::ServerName,
};

/// Any of these on anything of a server, and one may know that it is there.
const ACTIONS: [&str; 6] = ["call", "list", "read", "write", "subscribe", "serve"];

impl Desk {
    pub(super) async fn server_watch(
        &self,
        by: &Principal,
        arguments: Deliver,
    ) -> Result<Outcome, Error> {
        self.changes.open(&by.identity, &arguments.deliver).await?;
        Ok(Outcome::new(&WatchOpened {
            lease_seconds: LEASE.as_secs(),
        }))
    }

    pub(super) fn server_list(&self, by: &Principal) -> Outcome {
        let servers = self.registry.servers();
        let mut servers = servers.borrow().entries(now_ms());
        servers.retain(|entry| may_see(by, &entry.server));
        Outcome::new(&ServerPage { servers })
    }

    pub(super) fn server_get(
        &self,
        by: &Principal,
        arguments: &ServerGet,
    ) -> Result<Outcome, Error> {
        let name = ServerName::new(&arguments.server)
            .map_err(|error| invalid(format!("argument `server`: {error}")))?;
        let servers = self.registry.servers();
        let servers = servers.borrow();
        // Not there and not to be seen are the same, so that nobody can find out which.
        let entry = may_see(by, &name)
            .then(|| servers.entry(&name, now_ms()))
            .flatten();
        let Some(entry) = entry else {
            let seen = servers.names().filter(|server| may_see(by, server));
            let hint = nearest(name.as_str(), seen.map(ServerName::as_str))
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            let said = format!("no server `{name}`{hint} (`weft servers` lists them)");
            return Err(Error::new(Kind::ToolNotFound, said).case(case::SERVER_NOT_FOUND));
        };
        Ok(Outcome::new(&ServerFound {
            entry,
            tool_digests: servers.tools(&name, now_ms()),
        }))
    }
}

fn may_see(by: &Principal, server: &ServerName) -> bool {
    let touches = |kind: &str| by.might(&ACTIONS, &format!("{kind}/{server}/"));
    is_operator(by)
        || by.identity == server.identity()
        || ["tools", "prompts", "resources"].into_iter().any(touches)
}
