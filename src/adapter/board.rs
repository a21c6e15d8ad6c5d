//! Where it is posted how a server fares: its status, its changes, what of it was thrown away.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use tokio::sync::{broadcast, watch};

use super::{
    follow::{Follow, TOOLS},
    message::Notification,
    status::{Changed, Dropped, Probe, State, Status, Touched},
};
use crate::{mcp::tools::ToolList, name::ServerName};

/// How much of a log message of a server goes to our own log.
const LOGGED_MAX: usize = 2000;
/// Bytes of a URI that is passed on.
const URI_MAX: usize = 8 * 1024;
/// Touched resources that wait for a slow reader; older ones are lost to it, and it is told so.
pub(super) const TOUCHES: usize = 256;
/// How much of why a list could not be read stands in a status.
const WHY_MAX: usize = 500;

/// The board of one server. Clones post on the same one.
#[derive(Clone, Debug)]
pub(super) struct Board {
    pub(super) server: ServerName,
    pub(super) status: Arc<watch::Sender<Status>>,
    pub(super) changed: broadcast::Sender<Changed>,
    pub(super) touched: broadcast::Sender<Touched>,
}

impl Board {
    /// Tells that something of the server changed.
    pub(super) fn tell(&self, changed: Changed) {
        if self.changed.send(changed).is_err() {
            tracing::trace!(server = %self.server, kind = changed.kind, "nobody follows the changes");
        }
    }

    /// Takes a notification about resources; says whether it was one.
    pub(super) fn touch(&self, said: &Notification) -> bool {
        let touched = match said.method.as_str() {
            "notifications/resources/list_changed" => Touched::List,
            "notifications/resources/updated" => {
                let uri = said.members().text("uri");
                let uri = uri.filter(|uri| (1..=URI_MAX).contains(&uri.len()));
                uri.map_or(Touched::Some, |uri| Touched::One(uri.into()))
            }
            _ => return false,
        };
        if self.touched.send(touched).is_err() {
            tracing::trace!(server = %self.server, "nobody follows the resources");
        }
        true
    }

    /// Counts something thrown away. Nobody is woken for it.
    pub(super) fn count(&self, which: fn(&mut Dropped) -> &mut u64) {
        self.status.send_if_modified(|status| {
            *which(&mut status.dropped) += 1;
            false
        });
    }

    /// It was asked whether it answers: nobody is woken for that as long as it does.
    pub(super) fn probed(&self, took: Option<Duration>) {
        self.status.send_if_modified(|status| {
            let before = status.probe.replace(Probe {
                at: Utc::now(),
                took,
            });
            let answered = |probe: &Probe| probe.took.is_some();
            before.as_ref().is_none_or(answered) != took.is_some()
        });
    }

    /// The server answers no calls.
    pub(super) fn unhealthy(&self, why: String) {
        self.status.send_modify(|status| {
            status.turn(State::Unhealthy);
            status.pid = None;
            status.last_error = Some(why);
        });
    }

    /// The tools are known, or why they are not: either way the server is up.
    pub(super) fn settle(&self, follow: &mut Follow, read: Result<ToolList, String>) {
        let noticed = follow.end_reading();
        let mut differs = false;
        self.status.send_modify(|status| match read {
            Ok(list) => {
                // At its first start nobody knew any other.
                let known = status.is_up() || status.restarts > 0;
                differs = known && !status.tools.is_same(&list);
                if differs || !known {
                    list.warn(&self.server);
                }
                status.tools = Arc::new(list);
                status.turn(State::Healthy);
                status.last_error = None;
            }
            Err(why) => {
                let tools = status.tools.tools.clone();
                status.tools = Arc::new(ToolList {
                    tools,
                    complete: false,
                });
                status.turn(State::Degraded);
                let why: String = why.chars().take(WHY_MAX).collect();
                status.last_error = Some(format!(
                    "its list of tools could not be read: {why}. Calls are passed on unseen"
                ));
            }
        });
        if !self.status.borrow().tools.complete {
            follow.read_later(tokio::time::Instant::now());
        }
        follow.end_waiting();
        if noticed || differs {
            self.tell(TOOLS);
        }
    }

    /// Logs a log message that can't be given to any call.
    pub(super) fn log(&self, said: &Notification) {
        let members = said.members();
        let data = members.get("data").unwrap_or_default().chars();
        let data: String = data.take(LOGGED_MAX).collect();
        let level = members.text("level").unwrap_or_default();
        tracing::debug!(target: "server", server = %self.server, level, "{data}");
    }
}
