//! Subjects and the names in them: one name, one token, and no subject that another name makes too.

use weftbus::{
    mcp::Method,
    name::{
        Identity, ServerName,
        subject::{
            self, Operation, ReplyTo, audit_parts, cancel_caller, dead_letter_parts, event_parts,
            heartbeat_parts, notification_parts, replay_parts,
        },
        token,
    },
};

/// A subject, and the same text as a name that is to stand in one.
pub fn subject(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    of_a_name(text);
    if let Some(operation) = Operation::parse(text) {
        of_an_operation(&operation);
    }
    if let Some(reply) = ReplyTo::parse(text) {
        assert!(text.starts_with("weft.v1.rep."));
        assert!(!reply.identity.is_empty() && !reply.identity.contains('.'));
    }
    let pairs = [
        event_parts(text),
        replay_parts(text),
        dead_letter_parts(text),
        notification_parts(text),
        heartbeat_parts(text),
        audit_parts(text),
    ];
    for (one, other) in pairs.into_iter().flatten() {
        assert!(!one.is_empty() && !other.is_empty(), "{text}");
    }
    if let Some(caller) = cancel_caller(text) {
        assert!(!caller.contains('.'));
    }
}

fn of_a_name(name: &str) {
    let written = token::encode(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-=".contains(&byte);
    assert!(written.bytes().all(plain), "{written}");
    assert_ne!(written, token::NONE);
    if name.is_empty() {
        return;
    }
    assert!(token::stands_for(&written, name));
    if !token::is_digest(&written) {
        assert_eq!(token::decode(&written).as_deref(), Some(name));
    }
    if let Some(back) = token::decode(name) {
        assert_eq!(token::encode(&back), name, "two tokens of one name");
    }
}

/// What can be read of a subject and is made of names makes this very subject.
fn of_an_operation(operation: &Operation<'_>) {
    let Ok(caller) = Identity::new(operation.caller) else {
        return;
    };
    let Ok(server) = ServerName::new(operation.server) else {
        return;
    };
    let Ok(method) = Method::new(&operation.method.replace('.', "/")) else {
        return;
    };
    let name = token::decode(operation.name);
    if operation.is(&method, name.as_deref()) && operation.instance.is_none() {
        let made = subject::request(&caller, &server, &method, name.as_deref());
        assert_eq!(Operation::parse(&made).as_ref(), Some(operation));
    }
}
