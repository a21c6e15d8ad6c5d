//! The examples of the document: names, subjects, headers, frames, messages, errors, limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use weftbus::{
    access::{Lifetimes, keys, proof, snapshot, trust, verify},
    bus::{Bounds, Limits},
    call::{Permission, Permissions, context::Correlation, notify},
    error::{Error, Kind},
    event::{Event, EventKey},
    mcp::{Fault, Method, Request, Response},
    name::{
        CallId, Connection, Identity, Instance, ServerName, header,
        header::{Frame, Terms},
        subject,
        subject::{Operation, ReplyTo},
        token,
    },
    policy::limit,
    registry::{Heartbeat, heartbeat, view},
};

use super::{blocks, json, list, marked, pairs, text, texts};

#[test]
fn every_marked_block_is_run() {
    let kinds: BTreeSet<&str> = marked().map(|(kind, _)| kind).collect();
    let run = [
        "anchor",
        "cases",
        "codes",
        "correlation",
        "event",
        "frames",
        "headers",
        "heartbeat",
        "limits",
        "message",
        "permissions",
        "proof",
        "python",
        "services",
        "snapshot",
        "subjects",
        "time",
        "token",
        "tokens",
    ];
    assert_eq!(kinds, BTreeSet::from(run));
}

#[test]
fn names_become_these_tokens() {
    let vectors = json("tokens");
    for (name, token) in pairs(&vectors["name"]) {
        assert_eq!(token::encode(name), text(token), "{name}");
        assert_eq!(token::decode(text(token)).as_deref(), Some(name));
    }
    for (uri, token) in pairs(&vectors["uri"]) {
        assert_eq!(token::digest(uri), text(token), "{uri}");
    }
    for bad in texts(&vectors["refused"]) {
        assert_eq!(token::decode(bad), None, "{bad}");
    }
}

#[test]
fn subjects_are_built_so() {
    for example in list(&json("subjects")) {
        let get = |member: &str| text(&example[member]);
        let identity = |member| Identity::new(get(member)).expect("as in the document");
        let server = || ServerName::new(get("server")).expect("as in the document");
        let method = || Method::new(get("method")).expect("as in the document");
        let name = example.get("name").map(text);
        let built = match get("is") {
            "request" => subject::request(&identity("caller"), &server(), &method(), name),
            "instance" => subject::instance(
                &identity("caller"),
                &server(),
                get("instance"),
                &method(),
                name,
            ),
            "cancel" => subject::cancel(&identity("caller"), &server()),
            "reply" => {
                let connection = Connection::new(get("connection")).expect("as in the document");
                let call = CallId::parse(get("call")).expect("as in the document");
                subject::reply(&identity("identity"), &connection, &server(), call)
            }
            "delivery" => subject::delivery(&identity("identity"), get("n")),
            "notification" => subject::notification(&server(), get("kind")),
            "heartbeat" => subject::heartbeat(
                &server(),
                &Instance::new(get("instance")).expect("as in the document"),
            ),
            "event" => subject::event(&identity("identity"), get("type")),
            "probe" => subject::probe(&identity("identity")),
            other => panic!("no such subject: {other}"),
        };
        assert_eq!(built, get("subject"));
    }
}

#[test]
fn headers_and_frames_come_back() {
    let headers = json("headers");
    for header in texts(&headers["read"]) {
        let terms = Terms::parse(header).expect("as in the document");
        assert_eq!(terms.encode(), header);
    }
    for header in texts(&headers["defaults"]) {
        assert_eq!(Terms::parse(header), Ok(Terms::default()), "{header}");
    }
    for header in texts(&headers["refused"]) {
        assert!(Terms::parse(header).is_err(), "{header}");
    }
    let frames = json("frames");
    for frame in texts(&frames["read"]) {
        assert_eq!(
            Frame::parse(frame).expect("as in the document").encode(),
            frame
        );
    }
    for frame in texts(&frames["unknown"]) {
        assert_eq!(Frame::parse(frame), None, "{frame}");
    }
}

#[test]
fn a_correlation_id_is_derived_so() {
    let vector = json("correlation");
    let call = CallId::parse(text(&vector["call"])).expect("as in the document");
    assert_eq!(
        call.unix_ms(),
        vector["unixMs"].as_u64().expect("as in the document")
    );
    let derived = Correlation::Derived(call).to_string();
    assert_eq!(derived, text(&vector["correlation"]));
}

#[test]
fn an_event_is_published_so() {
    let vector = json("event");
    let key = EventKey::read(text(&vector["eventKey"])).expect("as in the document");
    let body = vector["body"].to_string();
    let mut event = Event::read(body.as_bytes(), "alice").expect("as in the document");
    let alice = Identity::new("alice").expect("as in the document");
    assert_eq!(event.stamped(&alice).expect("as in the document"), body);
    assert_eq!(key.message_id(&event.id), text(&vector["messageId"]));
    assert_eq!(
        subject::event(&alice, &event.kind),
        text(&vector["subject"])
    );
}

