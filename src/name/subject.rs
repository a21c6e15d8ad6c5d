//! Every subject of the wire: one function builds it, one reads it.

use super::{CallId, Connection, Identity, Instance, ServerName, token};
use crate::mcp::Method;

/// The root of all subjects, with the major version of the wire.
pub const ROOT: &str = "weft.v1";
/// The queue group of a server's instances, everywhere the same.
pub const QUEUE: &str = "weft";
/// Nobody subscribes below it: a request there must say "no responders".
pub const PROBE: &str = "weft.v1.prb";
/// Below it stand the answers to `$SRV` requests.
pub const SRV_REPLY: &str = "weft.v1.srv";

/// A subject of more bytes than this is refused: the broker's control line ends at 4 KiB.
pub const BYTES_MAX: usize = 1024;

/// `weft.v1.req.{caller}.{server}.{method…}.{name|_}`: a call, to any instance of a server.
#[must_use]
pub fn request(
    caller: &Identity,
    server: &ServerName,
    method: &Method,
    name: Option<&str>,
) -> String {
    let mut subject = String::with_capacity(96);
    subject.extend(["weft.v1.req.", caller.as_str(), ".", server.as_str()]);
    push_operation(&mut subject, method, name);
    subject
}

/// `weft.v1.ins.{caller}.{server}.{instance}.{method…}.{name|_}`: a message to one instance.
#[must_use]
pub fn instance(
    caller: &Identity,
    server: &ServerName,
    instance: &str,
    method: &Method,
    name: Option<&str>,
) -> String {
    let mut subject = String::with_capacity(112);
    subject.extend(["weft.v1.ins.", caller.as_str(), ".", server.as_str()]);
    subject.extend([".", instance]);
    push_operation(&mut subject, method, name);
    subject
}

fn push_operation(subject: &mut String, method: &Method, name: Option<&str>) {
    for part in method.as_str().split('/') {
        subject.extend([".", part]);
    }
    subject.push('.');
    subject.push_str(&name.map_or(token::NONE.into(), |name| name_token(method, name)));
}

/// The last token of a call's subject: a URI always as its digest.
fn name_token<'a>(method: &Method, name: &'a str) -> std::borrow::Cow<'a, str> {
    if method.names_a_uri() {
        token::digest(name).into()
    } else {
        token::encode(name)
    }
}

/// `weft.v1.ctl.{caller}.{server}.cancel`: ends a call of that caller; the body is the call id.
#[must_use]
pub fn cancel(caller: &Identity, server: &ServerName) -> String {
    format!("weft.v1.ctl.{caller}.{server}.cancel")
}

/// `weft.v1.rep.{identity}.{connection}.{server}.{call}`: where one call is answered.
#[must_use]
pub fn reply(
    identity: &Identity,
    connection: &Connection,
    server: &ServerName,
    call: CallId,
) -> String {
    let mut subject = String::with_capacity(112);
    subject.extend(["weft.v1.rep.", identity.as_str(), ".", connection.as_str()]);
    subject.extend([".", server.as_str(), "."]);
    call.push_to(&mut subject);
    subject
}

/// `weft.v1.rep.{identity}.{connection}.>`: all answers to one connection.
#[must_use]
pub fn replies(identity: &Identity, connection: &Connection) -> String {
    format!("weft.v1.rep.{identity}.{connection}.>")
}

/// `weft.v1.inb.{identity}.{connection}`: the client library's own inbox.
#[must_use]
pub fn inbox(identity: &Identity, connection: &Connection) -> String {
    format!("weft.v1.inb.{identity}.{connection}")
}

/// `weft.v1.dlv.{identity}.{n}`: what the control plane delivers to a reader.
#[must_use]
pub fn delivery(identity: &Identity, n: &str) -> String {
    format!("weft.v1.dlv.{identity}.{n}")
}

/// `weft.v1.evt.{source}.{type…}`: an event.
#[must_use]
pub fn event(source: &Identity, kind: &str) -> String {
    let mut subject = String::with_capacity(96);
    subject.extend(["weft.v1.evt.", source.as_str(), ".", kind]);
    subject
}

/// The source and the type in `weft.v1.evt.{source}.{type…}`.
#[must_use]
pub fn event_parts(subject: &str) -> Option<(&str, &str)> {
    let (source, kind) = subject.strip_prefix("weft.v1.evt.")?.split_once('.')?;
    (!source.is_empty() && !kind.is_empty()).then_some((source, kind))
}

/// `weft.v1.rpl.{consumer}.{source}.{type…}`: an event that is delivered once more, to one durable.
#[must_use]
pub fn replay(consumer: &str, source: &str, kind: &str) -> String {
    format!("weft.v1.rpl.{consumer}.{source}.{kind}")
}

/// The source and the type in `weft.v1.rpl.{consumer}.{source}.{type…}`.
#[must_use]
pub fn replay_parts(subject: &str) -> Option<(&str, &str)> {
    let (consumer, rest) = subject.strip_prefix("weft.v1.rpl.")?.split_once('.')?;
    let (source, kind) = rest.split_once('.')?;
    (!consumer.is_empty() && !source.is_empty() && !kind.is_empty()).then_some((source, kind))
}

