//! One error for whatever can go wrong with a call: a kind, what had started, where, and why.
//!
//! The kinds are the thirteen codes of the mesh. The wire form is made once, at the edge that
//! answers ([`Error::to_fault`]), and read once, at the edge that hears it ([`Error::from_fault`]).

pub mod kind;

use std::{fmt, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::kind::{Kind, case};
use crate::mcp::{Fault, extent::Beyond};

/// Whether the server had been handed the call when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Started {
    /// It had not: the call can be sent again without harm.
    No,
    /// Nobody knows.
    Maybe,
    /// It had.
    Yes,
}

/// Who made the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The caller's side: the client, the gateway, the broker.
    Mesh,
    /// The adapter in front of the server.
    Adapter,
    /// The server itself; Weft passed it on untouched.
    Server,
}

/// What the failed operation was: S10 of the description.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// The server that was called.
    pub server_name: String,
    /// The method, and the tool behind a space where there is one: `tools/call echo`.
    pub operation: String,
    /// The correlation id: with it the call is found in every log and trace.
    pub request_id: String,
    /// Whose call it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The session it belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// More, by name: `exitStatus`, `limitBytes`, `instance`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// `error.data` of every error that the mesh makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Data {
    /// The code on the mesh, also where an edge had to use another number.
    pub weft_code: i64,
    /// The name of the code, or which case of it this is.
    pub kind: String,
    /// Who made the error.
    pub origin: Origin,
    /// Whether the server had been handed the call.
    pub started: Started,
    /// What the operation was.
    pub context: Context,
    /// When it failed, RFC 3339 in UTC.
    pub timestamp: String,
    /// The hop that failed: a server name, or `weft`, `gateway`, a caller.
    pub server_name: String,
    /// What lay beneath, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_error: Option<String>,
    /// When to come back, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// What went wrong with a call.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    case: Option<String>,
    started: Started,
    origin: Origin,
    context: Context,
    hop: Option<String>,
    at: DateTime<Utc>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind; the sentence says what happened and what to do.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            case: None,
            started: Started::No,
            origin: Origin::Mesh,
            context: Context::default(),
            hop: None,
            at: Utc::now(),
            retry_after: None,
            source: None,
        }))
    }

    /// Which case of the kind it is (see [`case`]).
    #[must_use]
    pub fn case(mut self, case: &str) -> Self {
        self.0.case = Some(case.to_owned());
        self
    }

    /// What had started. Where nothing is said: nothing had.
    #[must_use]
    pub fn started(mut self, started: Started) -> Self {
        self.0.started = started;
        self
    }

    /// Who made it. Where nothing is said: the mesh.
    #[must_use]
    pub fn origin(mut self, origin: Origin) -> Self {
        self.0.origin = origin;
        self
    }

    /// When to come back.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// What lay beneath.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// More about the operation, by name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0
            .context
            .metadata
            .insert(name.to_owned(), value.into());
        self
    }

    /// Says what the operation was and which hop failed, where nobody said it before.
    #[must_use]
    pub fn located(mut self, hop: &str, context: impl FnOnce() -> Context) -> Self {
        if self.0.context.operation.is_empty() {
            let metadata = std::mem::take(&mut self.0.context.metadata);
            self.0.context = context();
            self.0.context.metadata.extend(metadata);
        }
        self.0.hop.get_or_insert_with(|| hop.to_owned());
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Which case of the kind it is, or the kind's own name.
    #[must_use]
    pub fn case_name(&self) -> &str {
        self.0.case.as_deref().unwrap_or(self.0.kind.name())
    }

    /// Whether it is this case.
    #[must_use]
    pub fn is_case(&self, case: &str) -> bool {
        self.0.case.as_deref() == Some(case)
    }

    /// What had started.
    #[must_use]
    pub fn has_started(&self) -> Started {
        self.0.started
    }

    /// What the operation was.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// `error.data`.
    #[must_use]
    pub fn data(&self) -> Data {
        self.data_of("")
    }

    /// `error.data`, told by this hop: it failed there, where nothing else was said.
    #[must_use]
    pub fn data_of(&self, hop: &str) -> Data {
        let inner = &*self.0;
        Data {
            weft_code: inner.kind.code(),
            kind: self.case_name().to_owned(),
            origin: inner.origin,
            started: inner.started,
            context: inner.context.clone(),
            timestamp: inner.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            server_name: inner.hop.clone().unwrap_or_else(|| hop.to_owned()),
            original_error: inner.source.as_ref().map(ToString::to_string),
            retry_after_ms: inner
                .retry_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// When to come back, where that is known.
    #[must_use]
    pub fn comes_back_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The error object of a JSON-RPC response.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        self.to_fault_of("")
    }

    /// The same, told by this hop: see [`Error::data_of`].
    #[must_use]
    pub fn to_fault_of(&self, hop: &str) -> Fault {
        Fault {
            code: self.0.kind.code(),
            message: self.0.message.clone(),
            data: serde_json::to_value(self.data_of(hop)).ok(),
        }
    }

    /// Reads an error object that an adapter or the mesh made; `None` where a server did.
    #[must_use]
    pub fn from_fault(fault: &Fault) -> Option<Self> {
        let data: Data = serde_json::from_value(fault.data.clone()?).ok()?;
        let kind = Kind::of_code(data.weft_code)?;
        if data.origin == Origin::Server {
            return None;
        }
        Some(Self(Box::new(Inner {
            kind,
            message: fault.message.clone(),
            case: (data.kind != kind.name()).then_some(data.kind),
            started: data.started,
            origin: data.origin,
            context: data.context,
            hop: Some(data.server_name),
            at: DateTime::parse_from_rfc3339(&data.timestamp)
                .map_or_else(|_| Utc::now(), |at| at.to_utc()),
            retry_after: data.retry_after_ms.map(Duration::from_millis),
            source: data.original_error.map(Into::into),
        })))
    }

    /// The same, for another call that it befell as well: what lay beneath as text, and of the
    /// first call nothing but what is told about the server.
    #[must_use]
    pub fn befalls(&self, context: Context) -> Self {
        let inner = &*self.0;
        let mut context = context;
        context.metadata.extend(inner.context.metadata.clone());
        Self(Box::new(Inner {
            kind: inner.kind,
            message: inner.message.clone(),
            case: inner.case.clone(),
            started: inner.started,
            origin: inner.origin,
            context,
            hop: inner.hop.clone(),
            at: inner.at,
            retry_after: inner.retry_after,
            source: (inner.source.as_ref()).map(|source| source.to_string().into()),
        }))
    }

    /// Who made it.
    #[must_use]
    pub fn made_by(&self) -> Origin {
        self.0.origin
    }
}

impl From<Beyond> for Error {
    /// Too deep is what readers of JSON call malformed; too wide is a matter of arguments.
    fn from(beyond: Beyond) -> Self {
        let kind = match beyond {
            Beyond::Depth(_) => Kind::ParseError,
            Beyond::Keys(_) => Kind::InvalidParams,
        };
        Self::new(kind, beyond.to_string()).case(case::REQUEST_TOO_COMPLEX)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.case_name())
            .field("started", &self.0.started)
            .field("message", &self.0.message)
            .field("context", &self.0.context)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_description() {
        let codes: Vec<i64> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), 13);
        for kind in Kind::ALL {
            assert_eq!(Kind::of_code(kind.code()), Some(kind));
            assert_eq!(
                serde_json::to_value(kind).expect("a name"),
                Value::from(kind.name())
            );
        }
        let retryable = Kind::ALL.into_iter().filter(|kind| kind.is_retryable());
        assert_eq!(retryable.count(), 4);
    }

    #[test]
    fn an_error_comes_back_over_the_wire() {
        let sent = Error::new(Kind::ToolExecutionError, "the server went away")
            .case(case::SERVER_EXITED)
            .started(Started::Yes)
            .origin(Origin::Adapter)
            .retry_after(Duration::from_millis(1500))
            .source("broken pipe")
            .with("exitStatus", 3)
            .located("gh", || Context {
                server_name: "gh".into(),
                operation: "tools/call x".into(),
                request_id: "r".into(),
                ..Context::default()
            });
        let heard = Error::from_fault(&sent.to_fault()).expect("ours");
        assert_eq!(heard.data(), sent.data());
        assert_eq!(heard.context().metadata["exitStatus"], 3);
        assert_eq!(heard.to_string(), "the server went away");
    }

    #[test]
    fn a_servers_own_error_is_none_of_ours() {
        let fault = |data| Fault {
            code: -32602,
            message: "m".into(),
            data,
        };
        assert!(Error::from_fault(&fault(None)).is_none());
        assert!(Error::from_fault(&fault(Some(Value::from("text")))).is_none());
    }
}
