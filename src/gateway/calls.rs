//! The requests of one client that are under way, so that it can take one back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind};

/// Requests of one client at a time.
pub(super) const CALLS_MAX: usize = 256;

/// The requests under way, by their ids.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<HashMap<String, CancellationToken>>);

/// One of them. It is over when this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    calls: Arc<Calls>,
    id: String,
    /// Resolves when the client takes the request back.
    pub(super) cancelled: CancellationToken,
}

impl Calls {
    /// Begins a request.
    ///
    /// # Errors
    /// `INVALID_REQUEST` where one of the same id is under way, `SERVER_OVERLOADED` where there are
    /// too many.
    pub(super) fn begin(self: &Arc<Self>, id: &str) -> Result<UnderWay, Error> {
        let id = canonical(id);
        let mut calls = self.lock();
        if calls.contains_key(&id) {
            return Err(Error::new(
                Kind::InvalidRequest,
                format!("a request with the id {id} is under way already"),
            ));
        }
        if calls.len() >= CALLS_MAX {
            return Err(Error::new(
                Kind::ServerOverloaded,
                format!("{CALLS_MAX} requests of this client are under way: wait for one of them"),
            ));
        }
        let cancelled = CancellationToken::new();
        calls.insert(id.clone(), cancelled.clone());
        Ok(UnderWay {
            calls: Arc::clone(self),
            id,
            cancelled,
        })
    }

    /// Takes back the request that a `notifications/cancelled` with these `params` is about.
    pub(super) fn cancel(&self, params: Option<&str>) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Params {
            request_id: Value,
        }
        let Some(Ok(params)) = params.map(serde_json::from_str::<Params>) else {
            return;
        };
        // Over already, or never there: both happen, and mean nothing.
        if let Some(call) = self.lock().get(&params.request_id.to_string()) {
            call.cancel();
        }
    }

    /// Takes back all of them.
    pub(super) fn cancel_all(&self) {
        self.lock().values().for_each(CancellationToken::cancel);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.id);
    }
}

/// An id however it is spelt.
fn canonical(id: &str) -> String {
    serde_json::from_str::<Value>(id).map_or_else(|_| id.to_owned(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_back_by_its_id_however_spelt() {
        let calls = Arc::new(Calls::default());
        let (text, number) = (calls.begin(r#""\u0031""#), calls.begin("1"));
        let (text, number) = (text.expect("begun"), number.expect("another id"));
        assert!(calls.begin(r#""1""#).is_err(), "it is under way");
        calls.cancel(Some(r#"{"requestId":"1"}"#));
        assert!(text.cancelled.is_cancelled() && !number.cancelled.is_cancelled());
        drop(text);
        calls.begin(r#""1""#).expect("the other is over");
        calls.cancel(Some("{}"));
        calls.cancel(None);
        assert!(!number.cancelled.is_cancelled());
    }

    #[test]
    fn there_are_not_too_many() {
        let calls = Arc::new(Calls::default());
        let all: Vec<_> = (0..CALLS_MAX)
            .map(|id| calls.begin(&id.to_string()).expect("room"))
            .collect();
        assert_eq!(
            calls.begin("x").expect_err("full").kind(),
            Kind::ServerOverloaded
        );
        drop(all);
        calls.begin("x").expect("room");
    }
}
