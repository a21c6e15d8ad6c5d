//! One request to the member, right or wrong on purpose, and all that it answers.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json, value::RawValue};
use tokio::time::Instant;

use super::Stop;
use crate::{
    bus::{
        Link,
        probe::{Incoming, Next, Outgoing, Probe, Sent},
    },
    error::{Error, Kind},
    mcp::{Method, version},
    name::{
        CallId, ServerName,
        header::{self, Frame, Terms},
        subject,
    },
};

/// How long a plain request may take.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long silence is listened to.
pub(super) const SILENCE: Duration = Duration::from_millis(400);
/// Parts are acknowledged after so many.
const ACKNOWLEDGED_EVERY: u32 = 4;
/// Characters of a wrong answer that are shown.
const SHOWN_MAX: usize = 160;
/// Messages of one answer that are read; more is a failure of its own.
const MESSAGES_MAX: usize = 4096;

/// Who asks.
#[derive(Debug)]
pub(super) struct Tester {
    pub(super) link: Link,
    pub(super) server: ServerName,
    pub(super) token: String,
    pub(super) probe: Probe,
}

/// What proves who calls.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// The caller's own call token.
    Own,
    /// Nothing.
    None,
    /// This one.
    Bearer(String),
}

/// A request that is about to be sent.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) params: Value,
    /// The id, as JSON.
    pub(super) id: String,
    /// In place of the request.
    pub(super) body: Option<Bytes>,
    pub(super) call: CallId,
    pub(super) weft: Option<String>,
    pub(super) proof: Proof,
    pub(super) within: Duration,
}

/// All that was heard of one call.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) call: CallId,
    pub(super) frames: Vec<(String, Incoming)>,
    pub(super) terminal: Incoming,
    pub(super) took: Duration,
}

impl Ask {
    pub(super) fn new(method: Method) -> Self {
        Self {
            method,
            params: json!({}),
            id: r#""conformance""#.into(),
            body: None,
            call: CallId::now(),
            weft: None,
            proof: Proof::Own,
            within: ANSWER_MAX,
        }
    }

    pub(super) fn list() -> Self {
        Self::new(Method::TOOLS_LIST)
    }

    pub(super) fn tool(name: &str, arguments: &Map<String, Value>) -> Self {
        let params = json!({"name": name, "arguments": arguments});
        Self {
            params,
            ..Self::new(Method::TOOLS_CALL)
        }
    }

    pub(super) fn weft(mut self, header: impl Into<String>) -> Self {
        self.weft = Some(header.into());
        self
    }

    pub(super) fn proof(mut self, proof: Proof) -> Self {
        self.proof = proof;
        self
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The same, made so many milliseconds from now.
    pub(super) fn made_at(mut self, from_now_ms: i64) -> Self {
        let number = self.call.as_u128();
        let time = self.call.unix_ms().saturating_add_signed(from_now_ms);
        let made = number & (u128::MAX >> 48) | u128::from(time) << 80;
        self.call = CallId::from_u128(made).expect("its version is in the other bits");
        self
    }

    /// The JSON-RPC request, with the `_meta` that MCP asks for.
    pub(super) fn request(&self) -> Bytes {
        let mut params = self.params.clone();
        if let Value::Object(params) = &mut params {
            let meta = params.entry("_meta").or_insert_with(|| json!({}));
            meta[version::META_VERSION] = version::MESH.into();
            meta[version::META_CLIENT_CAPABILITIES] = json!({});
            meta[version::META_CLIENT_INFO] =
                json!({"name": "weft conformance", "version": env!("CARGO_PKG_VERSION")});
        }
        let method = Value::from(self.method.as_str());
        format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":{method},"params":{params}}}"#,
            self.id
        )
        .into()
    }

    fn name(&self) -> Option<&str> {
        self.params[self.method.name_field()?].as_str()
    }
}

impl Tester {
    pub(super) async fn open(
        link: &Link,
        server: ServerName,
        token: String,
    ) -> Result<Self, Error> {
        Ok(Self {
            probe: Probe::replies(link).await?,
            link: link.clone(),
            server,
            token,
        })
    }

    /// Where a call is answered.
    pub(super) fn reply(&self, call: CallId) -> String {
        self.probe.subject(&format!("{}.{call}", self.server))
    }

    pub(super) fn outgoing(&self, ask: &Ask) -> Outgoing {
        let mut headers = Vec::new();
        if let Some(weft) = &ask.weft {
            headers.push((header::WEFT, weft.clone()));
        }
        let bearer = match &ask.proof {
            Proof::Own => Some(&self.token),
            Proof::Bearer(token) => Some(token),
            Proof::None => None,
        };
        if let Some(bearer) = bearer {
            headers.push((header::AUTHORIZATION, format!("Bearer {bearer}")));
        }
        Outgoing {
            subject: subject::request(self.link.identity(), &self.server, &ask.method, ask.name()),
            reply: Some(self.reply(ask.call)),
            headers,
            body: ask.body.clone().unwrap_or_else(|| ask.request()),
        }
    }