/// `weft.v1.dlq.{stream}.{consumer}`: an event that a durable gave up.
#[must_use]
pub fn dead_letter(stream: &str, consumer: &str) -> String {
    format!("weft.v1.dlq.{stream}.{consumer}")
}

/// The stream and the consumer in `weft.v1.dlq.{stream}.{consumer}`.
#[must_use]
pub fn dead_letter_parts(subject: &str) -> Option<(&str, &str)> {
    let (stream, consumer) = subject.strip_prefix("weft.v1.dlq.")?.split_once('.')?;
    let full = !stream.is_empty() && !consumer.is_empty() && !consumer.contains('.');
    full.then_some((stream, consumer))
}

/// `weft.v1.ntf.{server}.{kind…}`: something about a server changed; no content.
#[must_use]
pub fn notification(server: &ServerName, kind: &str) -> String {
    format!("weft.v1.ntf.{server}.{}", kind.replace('/', "."))
}

/// `weft.v1.hb.{server}.{instance}`: an instance says that it lives.
#[must_use]
pub fn heartbeat(server: &ServerName, instance: &Instance) -> String {
    format!("weft.v1.hb.{server}.{instance}")
}

/// `weft.v1.aud.{server}.{instance}`: what an instance decided.
#[must_use]
pub fn audit(server: &Identity, instance: &Instance) -> String {
    format!("weft.v1.aud.{server}.{instance}")
}

/// `weft.v1.prb.{identity}`: a request that nobody may answer.
#[must_use]
pub fn probe(identity: &Identity) -> String {
    format!("{PROBE}.{identity}")
}

/// What a call's subject says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<'a> {
    /// Who calls, as the broker let it pass.
    pub caller: &'a str,
    /// Which server is called.
    pub server: &'a str,
    /// The instance, where the call is for one alone.
    pub instance: Option<&'a str>,
    /// The method's tokens, `.` between them.
    pub method: &'a str,
    /// The token of the name, `_` for none.
    pub name: &'a str,
}

impl<'a> Operation<'a> {
    /// Reads `weft.v1.req.…` and `weft.v1.ins.…`.
    #[must_use]
    pub fn parse(subject: &'a str) -> Option<Self> {
        let rest = subject.strip_prefix("weft.v1.")?;
        let (kind, rest) = cut(rest)?;
        let (caller, rest) = cut(rest)?;
        let (server, rest) = cut(rest)?;
        let (instance, rest) = match kind {
            "req" => (None, rest),
            "ins" => cut(rest).map(|(i, rest)| (Some(i), rest))?,
            _ => return None,
        };
        let (method, name) = rest.rsplit_once('.')?;
        let full = |part: &str| !part.is_empty();
        (full(caller) && full(server) && full(method) && full(name)).then_some(Self {
            caller,
            server,
            instance,
            method,
            name,
        })
    }

    /// Whether the subject is the one of this method and name.
    #[must_use]
    pub fn is(&self, method: &Method, name: Option<&str>) -> bool {
        let spelt = method.as_str().bytes();
        let same_method = self
            .method
            .bytes()
            .eq(spelt.map(|b| if b == b'/' { b'.' } else { b }));
        let same_name = match name {
            Some(name) => self.name == name_token(method, name),
            None => self.name == token::NONE,
        };
        same_method && same_name
    }
}

/// What a reply subject says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo<'a> {
    /// Whose connection is answered.
    pub identity: &'a str,
    /// The server that may answer there.
    pub server: &'a str,
    /// The call.
    pub call: CallId,
}

impl<'a> ReplyTo<'a> {
    /// Reads `weft.v1.rep.{identity}.{connection}.{server}.{call}`.
    #[must_use]
    pub fn parse(subject: &'a str) -> Option<Self> {
        let (identity, rest) = cut(subject.strip_prefix("weft.v1.rep.")?)?;
        let (connection, rest) = cut(rest)?;
        let (server, call) = cut(rest)?;
        // No `.` is in an id, so nothing stands behind it.
        let call = CallId::parse(call)?;
        let full = !identity.is_empty() && !connection.is_empty();
        full.then_some(Self {
            identity,
            server,
            call,
        })
    }
}

/// The text before the first `.`, and behind it: tokens are short, so byte by byte.
fn cut(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == b'.')?;
    Some((&text[..at], &text[at + 1..]))
}

/// Every notification of every server: for who may hear all of them.
pub const NOTIFICATIONS: &str = "weft.v1.ntf.>";

/// Server and kind of a notification's subject: `tools.list_changed`.
#[must_use]
pub fn notification_parts(subject: &str) -> Option<(&str, &str)> {
    let (server, kind) = subject.strip_prefix("weft.v1.ntf.")?.split_once('.')?;
    (!server.is_empty() && !kind.is_empty()).then_some((server, kind))
}