#[test]
fn codes_and_cases_are_all_there() {
    let told: BTreeMap<String, i64> =
        serde_json::from_value(json("codes")).expect("as in the document");
    let real = Kind::ALL.map(|kind| (kind.name().to_owned(), kind.code()));
    assert_eq!(told, BTreeMap::from(real));

    let source = include_str!("../../../src/error/kind.rs");
    let real: BTreeSet<&str> = source
        .split("pub const ")
        .filter_map(|rest| rest.split_once(": &str = \""))
        .filter_map(|(_, rest)| Some(rest.split_once('"')?.0))
        // Never told: it becomes one of two others first.
        .filter(|case| *case != "NO_RESPONDERS")
        .collect();
    let cases = json("cases");
    assert_eq!(BTreeSet::from_iter(texts(&cases)), real);
    let errors = include_str!("../../../docs/errors.md");
    for case in &real {
        assert!(super::TEXT.contains(&format!("| `{case}` |")), "{case}");
    }
    for name in real.iter().copied().chain(told.keys().map(String::as_str)) {
        assert!(
            errors.contains(&format!("| `{name}` |")),
            "errors.md: {name}"
        );
    }
}

#[test]
fn permissions_decide_so() {
    let vectors = json("permissions");
    for permission in texts(&vectors["read"]) {
        let read = Permission::parse(permission).expect("as in the document");
        assert_eq!(Permission::parse(&read.to_string()), Ok(read));
    }
    for permission in texts(&vectors["refused"]) {
        assert!(Permission::parse(permission).is_err(), "{permission}");
    }
    for example in list(&vectors["decide"]) {
        let may = Permissions::parse(&[text(&example["permission"])]).expect("as in the document");
        let permits = may.permitting(text(&example["action"]), &[text(&example["target"])]);
        assert_eq!(
            Some(permits.is_some()),
            example["permits"].as_bool(),
            "{example}"
        );
    }
}

#[test]
fn a_heartbeat_reads_so() {
    let beat = Heartbeat::decode(blocks("heartbeat")[0].as_bytes()).expect("as in the document");
    assert_eq!(beat.tools.list.len(), beat.tools.count);
    let written: Value = serde_json::from_slice(&beat.encode()).expect("as in the document");
    assert_eq!(written, json("heartbeat"));
}

#[test]
fn limits_are_the_programs() {
    let ms =
        |time: std::time::Duration| u64::try_from(time.as_millis()).expect("as in the document");
    let limits = Limits::default();
    let real = [
        ("subjectBytes", subject::BYTES_MAX as u64),
        ("nameBytes", token::NAME_BYTES_MAX as u64),
        ("headerBytes", header::BYTES_MAX as u64),
        ("bodyBytes", Bounds::default().body as u64),
        ("callsUnderWay", limits.calls as u64),
        ("callsWaiting", limits.queue as u64),
        ("requestBytesUnderWay", limits.bytes as u64),
        ("requestDepth", limits.extent.depth as u64),
        ("requestKeys", limits.extent.keys as u64),
        ("callersCounted", limit::CALLERS_MAX as u64),
        ("toolsCounted", limit::TOOLS_MAX as u64),
        ("timeoutMs", ms(header::TIMEOUT)),
        ("notificationsWaiting", notify::WAITING_MAX as u64),
        ("tokenBytes", verify::BYTES_MAX as u64),
        ("tokensRemembered", trust::TOKENS_MAX),
        ("tokenLeewayS", verify::LEEWAY_S),
        ("callTokenS", Lifetimes::CALL_MAX.as_secs()),
        ("connectTokenS", Lifetimes::default().connect.as_secs()),
        ("connectTokenMaxS", Lifetimes::CONNECT_MAX.as_secs()),
        ("proofWindowS", proof::WINDOW_S),
        ("nonceMin", *proof::NONCE_CHARS.start() as u64),
        ("nonceMax", *proof::NONCE_CHARS.end() as u64),
        ("snapshotAgeMs", ms(trust::AGE_MAX)),
        ("snapshotBytes", snapshot::BYTES_MAX as u64),
        ("revokedMax", snapshot::REVOKED_MAX as u64),
        ("revokedForS", snapshot::REVOKED_FOR_S),
        ("keysMax", keys::KEYS_MAX as u64),
        ("heartbeatEveryMs", ms(heartbeat::EVERY)),
        ("heartbeatBytes", heartbeat::BYTES_MAX as u64),
        ("silentAfterMs", ms(view::SILENT_AFTER)),
        ("forgottenAfterMs", ms(view::FORGOTTEN_AFTER)),
    ];
    let told: BTreeMap<String, u64> =
        serde_json::from_value(json("limits")).expect("as in the document");
    let real = real.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(told, BTreeMap::from(real));
}

#[test]
fn the_python_is_python() {
    let program = blocks("python")[0];
    let compiled = Command::new("python3")
        .args([
            "-c",
            "import sys; compile(sys.argv[1], 'protocol.md', 'exec')",
        ])
        .arg(program)
        .output()
        .expect("Python 3 is needed to build the project");
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{said}");
}