    /// Sends it, and hears the whole answer.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Result<Answer, Stop> {
        let sent = self.send(self.outgoing(ask)).await?;
        self.hear(&sent, ask).await
    }

    /// The answer to a request that is right: its result.
    pub(super) async fn result(&mut self, ask: &Ask) -> Result<Value, Stop> {
        let answer = self.ask(ask).await?;
        let response = answer.response()?;
        if let Some(error) = response.get("error") {
            return Err(Stop::fail(format!("a good request was refused: {error}")));
        }
        Ok(response["result"].clone())
    }

    pub(super) async fn send(&self, message: Outgoing) -> Result<Sent, Stop> {
        let sent = self.probe.send(message).await;
        sent.map_err(|error| Stop::fail(super::words(&error)))
    }

    /// Publishes what nobody answers.
    pub(super) async fn tell(&self, subject: String, body: impl Into<Bytes>) -> Result<(), Stop> {
        let told = self.link.publish(subject, body.into()).await;
        told.map_err(|error| Stop::fail(super::words(&error)))
    }

    /// Hears an answer to its end.
    pub(super) async fn hear(&mut self, sent: &Sent, ask: &Ask) -> Result<Answer, Stop> {
        let (began, within) = (Instant::now(), ask.within);
        let mut frames = Vec::new();
        while frames.len() < MESSAGES_MAX {
            let Some(message) = self.next(sent, ask.call, began + within).await? else {
                return Err(Stop::fail(match frames.len() {
                    0 => format!("no answer within {within:?}"),
                    n => format!("no terminal within {within:?}, after {n} frames"),
                }));
            };
            let Some(frame) = message.header(header::FRAME) else {
                return Ok(Answer {
                    call: ask.call,
                    frames,
                    terminal: message,
                    took: began.elapsed(),
                });
            };
            if let Some(Frame::Part(number)) = Frame::parse(frame) {
                let mut parts = frames
                    .iter()
                    .filter(|(frame, _): &&(String, _)| frame == "part;1");
                let first = parts.next().map_or(&message, |(_, first)| first);
                self.acknowledge(ask, number, first).await?;
            }
            frames.push((frame.to_owned(), message));
        }
        Err(Stop::fail(format!("more than {MESSAGES_MAX} frames")))
    }

    /// Says that the parts came, as the window asks for it: after every fourth.
    async fn acknowledge(&self, ask: &Ask, number: u32, first: &Incoming) -> Result<(), Stop> {
        if !number.is_multiple_of(ACKNOWLEDGED_EVERY) {
            return Ok(());
        }
        let terms = first.header(header::WEFT).map(Terms::parse);
        let Some(instance) = terms.and_then(|terms| terms.ok()?.instance) else {
            return Err(Stop::fail("the parts do not say which instance sends them"));
        };
        let me = self.link.identity();
        let to = subject::instance(me, &self.server, &instance, &ask.method, ask.name());
        self.send(Outgoing {
            subject: to,
            reply: Some(self.reply(ask.call)),
            headers: vec![(header::FRAME, Frame::Got(number).encode())],
            body: Bytes::new(),
        })
        .await
        .map(drop)
    }

    /// The next message of this call; none where nothing comes.
    pub(super) async fn next(
        &mut self,
        sent: &Sent,
        call: CallId,
        until: Instant,
    ) -> Result<Option<Incoming>, Stop> {
        let reply = self.reply(call);
        loop {
            let next = self.probe.next(sent, until).await;
            match next.map_err(|error| Stop::fail(super::words(&error)))? {
                // What is left of another check is none of this one's affair.
                Next::Message(message) if message.subject != reply => {}
                Next::Message(message) => return Ok(Some(message)),
                Next::Nobody => return Err(Stop::fail("no instance answers any more")),
                Next::Denied => {
                    return Err(Stop::not_applicable(
                        "the broker does not let you ask for it: a token with more permissions is needed",
                    ));
                }
                Next::Silence => return Ok(None),
            }
        }
    }
}

impl Answer {
    /// The JSON-RPC response.
    pub(super) fn response(&self) -> Result<Value, Stop> {
        serde_json::from_slice(&self.terminal.body)
            .map_err(|error| Stop::fail(format!("the answer is not JSON: {error}")))
    }

    /// The id, as it was spelt.
    pub(super) fn id(&self) -> Result<Option<Box<RawValue>>, Stop> {
        #[derive(serde::Deserialize)]
        struct Head {
            id: Option<Box<RawValue>>,
        }
        let head: Head = serde_json::from_slice(&self.terminal.body)
            .map_err(|error| Stop::fail(format!("the answer is no object: {error}")))?;
        Ok(head.id)
    }

    /// The error object; a result is none.
    pub(super) fn error(&self) -> Result<Value, Stop> {
        let mut response = self.response()?;
        match response["error"].take() {
            Value::Null => Err(Stop::fail(format!("no error: {}", short(&response)))),
            error => Ok(error),
        }
    }

    /// Whether the member refused, with one of these codes and, where it says a case, one of
    /// these.
    pub(super) fn refused(&self, kinds: &[Kind], cases: &[&str]) -> Result<(), Stop> {
        let error = self.error()?;
        let code = error["code"].as_i64();
        if !kinds.iter().any(|kind| Some(kind.code()) == code) {
            return Err(Stop::fail(format!("another error: {}", short(&error))));
        }
        match error["data"]["kind"].as_str() {
            Some(said) if !cases.is_empty() && !cases.contains(&said) => Err(Stop::fail(format!(
                "another case: {said}, {}",
                error["message"]
            ))),
            _ => Ok(()),
        }
    }
}

/// Some of a JSON text.
pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