/// The caller in `weft.v1.ctl.{caller}.{server}.cancel`.
#[must_use]
pub fn cancel_caller(subject: &str) -> Option<&str> {
    let rest = subject.strip_prefix("weft.v1.ctl.")?;
    let (caller, rest) = rest.split_once('.')?;
    let (_, verb) = rest.split_once('.')?;
    (verb == "cancel").then_some(caller)
}

/// The server and the instance in `weft.v1.hb.{server}.{instance}`.
#[must_use]
pub fn heartbeat_parts(subject: &str) -> Option<(&str, &str)> {
    two(subject.strip_prefix("weft.v1.hb.")?)
}

/// The server and the instance in `weft.v1.aud.{server}.{instance}`.
#[must_use]
pub fn audit_parts(subject: &str) -> Option<(&str, &str)> {
    two(subject.strip_prefix("weft.v1.aud.")?)
}

fn two(rest: &str) -> Option<(&str, &str)> {
    let (first, second) = rest.split_once('.')?;
    (!first.is_empty() && !second.is_empty() && !second.contains('.')).then_some((first, second))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn who() -> (Identity, ServerName) {
        (
            Identity::new("alice").expect("a name"),
            ServerName::new("gh").expect("a name"),
        )
    }

    #[test]
    fn the_subjects_of_the_document() {
        let (alice, gh) = who();
        let call = Method::TOOLS_CALL;
        assert_eq!(
            request(&alice, &gh, &call, Some("list_issues")),
            "weft.v1.req.alice.gh.tools.call.list_issues"
        );
        assert_eq!(
            request(&alice, &gh, &Method::TOOLS_LIST, None),
            "weft.v1.req.alice.gh.tools.list._"
        );
        assert_eq!(
            instance(&alice, &gh, "i1", &call, Some("a.b")),
            "weft.v1.ins.alice.gh.i1.tools.call.a=2Eb"
        );
        assert!(
            request(&alice, &gh, &Method::RESOURCES_READ, Some("x:y"))
                .starts_with("weft.v1.req.alice.gh.resources.read.=h")
        );
        assert_eq!(cancel_caller(&cancel(&alice, &gh)), Some("alice"));
    }

    proptest! {
        #[test]
        fn what_was_built_is_read(name in proptest::option::of("\\PC{1,40}"), at in any::<bool>()) {
            let (alice, gh) = who();
            let method = Method::TOOLS_CALL;
            let subject = if at {
                instance(&alice, &gh, "i1", &method, name.as_deref())
            } else {
                request(&alice, &gh, &method, name.as_deref())
            };
            let read = Operation::parse(&subject).expect("own subject");
            prop_assert_eq!(read.caller, "alice");
            prop_assert_eq!(read.server, "gh");
            prop_assert_eq!(read.instance, at.then_some("i1"));
            prop_assert!(read.is(&method, name.as_deref()));
            prop_assert!(!read.is(&Method::TOOLS_LIST, name.as_deref()));
        }
    }

    #[test]
    fn a_server_named_like_a_prefix_of_a_tool_is_another_subject() {
        let (alice, _) = who();
        let call = Method::TOOLS_CALL;
        let a = ServerName::new("a").expect("a name");
        let tool = request(&alice, &a, &call, Some("b.c"));
        assert_eq!(tool, "weft.v1.req.alice.a.tools.call.b=2Ec");
    }

    #[test]
    fn what_lacks_a_part_is_no_delivery_and_no_dead_letter() {
        for (subject, read) in [
            ("weft.v1.rpl.c1.alice.task.done", true),
            ("weft.v1.rpl..alice.task.done", false),
            ("weft.v1.rpl.c1..task.done", false),
            ("weft.v1.rpl.c1.alice.", false),
        ] {
            assert_eq!(replay_parts(subject).is_some(), read, "{subject}");
        }
        for (subject, read) in [
            ("weft.v1.dlq.WEFT_TASKS.c1", true),
            ("weft.v1.dlq..c1", false),
            ("weft.v1.dlq.WEFT_TASKS.", false),
            ("weft.v1.dlq.WEFT_TASKS.c1.more", false),
        ] {
            assert_eq!(dead_letter_parts(subject).is_some(), read, "{subject}");
        }
    }

    #[test]
    fn replies_are_read() {
        let (alice, gh) = who();
        let id = CallId::now();
        let to = reply(&alice, &Connection::random(), &gh, id);
        let read = ReplyTo::parse(&to).expect("own subject");
        assert_eq!((read.identity, read.server, read.call), ("alice", "gh", id));
        for bad in [
            "weft.v1.rep.alice.c.gh",
            "weft.v1.rep.alice.c.gh.1",
            "$JS.API.STREAM.DELETE.X",
            "weft.v1.inb.alice.c.1",
        ] {
            assert_eq!(ReplyTo::parse(bad), None, "{bad}");
        }
        assert_eq!(ReplyTo::parse(&format!("{to}.x")), None);
    }
}
