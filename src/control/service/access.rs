//! `access_check`: whether somebody may do something, and why.

use super::{
    Desk, Outcome,
    shapes::{AccessCheck, AccessChecked, TokenVerdict},
    tokens::identity,
};
use crate::{
    access::now,
    call::{Permissions, Principal, permission::Pattern, permission::Permission},
    control::{
        roles,
        tokens::{Record, invalid},
    },
    error::{Error, Kind},
    mcp::Method,
    name::{Identity, ServerName, subject, token},
};
use uuid::Uuid;

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
        if who != by.identity
            && by
                .permissions
                .permitting("admin", &["mesh/tokens"])
                .is_none()
        {
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
        let tokens: Vec<TokenVerdict> = table
            .of(&who)
            .filter(|(_, record)| record.check(now()).is_ok())
            .map(|(jti, record)| {
                let broker = subject
                    .as_deref()
                    .map(|subject| broker_allows(jti, record, &issuer, subject));
                verdict(jti, record, (action, target), subject.clone().zip(broker))
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

fn verdict(
    jti: Uuid,
    record: &Record,
    (action, target): (&str, &str),
    broker: Option<(String, bool)>,
) -> TokenVerdict {
    let decided_by = Permissions::parse(&record.permissions)
        .ok()
        .and_then(|may| may.permitting(action, &[target]).map(ToString::to_string));
    let (subject, broker_allows) = broker.unzip();
    TokenVerdict {
        jti: jti.to_string(),
        allowed: decided_by.is_some(),
        decided_by,
        subject,
        broker_allows,
    }
}

fn broker_allows(jti: Uuid, record: &Record, issuer: &str, subject: &str) -> bool {
    roles::lists(&record.claims(jti, issuer)).is_ok_and(|lists| lists.may_publish(subject))
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
