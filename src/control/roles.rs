//! What an identity may publish and subscribe to on the broker: the narrowest subject lists that
//! cover its token. Pure functions of the claims; adapters decide exactly, on every message.
//!
//! Two rules hold for every list: `{caller}` and `{self}` are the identity's own (but for the
//! gateway, which calls in the name of its clients), and a consumer is always named exactly,
//! because a wildcard there hands out every other identity's durable.

mod caller;

use std::collections::BTreeSet;

use crate::{
    access::{Claims, Role},
    call::{Permissions, grant::Rules, permission::PermissionError},
    name::{Identity, ServerName, id, store, subject},
};

/// More lines than this are widened to wildcards.
pub const LINES_MAX: usize = 1000;

/// The subject lists of one user of the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// What he may publish to.
    pub publish: BTreeSet<String>,
    /// What he may not publish to of that: what is denied at run time, as far as subjects say it.
    pub denied: BTreeSet<String>,
    /// What he may subscribe to; behind a space the queue group where it must be in one.
    pub subscribe: BTreeSet<String>,
    /// Whether exact names became wildcards, because there were too many of them.
    pub widened: bool,
}

/// Why a token gets no lists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A name that belongs to Weft itself.
    #[error("`{0}` is a name of Weft itself")]
    Reserved(String),
    /// Only the gateway is a gateway.
    #[error("only the identity `gateway` has the role gateway; this is `{0}`")]
    NoGateway(String),
    /// A server whose name none can have.
    #[error("`{0}` is no server name: 1 to 63 of a-z, 0-9 and -")]
    NoServer(String),
    /// Somebody who is denied what he needs to be there.
    #[error("the grant {1} denies `{0}` to serve")]
    Denied(String, uuid::Uuid),
    /// A server that may not serve.
    #[error("a server `{0}` needs the permission `serve:tools/{0}/*`")]
    MayNotServe(String),
    /// Permissions that can't be read.
    #[error(transparent)]
    Permission(#[from] PermissionError),
}

/// Checks that an identity may have a role with these permissions.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn check(sub: &Identity, role: Role, permissions: &Permissions) -> Result<(), Refusal> {
    let name = || sub.as_str().to_owned();
    match (sub.as_str(), role) {
        (id::WEFT, _) => return Err(Refusal::Reserved(name())),
        (id::GATEWAY, Role::Gateway) => return Ok(()),
        (id::GATEWAY, _) => return Err(Refusal::Reserved(name())),
        (_, Role::Gateway) => return Err(Refusal::NoGateway(name())),
        _ => {}
    }
    if role == Role::Server {
        ServerName::new(sub.as_str()).map_err(|_| Refusal::NoServer(name()))?;
        permissions
            .permitting("serve", &["tools/", sub.as_str(), "/*"])
            .ok_or_else(|| Refusal::MayNotServe(name()))?;
    }
    Ok(())
}

/// The lists of this token, with what is granted and denied beside it.
///
/// # Errors
/// [`Refusal`] says why there are none.
pub fn lists(claims: &Claims, rules: &Rules) -> Result<Lists, Refusal> {
    let permissions = Permissions::parse(&claims.permissions)?;
    check(&claims.sub, claims.role, &permissions)?;
    let me = claims.sub.as_str();
    if claims.role == Role::Server {
        let all = format!("tools/{me}/");
        let denial = rules
            .taken(me)
            .find(|rule| rule.permission.covers("serve", &all));
        if let Some(rule) = denial {
            return Err(Refusal::Denied(me.to_owned(), rule.id));
        }
    }
    let mut lists = Lists::default();
    lists.everybody(me);
    match claims.role {
        Role::Caller => {}
        Role::Server => lists.server(me),
        Role::Gateway => lists.gateway(me),
        Role::Operator => lists.operator(),
    }
    // The gateway's own lines cover whatever a caller may do.
    if claims.role != Role::Gateway {
        let given = rules.given(me).map(|rule| rule.permission.clone());
        let all = permissions.iter().cloned().chain(given).collect();
        caller::add(&mut lists, me, &all);
        caller::take(&mut lists, me, rules);
    }
    Ok(lists)
}

impl Lists {
    fn publish<const N: usize>(&mut self, me: &str, lines: [&str; N]) {
        let lines = lines.iter().map(|line| line.replace("{me}", me));
        self.publish.extend(lines);
    }

    fn subscribe<const N: usize>(&mut self, me: &str, lines: [&str; N]) {
        let lines = lines.iter().map(|line| line.replace("{me}", me));
        self.subscribe.extend(lines);
    }

