//! `access_check`: whether somebody may do something, and why.

use std::sync::Arc;

use super::{
    Desk, Outcome,
    shapes::{AccessCheck, AccessChecked, TokenVerdict},
    tokens::identity,
};
use crate::{
    access::{Claims, now},
    call::{
        Permissions, Principal,
        condition::{Arguments, Facts},
        grant::{Decision, Reason, Rules},
        permission::{Pattern, Permission},
    },
    control::{roles, tokens::invalid},
    error::{Error, Kind},
    mcp::Method,
    name::{Identity, ServerName, subject, token},
};

impl Desk {
    pub(super) fn access_check(
        &self,
        by: &Principal,
        arguments: &AccessCheck,
    ) -> Result<Outcome, Error> {
        let who = match &arguments.who {
            Some(name) => identity("who", name)?,
            None => by.identity.clone(),
        };
        if who != by.identity && !by.may("admin", &["mesh/tokens"]) {
            return Err(Error::new(
                Kind::AccessDenied,
                "`access_check` of somebody else needs the permission `admin:mesh/tokens`",
            ));
        }
        let (action, target) = one_thing(&arguments.permission)?;
        let subject = subject_of(&who, action, target);
        let table = self.tokens.table();
        let table = table.borrow();
        let issuer = self.tokens.anchor().issuer;
        let rules = self.grants.table().borrow().rules().clone();
        let tokens: Vec<TokenVerdict> = table
            .of(&who)
            .filter(|(_, record)| record.check(now()).is_ok())
            .map(|(jti, record)| {
                let claims = record.claims(jti, &issuer);
                let broker = subject.as_deref().map(|subject| {
                    let lists = roles::lists(&claims, &rules);
                    lists.is_ok_and(|lists| lists.may_publish(subject))
                });
                verdict(
                    &claims,
                    &rules,
                    (action, target),
                    subject.clone().zip(broker),
                )
            })
            .collect();
        Ok(Outcome::new(&AccessChecked {
            who: who.to_string(),
            permission: arguments.permission.clone(),
            allowed: tokens.iter().any(|token| token.allowed),
            tokens,
        }))
    }
}

/// The action and the target, both exact.
fn one_thing(text: &str) -> Result<(&str, &str), Error> {
    let failed = |why: String| invalid(format!("argument `permission`: {why}"));
    let read = Permission::parse(text).map_err(|error| failed(error.to_string()))?;
    match (&read.action, &read.target) {
        (Pattern::Exact(_), Pattern::Exact(_)) => text
            .split_once(':')
            .ok_or_else(|| failed("write `action:target`".to_owned())),
        _ => Err(failed(
            "name one thing, without `*`: `call:tools/time/convert_time`".to_owned(),
        )),
    }
}

/// What an adapter would decide by this token, and what the broker does.
fn verdict(
    claims: &Claims,
    rules: &Arc<Rules>,
    (action, target): (&str, &str),
    broker: Option<(String, bool)>,
) -> TokenVerdict {
    let own = Permissions::parse(&claims.permissions).unwrap_or_default();
    let by_token = own.permitting(action, &[target]).map(ToString::to_string);
    let told = serde_json::to_string(claims).expect("claims are JSON");
    let who = Principal {
        claims: told.into(),
        ..Principal::new(claims.sub.clone(), own)
    };
    who.grants.set(Arc::clone(rules));
    let mut parts = target.splitn(3, '/').skip(1);
    let facts = Facts {
        server: parts.next().unwrap_or_default(),
        tool: parts.next().unwrap_or_default(),
        arguments: Arguments::Any,
        now_ms: None,
    };
    let decision = who.decide(action, &[target], facts);
    let (subject, broker_allows) = broker.unzip();
    TokenVerdict {
        jti: claims.jti.to_string(),
        allowed: decision.is_permitted(),
        decided_by: by_token.filter(|_| decision == Decision::Permitted(Reason::Token)),
        reason: decision.to_string(),
        subject,
        broker_allows,
    }
}

/// The subject that doing it is published to, where there is one.
fn subject_of(who: &Identity, action: &str, target: &str) -> Option<String> {
    let (kind, rest) = target.split_once('/')?;
    let call = |method: Method| {
        let (server, name) = rest.split_once('/')?;
        let server = ServerName::new(server).ok()?;
        let name = (!name.is_empty() && method.name_field().is_some()).then_some(name);
        Some(subject::request(who, &server, &method, name))
    };
    match (action, kind) {
        ("call", "tools") => call(Method::TOOLS_CALL),
        ("list", "tools") => call(Method::TOOLS_LIST),
        ("call" | "read", "prompts") => call(Method::PROMPTS_GET),
        ("read", "resources") => call(Method::RESOURCES_READ),
        ("publish", "events") => {
            let (source, kind) = rest.split_once('/')?;
            let plain = kind.split('.').all(|part| token::encode(part) == part);
            (source == who.as_str() && plain).then(|| format!("{}.evt.{who}.{kind}", subject::ROOT))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_a_permission() {
        let al = Identity::new("al").expect("a name");
        for (permission, subject) in [
            (
                "call:tools/gh/a.b",
                Some("weft.v1.req.al.gh.tools.call.a=2Eb"),
            ),
            ("list:tools/gh/x", Some("weft.v1.req.al.gh.tools.list._")),
            ("publish:events/al/task.x", Some("weft.v1.evt.al.task.x")),
            ("publish:events/bob/task.x", None),
            ("admin:mesh/tokens", None),
            ("call:tools/GH/x", None),
        ] {
            let (action, target) = one_thing(permission).expect("one thing");
            assert_eq!(
                subject_of(&al, action, target).as_deref(),
                subject,
                "{permission}"
            );
        }
        for many in [
            "*",
            "call:tools/gh/*",
            "c*:tools/gh/x",
            "fly:tools/a/b",
            "call",
        ] {
            let said = one_thing(many).expect_err(many);
            assert!(said.message().contains("`permission`"), "{said}");
        }
    }
}
