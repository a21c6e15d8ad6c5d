//! A tool's arguments against its own schema, before the server is handed the call.
//!
//! Servers check their arguments themselves, and their words are better than ours: so this is
//! for those that do not, where their operator says so (`validate: adapter`).

mod strict;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use jsonschema::Validator;
use serde_json::Value;
use tower::Service;

use crate::{
    call::{Call, CallFuture, CallService, Reply},
    error::{Error, Kind},
};

/// The input schema of a tool, by its name.
pub type Schemas = Arc<dyn Fn(&str) -> Option<Arc<Value>> + Send + Sync>;

/// Tools whose compiled schema is kept.
const COMPILED_MAX: usize = 1000;

/// Checks arguments.
#[derive(Clone)]
pub struct Validate<S> {
    schemas: Option<Schemas>,
    compiled: Arc<Mutex<HashMap<String, Compiled>>>,
    inner: S,
}

/// A schema and what was made of it; the schema tells whether it is still the tool's.
type Compiled = (Arc<Value>, Arc<Validator>);

impl<S> std::fmt::Debug for Validate<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validate")
            .field("on", &self.schemas.is_some())
            .finish_non_exhaustive()
    }
}

impl<S> Validate<S> {
    /// Checks the arguments of calls to `inner` against these schemas; against none, nothing.
    pub fn new(schemas: Option<Schemas>, inner: S) -> Self {
        Self {
            schemas,
            compiled: Arc::default(),
            inner,
        }
    }

    fn check(&self, call: &Call) -> Result<(), Error> {
        let Some((schemas, tool)) = self.schemas.as_ref().zip(call.tool()) else {
            return Ok(());
        };
        let Some(schema) = schemas(tool) else {
            return Ok(());
        };
        let validator = self.compiled(tool, &schema)?;
        let arguments = strict::arguments(call.request.params().unwrap_or("{}"));
        let arguments = arguments.map_err(|why| {
            let said = format!("the arguments of `{tool}` can't be checked: {why}");
            Error::new(Kind::InvalidParams, said)
        })?;
        let arguments = arguments.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let Some(wrong) = validator.iter_errors(&arguments).next() else {
            return Ok(());
        };
        let at = wrong.instance_path().to_string();
        let place = if at.is_empty() { "/" } else { at.as_str() };
        // The value may be a secret, and this is logged: who sent it knows it.
        let wrong = wrong.masked();
        Err(Error::new(
            Kind::InvalidParams,
            format!("the arguments of `{tool}` do not fit its schema: at `{place}`: {wrong}"),
        )
        .with("argument", place))
    }

    fn compiled(&self, tool: &str, schema: &Arc<Value>) -> Result<Arc<Validator>, Error> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, validator)) = compiled.get(tool)
            && (Arc::ptr_eq(known, schema) || known == schema)
        {
            return Ok(Arc::clone(validator));
        }
        // No network and no files: the crate is built without them.
        let validator = jsonschema::validator_for(schema).map_err(|error| {
            Error::new(
                Kind::InternalError,
                format!("the schema of `{tool}` is none: {error}"),
            )
        })?;
        let validator = Arc::new(validator);
        if compiled.len() >= COMPILED_MAX {
            compiled.clear();
        }
        compiled.insert(
            tool.to_owned(),
            (Arc::clone(schema), Arc::clone(&validator)),
        );
        Ok(validator)
    }
}

impl<S: CallService> Service<Call> for Validate<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        match self.check(&call) {
            Ok(()) => self.inner.call(call),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        call::{self, service::answer},
        mcp::Request,
        name::ServerName,
    };

    async fn ask(arguments: &str, on: bool) -> Result<Reply, Error> {
        let schema = Arc::new(serde_json::json!({
            "type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}},
        }));
        let schemas: Schemas = Arc::new(move |tool| (tool == "t").then(|| Arc::clone(&schema)));
        let inner = answer(|_: Call| async {
            Ok(Reply {
                body: Bytes::from_static(b"{}"),
                failed: false,
            })
        });
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#
        );
        let call = Call::new(
            ServerName::new("gh").expect("a name"),
            Request::parse(Bytes::from(body)).expect("a request"),
            call::Context::new(Duration::from_secs(1)),
        );
        Validate::new(on.then_some(schemas), inner)
            .oneshot(call)
            .await
    }

    #[tokio::test]
    async fn arguments_are_checked_where_it_is_asked_for() {
        let error = ask(r#"{"n":"x"}"#, true).await.expect_err("no integer");
        assert_eq!(error.kind(), Kind::InvalidParams);
        assert!(error.to_string().contains("`/n`"), "{error}");
        assert!(ask(r#"{"n":1}"#, true).await.is_ok());
        assert!(ask(r#"{"n":"x"}"#, false).await.is_ok());
    }
}