/// A message as the document writes it.
struct Message {
    subject: &'static str,
    reply: Option<&'static str>,
    headers: BTreeMap<&'static str, &'static str>,
    body: &'static str,
}

impl Message {
    fn read(block: &'static str) -> Self {
        let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
        let mut lines = head.lines();
        let first = lines.next().and_then(|line| line.strip_prefix("PUB "));
        let (subject, reply) = match first.expect("PUB").split_once(" REPLY ") {
            Some((subject, reply)) => (subject, Some(reply)),
            None => (first.expect("PUB"), None),
        };
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        Self {
            subject,
            reply,
            headers: headers.collect(),
            body: body.trim_end(),
        }
    }

    /// A body that the document shows, and does not only count.
    fn shown(&self) -> Option<Bytes> {
        let shown = !self.body.is_empty() && !self.body.starts_with('(');
        shown.then(|| Bytes::from_static(self.body.as_bytes()))
    }

    fn terms(&self) -> Terms {
        let known = [
            header::WEFT,
            header::FRAME,
            header::AUTHORIZATION,
            header::SERVICE_ERROR,
            header::SERVICE_ERROR_CODE,
        ];
        assert!(self.headers.keys().all(|name| known.contains(name)));
        let text = self.headers.get(header::WEFT).copied().unwrap_or("1");
        let terms = Terms::parse(text).expect("as in the document");
        assert_eq!(terms.encode(), text);
        terms
    }

    fn frame(&self) -> Option<Frame> {
        let frame = self.headers.get(header::FRAME)?;
        Some(Frame::parse(frame).unwrap_or_else(|| panic!("no frame: {frame}")))
    }
}

#[test]
fn messages_are_well_formed() {
    let messages = blocks("message");
    for block in &messages {
        let message = Message::read(block);
        match message.subject.split('.').nth(2).expect("a subject") {
            "req" | "ins" => check_request(&message),
            "rep" => check_answer(&message),
            "ctl" => {
                assert_eq!(subject::cancel_caller(message.subject), Some("alice"));
                assert!(CallId::parse(message.body).is_some());
            }
            other => panic!("no such subject: {other}"),
        }
    }
    assert!(messages.len() >= 14, "{}", messages.len());
}

fn check_request(message: &Message) {
    let operation = Operation::parse(message.subject).expect("as in the document");
    let reply =
        ReplyTo::parse(message.reply.expect("a reply subject")).expect("as in the document");
    assert_eq!(
        (reply.identity, reply.server),
        (operation.caller, operation.server)
    );
    let terms = message.terms();
    match (message.shown(), message.frame()) {
        (Some(body), None) => {
            let requests = requests(&body, terms.batch.as_deref());
            let told = |request: &Request| operation.is(request.method(), request.name());
            assert!(requests.iter().all(told));
            assert!(terms.parts.is_none());
        }
        (None, None) => assert!(terms.parts.is_some(), "{}", message.subject),
        (None, Some(frame)) => {
            assert!(operation.instance.is_some());
            assert!(matches!(frame, Frame::Part(_) | Frame::Got(_)));
        }
        (Some(_), Some(_)) => panic!("a frame with a request in it"),
    }
}

/// The request of a body, or those of a batch of these calls.
fn requests(body: &Bytes, batch: Option<&[(CallId, Duration)]>) -> Vec<Request> {
    let bodies = match batch {
        None => vec![body.clone()],
        Some(calls) => {
            let each: Vec<&RawValue> = serde_json::from_slice(body).expect("as in the document");
            assert_eq!(each.len(), calls.len());
            each.iter()
                .map(|each| each.get().to_owned().into())
                .collect()
        }
    };
    let requests = bodies.into_iter().map(Request::parse);
    requests
        .map(|request| request.expect("as in the document"))
        .collect()
}

fn check_answer(message: &Message) {
    assert!(ReplyTo::parse(message.subject).is_some());
    let terms = message.terms();
    let Some(body) = message.shown() else {
        // A frame without words, a part, or the end behind parts.
        assert!(message.frame().is_some() || terms.digest.is_some());
        return;
    };
    if let Some(frame) = message.frame() {
        assert!(matches!(frame, Frame::Message(_)));
        assert!(
            Request::parse(body)
                .expect("as in the document")
                .id()
                .is_none()
        );
        return;
    }
    let response = Response::parse(body).expect("as in the document");
    let code = message.headers.get(header::SERVICE_ERROR_CODE);
    assert_eq!(code.is_some(), response.error().is_some());
    if let Some(error) = response.error() {
        let fault: Fault = serde_json::from_str(error).expect("as in the document");
        assert_eq!(
            fault.code.to_string(),
            code.expect("as in the document").to_owned()
        );
        assert_eq!(fault.message, message.headers[header::SERVICE_ERROR]);
        let read = Error::from_fault(&fault).expect("an error of the mesh");
        assert_eq!(read.to_fault(), fault);
    }
}
