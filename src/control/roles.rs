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
    call::{Permissions, permission::PermissionError},
    name::{Identity, ServerName, id, subject},
};

/// More lines than this are widened to wildcards.
pub const LINES_MAX: usize = 1000;

/// The subject lists of one user of the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// What he may publish to.
    pub publish: BTreeSet<String>,
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

/// The lists of this token.
///
/// # Errors
/// [`Refusal`] says why there are none.
pub fn lists(claims: &Claims) -> Result<Lists, Refusal> {
    let permissions = Permissions::parse(&claims.permissions)?;
    check(&claims.sub, claims.role, &permissions)?;
    let me = claims.sub.as_str();
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
        caller::add(&mut lists, me, &permissions);
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
        self.publish.len() + self.subscribe.len()
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
                "weft.v1.dlq.WEFT_WORK.{me}",
                "weft.v1.js.CONSUMER.MSG.NEXT.WEFT_WORK.{me}",
                "weft.v1.js.CONSUMER.INFO.WEFT_WORK.{me}",
                "$JS.ACK.WEFT_WORK.{me}.>",
                "weft.v1.js.DIRECT.GET.KV_WEFT_TASK.$KV.WEFT_TASK.{me}.*",
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

    /// Whether the broker lets this subject be published to.
    #[must_use]
    pub fn may_publish(&self, subject: &str) -> bool {
        self.publish.iter().any(|line| covers(line, subject))
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::claims::Term;

    fn claims(sub: &str, role: Role, permissions: &[&str]) -> Claims {
        let sub = Identity::new(sub).expect("a name");
        let permissions = Permissions::parse(permissions).expect("permissions");
        let term = Term { from: 0, until: 60 };
        Claims::connect(&sub, &permissions, role, "mesh", term)
    }

    fn of(sub: &str, role: Role, permissions: &[&str]) -> Lists {
        lists(&claims(sub, role, permissions)).expect("lists")
    }

    /// `a.{x,y}.b` as two subjects, and a list as a set.
    fn set(text: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for word in text.split("  ").map(str::trim).filter(|w| !w.is_empty()) {
            match word.split_once('{') {
                None => {
                    all.insert(word.to_owned());
                }
                Some((before, rest)) => {
                    let (choices, after) = rest.split_once('}').expect("closed");
                    let spelt = |choice| format!("{before}{choice}{after}");
                    all.extend(choices.split(',').map(spelt));
                }
            }
        }
        all
    }

    #[test]
    fn the_tool_server_of_the_document() {
        let gh = of("gh", Role::Server, &["serve:tools/gh/*"]);
        let publish = set("weft.v1.rep.*.*.gh.*  weft.v1.ntf.gh.>  weft.v1.evt.gh.>  \
            weft.v1.aud.gh.*  weft.v1.trc.gh  weft.v1.hb.gh.*  weft.v1.req.gh.weft.>  \
            $KV.WEFT_TASK.gh.*  weft.v1.dlq.WEFT_WORK.gh  \
            weft.v1.js.CONSUMER.{MSG.NEXT,INFO}.WEFT_WORK.gh  $JS.ACK.WEFT_WORK.gh.>  \
            weft.v1.js.DIRECT.GET.KV_WEFT_TASK.$KV.WEFT_TASK.gh.*  weft.v1.srv.>  \
            weft.v1.prb.gh  $JS.FC.>");
        let subscribe = set("weft.v1.req.*.gh.> weft  weft.v1.ins.*.gh.>  \
            weft.v1.ctl.*.gh.cancel  weft.v1.rep.gh.>  weft.v1.inb.gh.>  weft.v1.dlv.gh.>  \
            $SRV.{PING,INFO,STATS}  $SRV.{PING,INFO,STATS}.gh  $SRV.{PING,INFO,STATS}.gh.*");
        assert_eq!(gh.publish, publish);
        assert_eq!(gh.subscribe, subscribe);
    }

    #[test]
    fn the_agent_of_the_document() {
        let alice = of(
            "alice",
            Role::Caller,
            &["call:tools/gh/list_issues", "publish:events/alice/task.*"],
        );
        let publish = set("weft.v1.req.alice.gh.tools.call.list_issues  \
            weft.v1.ins.alice.gh.*.tools.call.list_issues  \
            weft.v1.req.alice.gh.{server.discover,tools.list}._  weft.v1.ctl.alice.gh.cancel  \
            weft.v1.wrk.alice.gh.list_issues  weft.v1.req.alice.weft.>  \
            weft.v1.evt.alice.task.>  weft.v1.trc.alice  weft.v1.prb.alice  $JS.FC.>");
        let subscribe = set(
            "weft.v1.rep.alice.>  weft.v1.inb.alice.>  weft.v1.dlv.alice.>  \
            weft.v1.ntf.gh.>",
        );
        assert_eq!(alice.publish, publish);
        assert_eq!(alice.subscribe, subscribe);
    }

    #[test]
    fn the_gateway_and_the_operator_of_the_document() {
        let gateway = of("gateway", Role::Gateway, &[]);
        let publish = set(
            "weft.v1.req.>  weft.v1.ins.>  weft.v1.ctl.>  weft.v1.wrk.>  \
            weft.v1.evt.>  weft.v1.aud.gateway.*  weft.v1.trc.gateway  weft.v1.hb.gateway.*  \
            weft.v1.prb.gateway  weft.v1.req.gateway.weft.>  $JS.FC.>",
        );
        assert_eq!(gateway.publish, publish);
        assert_eq!(
            gateway.subscribe,
            set("weft.v1.{rep,inb,dlv}.gateway.>  weft.v1.ntf.>")
        );
        let ops = of("ops", Role::Operator, &["admin:mesh/tokens"]);
        assert_eq!(
            ops.publish,
            set("weft.v1.req.ops.weft.>  $SRV.>  weft.v1.trc.ops  weft.v1.prb.ops  $JS.FC.>")
        );
        assert_eq!(
            ops.subscribe,
            set("weft.v1.{rep,inb,dlv}.ops.>  weft.v1.srv.>  weft.v1.ntf.>")
        );
        let root = of("root", Role::Operator, &["*"]);
        assert!(root.may_publish("weft.v1.req.root.gh.tools.call.x"));
        assert!(!root.may_publish("weft.v1.req.ops.gh.tools.call.x"));
    }

    #[test]
    fn who_gets_no_lists() {
        for (sub, role, permissions, ok) in [
            ("weft", Role::Operator, &["*"][..], false),
            ("gateway", Role::Caller, &[], false),
            ("gateway", Role::Gateway, &[], true),
            ("edge", Role::Gateway, &["*"], false),
            ("gh", Role::Server, &["serve:tools/jira/*"], false),
            ("gh", Role::Server, &["serve:tools/gh/x"], false),
            ("gh", Role::Server, &["call:tools/gh/*"], false),
            ("gh", Role::Server, &["serve:tools/gh/*"], true),
            ("Alice", Role::Server, &["*"], false),
            ("Alice", Role::Caller, &["*"], true),
        ] {
            let given = lists(&claims(sub, role, permissions));
            assert_eq!(given.is_ok(), ok, "{sub} {role} {permissions:?}");
        }
    }

    #[test]
    fn wildcards_cover_what_the_broker_lets_them_cover() {
        for (pattern, subject, yes) in [
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.b.d", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.b", "a.b.c", false),
            ("a.b.c", "a.b", false),
        ] {
            assert_eq!(covers(pattern, subject), yes, "{pattern} {subject}");
        }
    }

    proptest! {
        /// Whatever a token says: nobody speaks under another's name, or reads another's durable.
        #[test]
        fn everyone_stays_himself(
            role in proptest::sample::select(&[Role::Caller, Role::Server, Role::Operator][..]),
            actions in proptest::collection::vec("call|list|read|publish|subscribe|replay|admin|\\*|c\\*", 1..6),
            targets in proptest::collection::vec(
                "\\*|tools/\\*|t\\*|tools/[a-c]{1,2}(/[a-c*.>$]{1,3})?\\*?|prompts/b/\\PC{1,4}|resources/[ab]/x:.\\*?|events/(me|bob|m\\*|\\*)(/[a-z.*>]{1,5})?\\*?|mesh/tokens", 6),
        ) {
            let permissions: Vec<String> = actions.iter().zip(&targets)
                .map(|(action, target)| format!("{action}:{target}"))
                .filter(|text| Permissions::parse(&[text]).is_ok())
                .chain(["serve:tools/me/*".to_owned()])
                .collect();
            let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
            let lists = of("me", role, &permissions);
            for line in &lists.publish {
                let tokens: Vec<&str> = line.split('.').collect();
                prop_assert!(tokens.iter().all(|t| !t.is_empty() && !t.contains(' ')), "{}", line);
                prop_assert!(!tokens[..tokens.len() - 1].contains(&">"), "{}", line);
                match tokens[..] {
                    ["weft", "v1", "rep", ..] => prop_assert_eq!(tokens[5], "me", "{}", line),
                    ["weft", "v1", "js", ..] => prop_assert!(line.contains(".WEFT_WORK.me") || line.contains("$KV.WEFT_TASK.me."), "{}", line),
                    ["weft", "v1", "dlq", ..] => prop_assert_eq!(tokens[4], "me", "{}", line),
                    ["weft", "v1", "srv", ..] => {}
                    ["weft", "v1", "req" | "ins" | "ctl" | "wrk" | "evt" | "aud" | "trc" | "hb" | "ntf" | "prb", ..] =>
                        prop_assert_eq!(tokens[3], "me", "{}", line),
                    ["$KV", "WEFT_TASK", who, ..] => prop_assert_eq!(who, "me"),
                    ["$JS", "FC", ..] => {}
                    ["$JS", "ACK", ..] => prop_assert_eq!(tokens[3], "me"),
                    _ => prop_assert_eq!(line.as_str(), "$SRV.>"),
                }
            }
            for line in &lists.subscribe {
                let tokens: Vec<&str> = line.split(['.', ' ']).collect();
                match tokens[..] {
                    ["weft", "v1", "rep" | "inb" | "dlv", ..] => prop_assert_eq!(tokens[3], "me", "{}", line),
                    ["weft", "v1", "req", ..] => prop_assert_eq!(line.as_str(), "weft.v1.req.*.me.> weft"),
                    ["weft", "v1", "ins" | "ctl", ..] => prop_assert_eq!(tokens[4], "me", "{}", line),
                    ["weft", "v1", "ntf" | "srv", ..] => {}
                    _ => prop_assert!(line.starts_with("$SRV."), "{}", line),
                }
            }
        }
    }
}
