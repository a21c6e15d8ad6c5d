//! Calls as tasks: that one began and how it ended, as events of its server.
//!
//! It costs a call a place in a queue, and nothing else: events are made, and stored, elsewhere. A
//! call takes two places when it begins, or none, so that of each that is told the end is told too,
//! whatever the end: a call that is dropped was cancelled. What was said in a call is not in its
//! events.

mod recorder;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use chrono::{DateTime, Utc};
use tokio::{sync::mpsc, time::Instant};
use tower::Service;

pub use self::recorder::Recorder;
use crate::{
    call::{Call, CallFuture, CallService, Reply, context::Correlation},
    error::{Error, Kind},
    name::{Identity, ServerName},
};

/// Tells of what passes.
#[derive(Clone, Debug)]
pub struct TaskEvents<S> {
    recorder: Recorder,
    inner: S,
}

impl<S> TaskEvents<S> {
    /// Tells `recorder` of calls to `inner`.
    pub const fn new(recorder: Recorder, inner: S) -> Self {
        Self { recorder, inner }
    }
}

impl<S: CallService> Service<Call> for TaskEvents<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let Some(running) = self.recorder.begin(&call) else {
            return self.inner.call(call);
        };
        let next = self.inner.call(call);
        Box::pin(async move {
            let outcome = next.await;
            running.end(&outcome);
            outcome
        })
    }
}

/// A step of a call, on its way to its event.
#[derive(Debug)]
struct Step {
    /// When it was.
    at: DateTime<Utc>,
    /// The task; not the call's own id, which is a secret of its two ends.
    task: Arc<str>,
    correlation: Correlation,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Began {
        server: ServerName,
        tool: String,
        caller: Option<Identity>,
    },
    Done {
        ms: u64,
    },
    Failed {
        why: String,
        code: Option<i64>,
        attempt: u8,
    },
}

/// A call that was told to have begun.
#[derive(Debug)]
struct Running {
    /// The place of its end in the queue.
    room: Option<mpsc::OwnedPermit<recorder::Item>>,
    task: Arc<str>,
    correlation: Correlation,
    began: Instant,
    attempt: u8,
}

impl Running {
    fn end(mut self, outcome: &Result<Reply, Error>) {
        let what = match outcome {
            Ok(reply) if !reply.failed => What::Done {
                ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            },
            // What it said is for its caller; an error may have words of the server in it as well.
            Ok(_) => self.failed(
                "the server answered with an error".to_owned(),
                Some(Kind::ToolExecutionError),
            ),
            Err(error) => {
                let (kind, case) = (error.kind(), error.case_name());
                let case = Some(case).filter(|case| *case != kind.name());
                let case = case.map_or_else(String::new, |case| format!(" ({case})"));
                self.failed(format!("the call ended with {kind}{case}"), Some(kind))
            }
        };
        self.say(what);
    }

    fn failed(&self, why: String, kind: Option<Kind>) -> What {
        What::Failed {
            why,
            code: kind.map(Kind::code),
            attempt: self.attempt,
        }
    }

    fn say(&mut self, what: What) {
        if let Some(room) = self.room.take() {
            room.send(recorder::Item::Step(Box::new(Step {
                at: Utc::now(),
                task: Arc::clone(&self.task),
                correlation: self.correlation.clone(),
                what,
            })));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.room.is_some() {
            let what = self.failed("the call was cancelled before it ended".to_owned(), None);
            self.say(what);
        }
    }
}

#[cfg(test)]
mod tests;
