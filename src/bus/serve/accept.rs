//! From a message to a call: what is checked before anybody is asked who calls.

mod batch;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_nats::{Message, Subject};
use bytes::Bytes;
use tokio::time::Instant;

use super::{Reach, ServeOptions};
use crate::{
    bus::wire,
    call::{
        Call, Context,
        context::{Correlation, Credential},
    },
    error::{self, Error, Kind, case},
    mcp::{Request, envelope::EnvelopeError},
    name::{
        CallId, Identity, header,
        header::Terms,
        id,
        subject::{Operation, ReplyTo},
    },
};

/// How far two clocks may be apart.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(2);
/// A call may not take longer than this, whatever its header says.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// A request whose answer has somewhere to go.
pub(super) struct Accepted {
    pub(super) id: CallId,
    pub(super) caller: Identity,
    pub(super) reply: Subject,
    pub(super) began: Instant,
    subject: Subject,
    terms: Result<Terms, Error>,
    credential: Option<Credential>,
    body: Bytes,
    /// Whether the id is the caller's, with the time of the call in it.
    timed: bool,
}

/// Reads what a message says outside its body. `None` where nobody may be answered.
pub(super) fn read(options: &ServeOptions, message: Message) -> Option<Accepted> {
    let operation = Operation::parse(&message.subject)?;
    let for_us = operation.server == options.server.as_str()
        && operation
            .instance
            .is_none_or(|at| at == options.instance.as_str());
    if !for_us || wire::header(&message, &wire::STREAM).is_some() {
        return None;
    }
    let caller = Identity::new(operation.caller).ok()?;
    let reply = message.reply.as_ref()?;
    let (id, timed) = match options.reach {
        Reach::Imported => (CallId::now(), false),
        Reach::Member => {
            let to = ReplyTo::parse(reply)?;
            let caller_or_edge = to.identity == caller.as_str() || to.identity == id::GATEWAY;
            (caller_or_edge && to.server == options.server.as_str()).then_some((to.call, true))?
        }
    };
    let terms = wire::read_terms(&message);
    let credential = wire::bearer(&message)
        .map(|bearer| Credential::Bearer(bearer.into()))
        .or_else(|| {
            let token = terms.as_ref().ok()?.token.as_ref()?;
            Some(Credential::Reference(Arc::clone(token)))
        });
    Some(Accepted {
        id,
        caller,
        reply: message.reply?,
        began: Instant::now(),
        subject: message.subject,
        terms,
        credential,
        body: message.payload,
        timed,
    })
}

impl Accepted {
    /// How many bytes the request has, or will have.
    pub(super) fn size(&self) -> usize {
        self.announced().unwrap_or(self.body.len())
    }

    /// Whether the body comes in parts.
    pub(super) fn is_large(&self) -> bool {
        self.announced().is_some()
    }

    /// Whether it is several calls.
    pub(super) fn is_batch(&self) -> bool {
        self.terms.as_ref().is_ok_and(|terms| terms.batch.is_some())
    }

    /// How long the call may take.
    pub(super) fn time(&self, options: &ServeOptions) -> Duration {
        self.said().unwrap_or(options.timeout)
    }

    /// How long the caller says that it may take.
    fn said(&self) -> Option<Duration> {
        let terms = self.terms.as_ref().ok()?;
        terms.remaining.map(|said| said.min(TIME_MAX))
    }

    /// The size of a body that comes in parts.
    pub(super) fn announced(&self) -> Option<usize> {
        let terms = self.terms.as_ref().ok()?;
        terms.parts.map(|(_, size)| size)
    }

    /// The same with the body that came in parts.
    pub(super) fn with_body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    /// The call, once its body is there. The request id is told beside an error, where it is
    /// known, so that the answer can carry it.
    pub(super) fn into_call(self, options: &ServeOptions) -> Result<Call, (Option<String>, Error)> {
        let about = (self.id, self.caller.clone(), self.subject.clone());
        let checked = self.checked(options);
        checked.map_err(|(request, error)| (request, located(options, about, error)))
    }

    /// An error of a call that did not come so far.
    pub(super) fn located(&self, options: &ServeOptions, error: Error) -> Error {
        let about = (self.id, self.caller.clone(), self.subject.clone());
        located(options, about, error)
    }

    fn checked(self, options: &ServeOptions) -> Result<Call, (Option<String>, Error)> {
        let (time, said) = (self.time(options), self.said());
        let terms = self.terms.map_err(|error| (None, error))?;
        let request = Request::parse(self.body).map_err(|error| (None, envelope_error(&error)))?;
        let refuse = |error| (request.id().map(str::to_owned), error);
        let extent = options.limits.extent.check(request.body());
        extent.map_err(|beyond| refuse(beyond.into()))?;
        if request.id().is_none() {
            return Err(refuse(Error::new(
                Kind::InvalidRequest,
                "a call needs an `id`: a notification is published on its own subject",
            )));
        }
        let operation = Operation::parse(&self.subject).expect("it was read before");
        if !operation.is(request.method(), request.name()) {
            return Err(refuse(
                Error::new(
                    Kind::InvalidRequest,
                    format!(
                        "the body asks for `{} {}`, and the subject is `{}`",
                        request.method(),
                        request.name().unwrap_or_default(),
                        self.subject
                    ),
                )
                .case(case::HEADER_MISMATCH),
            ));
        }
        if self.timed {
            // What the caller does not say is 30 s to him, whatever it is to us.
            in_time(self.id, said.unwrap_or(header::TIMEOUT)).map_err(refuse)?;
        }
        let correlation = match &terms.correlation {
            None => Correlation::Derived(self.id),
            Some(text) => Correlation::given(text).ok_or_else(|| {
                refuse(Error::new(
                    Kind::InvalidRequest,
                    "`corr` is 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`",
                ))
            })?,
        };
        Ok(Call {
            server: options.server.clone(),
            instance: None,
            request,
            context: Context {
                id: self.id,
                correlation,
                began: self.began,
                deadline: self.began + time,
                attempt: terms.attempt.unwrap_or(1),
                caller: Some(self.caller),
                principal: None,
                permitted: None,
                credential: self.credential,
                key: terms.key,
                notify: None,
                repeats: false,
                patience: None,
            },
        })
    }
}

