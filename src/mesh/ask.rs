//! A request that is about to be sent.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Mesh, result::Answer};
use crate::{
    call::{
        Call, Context, Notify,
        context::{self, Correlation, Credential},
        notify::Notifications,
    },
    error::{Error, Kind},
    mcp::{Method, Request, version},
    name::{Instance, ServerName},
};

/// A request that is about to be sent.
#[derive(Debug)]
pub struct Ask {
    mesh: Mesh,
    server: ServerName,
    instance: Option<Instance>,
    method: Method,
    params: Map<String, Value>,
    meta: Map<String, Value>,
    timeout: Duration,
    correlation: Option<Correlation>,
    notify: Option<Notify>,
    /// In whose name, where it is not our own.
    credential: Option<Credential>,
    key: Option<Arc<str>>,
    repeats: bool,
}

impl Ask {
    pub(super) fn new(
        mesh: Mesh,
        server: ServerName,
        method: Method,
        params: Value,
    ) -> Result<Self, Error> {
        let Value::Object(params) = params else {
            return Err(Error::new(Kind::InvalidParams, "`params` is an object"));
        };
        Ok(Self {
            timeout: mesh.timeout(),
            mesh,
            server,
            instance: None,
            method,
            params,
            meta: Map::new(),
            correlation: None,
            notify: None,
            credential: None,
            key: None,
            repeats: true,
        })
    }

    /// How long the call may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What the call is part of: 1 to 64 of `A-Z a-z 0-9 _ - .`.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the id is none.
    pub fn correlated(mut self, id: &str) -> Result<Self, Error> {
        let correlation = Correlation::given(id).ok_or_else(|| {
            Error::new(
                Kind::InvalidParams,
                format!("`{id}` is no correlation id: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`"),
            )
        })?;
        self.correlation = Some(correlation);
        Ok(self)
    }

    /// W3C trace context: it travels in `_meta`.
    #[must_use]
    pub fn traced(mut self, traceparent: &str) -> Self {
        self.meta.insert("traceparent".into(), traceparent.into());
        self
    }

    /// Asks for progress; what the server tells comes by the reader.
    #[must_use]
    pub fn with_progress(mut self) -> (Self, Notifications) {
        let (notify, notifications) = Notify::channel();
        self.notify = Some(notify);
        self.meta.insert("progressToken".into(), 1.into());
        (self, notifications)
    }

    /// One instance alone.
    #[must_use]
    pub fn at(mut self, instance: Instance) -> Self {
        self.instance = Some(instance);
        self
    }

    /// An idempotency key: 1 to 128 visible characters of ASCII but `;`. However often a call with
    /// one key comes to a tool, it runs at most once; whoever asks again hears what came of it.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the key is none.
    pub fn with_key(mut self, key: &str) -> Result<Self, Error> {
        self.key = Some(context::key(key)?);
        Ok(self)
    }

    /// As a part of this call, which we serve: within what is left of its time, found by the same
    /// correlation id, and made once, because whoever made that one makes it again.
    #[must_use]
    pub fn within(mut self, context: &Context) -> Self {
        self.timeout = self.timeout.min(context.remaining());
        self.correlation = Some(context.correlation.clone());
        self.once()
    }

    /// One attempt, whatever comes of it.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.repeats = false;
        self
    }

    /// With this call token.
    pub(super) fn with(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// The call, with an id of its own.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the names in it can't be sent.
    pub fn into_call(mut self) -> Result<(Mesh, Call), Error> {
        let mut meta = client_meta();
        if let Some(Value::Object(given)) = self.params.remove("_meta") {
            meta.extend(given);
        }
        meta.extend(self.meta);
        self.params.insert("_meta".into(), Value::Object(meta));
        let request = parsed(&self.method, &Value::Object(self.params))?;
        let mut context = Context::new(self.timeout);
        if let Some(correlation) = self.correlation {
            context.correlation = correlation;
        }
        context.notify = self.notify;
        context.credential = self.credential;
        context.key = self.key;
        context.repeats = self.repeats;
        let mut call = Call::new(self.server, request, context);
        call.instance = self.instance;
        Ok((self.mesh, call))
    }

    /// Sends it and waits for the answer.
    ///
    /// # Errors
    /// Whatever the mesh or an adapter says; a server's own error is an answer.
    pub async fn send(self) -> Result<Answer, Error> {
        let (mesh, call) = self.into_call()?;
        mesh.send(call).await.map(Answer::new)
    }
}

/// A request of this library: with `_meta` as 2026-07-28 asks for it.
pub(super) fn request(method: &Method, mut params: Value) -> Result<Request, Error> {
    if let Value::Object(params) = &mut params {
        params.insert("_meta".into(), Value::Object(client_meta()));
    }
    parsed(method, &params)
}

fn parsed(method: &Method, params: &Value) -> Result<Request, Error> {
    // The id is the connection's own affair: here the reply subject tells calls apart.
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method.as_str(), "params": params});
    Request::parse(Bytes::from(body.to_string()))
        .map_err(|error| Error::new(Kind::InvalidParams, error.to_string()))
}

/// The members that every request of 2026-07-28 has (Base protocol, `_meta`).
fn client_meta() -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert(version::META_VERSION.into(), version::MESH.into());
    meta.insert(version::META_CLIENT_CAPABILITIES.into(), json!({}));
    meta.insert(
        version::META_CLIENT_INFO.into(),
        json!({"name": "weft", "version": env!("CARGO_PKG_VERSION")}),
    );
    meta
}