    /// How many lines both have together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.publish.len() + self.denied.len() + self.subscribe.len()
    }

    /// Whether both are empty: nobody's are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What everyone has: the control plane, answers, deliveries, his spans, his probe.
    fn everybody(&mut self, me: &str) {
        self.publish(
            me,
            [
                "weft.v1.req.{me}.weft.>",
                "weft.v1.trc.{me}",
                "weft.v1.prb.{me}",
                // A reader of events says that it goes on. Who says so for another lets the
                // broker send him a little sooner, and no more.
                "$JS.FC.>",
            ],
        );
        self.subscribe(
            me,
            [
                "weft.v1.rep.{me}.>",
                "weft.v1.inb.{me}.>",
                "weft.v1.dlv.{me}.>",
            ],
        );
    }

    fn server(&mut self, me: &str) {
        self.publish(
            me,
            [
                "weft.v1.rep.*.*.{me}.*",
                "weft.v1.ntf.{me}.>",
                "weft.v1.evt.{me}.>",
                "weft.v1.aud.{me}.*",
                "weft.v1.hb.{me}.*",
                "$KV.WEFT_TASK.{me}.*",
                "$KV.WEFT_ONCE.{me}.*",
                "weft.v1.dlq.WEFT_WORK.{me}",
                "weft.v1.js.CONSUMER.MSG.NEXT.WEFT_WORK.{me}",
                "weft.v1.js.CONSUMER.INFO.WEFT_WORK.{me}",
                "$JS.ACK.WEFT_WORK.{me}.>",
                "weft.v1.js.DIRECT.GET.KV_WEFT_TASK.$KV.WEFT_TASK.{me}.*",
                "weft.v1.js.DIRECT.GET.KV_WEFT_ONCE.$KV.WEFT_ONCE.{me}.*",
                "weft.v1.srv.>",
            ],
        );
        self.subscribe(
            me,
            [
                "weft.v1.req.*.{me}.> weft",
                "weft.v1.ins.*.{me}.>",
                "weft.v1.ctl.*.{me}.cancel",
            ],
        );
        for verb in ["PING", "INFO", "STATS"] {
            self.subscribe.extend([
                format!("$SRV.{verb}"),
                format!("$SRV.{verb}.{me}"),
                format!("$SRV.{verb}.{me}.*"),
            ]);
        }
    }

    fn gateway(&mut self, me: &str) {
        self.publish(
            me,
            [
                "weft.v1.req.>",
                "weft.v1.ins.>",
                "weft.v1.ctl.>",
                "weft.v1.wrk.>",
                "weft.v1.evt.>",
                "weft.v1.aud.{me}.*",
                "weft.v1.hb.{me}.*",
            ],
        );
        self.subscribe(me, ["weft.v1.ntf.>"]);
    }

    fn operator(&mut self) {
        self.publish("", ["$SRV.>"]);
        self.subscribe("", ["weft.v1.srv.>", "weft.v1.ntf.>"]);
        debug_assert!(
            self.subscribe
                .contains(&format!("{}.>", subject::SRV_REPLY))
        );
    }

    /// What goes with a durable: to pull from it, to answer, and to give an event up.
    pub(super) fn durables(&mut self, all: Vec<(String, String)>) {
        for (stream, consumer) in all {
            if self.len() >= LINES_MAX {
                tracing::warn!(
                    consumer,
                    "so many lines that the broker does not get a durable's"
                );
                return;
            }
            self.publish.extend([
                format!(
                    "{}.CONSUMER.MSG.NEXT.{stream}.{consumer}",
                    store::API_PREFIX
                ),
                format!("{}.CONSUMER.INFO.{stream}.{consumer}", store::API_PREFIX),
                format!("$JS.ACK.{stream}.{consumer}.>"),
                // A replay that is given up names the stream that it was on first.
                subject::dead_letter(&stream, &consumer),
            ]);
        }
    }

    /// Whether the broker lets this subject be published to.
    #[must_use]
    pub fn may_publish(&self, subject: &str) -> bool {
        let among = |lines: &BTreeSet<String>| lines.iter().any(|line| covers(line, subject));
        among(&self.publish) && !among(&self.denied)
    }

    /// Whether somebody with these lists may do something that one with `later` may not.
    #[must_use]
    pub fn exceeds(&self, later: &Self) -> bool {
        !self.publish.is_subset(&later.publish)
            || !self.subscribe.is_subset(&later.subscribe)
            || !later.denied.is_subset(&self.denied)
    }
}

/// Whether a subject with wildcards covers one without.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

#[cfg(test)]
mod tests;