/// Before there is a call: what the subject says of it.
fn located(
    options: &ServeOptions,
    (id, caller, subject): (CallId, Identity, Subject),
    error: Error,
) -> Error {
    let operation = Operation::parse(&subject).map(|operation| operation.method.to_owned());
    error.located(options.server.as_str(), || error::Context {
        server_name: options.server.to_string(),
        operation: operation.unwrap_or_default(),
        request_id: Correlation::Derived(id).to_string(),
        user_id: Some(caller.to_string()),
        ..error::Context::default()
    })
}

fn envelope_error(error: &EnvelopeError) -> Error {
    let kind = match error {
        EnvelopeError::Json(_) | EnvelopeError::NotUtf8 => Kind::ParseError,
        EnvelopeError::Shape { .. } | EnvelopeError::Nameless { .. } | EnvelopeError::Method(_) => {
            Kind::InvalidRequest
        }
    };
    Error::new(kind, error.to_string())
}

/// Expired work is never started, and work from the future is a wrong clock.
fn in_time(id: CallId, time: Duration) -> Result<(), Error> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let made = Duration::from_millis(id.unix_ms());
    if made > now + CLOCKS_APART_MAX {
        return Err(Error::new(
            Kind::InvalidRequest,
            format!(
                "the call is from the future: its id says {} ms, the clock here {} ms since 1970. \
                 `weft doctor` measures the difference",
                made.as_millis(),
                now.as_millis()
            ),
        ));
    }
    if now.saturating_sub(made) > time + CLOCKS_APART_MAX {
        return Err(Error::new(
            Kind::Timeout,
            format!(
                "the call was {} ms under way before it was read; it had {} ms",
                now.saturating_sub(made).as_millis(),
                time.as_millis()
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::{Bounds, Limits},
        name::{Connection, Instance, ServerName},
    };

    fn options(reach: Reach) -> ServeOptions {
        ServeOptions {
            server: ServerName::new("gh").expect("a name"),
            instance: Instance::random(),
            reach,
            limits: Limits::default(),
            bounds: Bounds::default(),
            timeout: header::TIMEOUT,
            load: crate::telemetry::load::Load::default(),
        }
    }

    fn message(subject: &str, reply: &str) -> Message {
        Message {
            subject: subject.into(),
            reply: Some(reply.into()),
            payload: Bytes::from_static(
                br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#,
            ),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    fn reply_of(identity: &str, server: &str) -> String {
        crate::name::subject::reply(
            &Identity::new(identity).expect("a name"),
            &Connection::random(),
            &ServerName::new(server).expect("a name"),
            CallId::now(),
        )
    }

    #[test]
    fn only_the_caller_or_an_edge_is_answered() {
        let options = options(Reach::Member);
        let subject = "weft.v1.req.alice.gh.tools.call.x";
        let taken = |reply: &str| read(&options, message(subject, reply)).is_some();
        assert!(taken(&reply_of("alice", "gh")));
        assert!(taken(&reply_of("gateway", "gh")));
        for bad in [
            reply_of("bob", "gh").as_str(),
            &reply_of("alice", "jira"),
            "$JS.API.STREAM.DELETE.X",
            "weft.v1.inb.alice.c.1",
            "$KV.WEFT_TOKENS.x",
        ] {
            assert!(!taken(bad), "{bad}");
        }
    }

    #[test]
    fn subject_and_body_say_the_same() {
        let options = options(Reach::Member);
        for (subject, good) in [
            ("weft.v1.req.alice.gh.tools.call.x", true),
            ("weft.v1.req.alice.gh.tools.call.y", false),
            ("weft.v1.req.alice.gh.tools.list._", false),
        ] {
            let message = message(subject, &reply_of("alice", "gh"));
            let accepted = read(&options, message).expect("it can be answered");
            let call = accepted.into_call(&options);
            assert_eq!(call.is_ok(), good, "{subject}");
            if let Err((_, error)) = call {
                let data = error.data();
                assert_eq!(
                    (data.server_name.as_str(), data.context.user_id.as_deref()),
                    ("gh", Some("alice"))
                );
                assert!(
                    !data.context.request_id.is_empty(),
                    "every error can be looked for"
                );
            }
        }
    }

    #[test]
    fn expired_and_future_calls_are_refused() {
        let now = CallId::now();
        assert!(in_time(now, Duration::ZERO).is_ok());
        let at = |ms: u64| {
            let stamp = uuid::Timestamp::from_unix_time(ms / 1000, 0, 0, 0);
            let id = uuid::Uuid::new_v7(stamp);
            CallId::parse(&id.as_simple().to_string()).expect("a call id")
        };
        let past = in_time(at(now.unix_ms() - 10_000), Duration::from_secs(1));
        assert_eq!(past.expect_err("expired").kind(), Kind::Timeout);
        let future = in_time(at(now.unix_ms() + 10_000), Duration::from_secs(1));
        let said = future.expect_err("from the future").to_string();
        assert!(said.contains("the clock here"), "{said}");
    }
}
