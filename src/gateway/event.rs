//! Server-sent events: what of a call is told before its answer, and streams without an end.

use std::{pin::Pin, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

use super::fault::Answer;
use crate::call::notify::Notifications;

/// A call that is silent for so long answers with a stream: whoever stands between would cut a
/// connection on which nothing comes.
const SILENT_MAX: Duration = Duration::from_secs(15);
/// What keeps a stream open, and is nothing to who reads it.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// A call whose answer is awaited; `None` where the client took it back.
pub(super) type Answering = Pin<Box<dyn Future<Output = Option<Answer>> + Send>>;

/// What a call came to.
pub(super) enum Outcome {
    /// Its answer, before anything else.
    Answered(Option<Answer>),
    /// A stream: something came before the answer.
    Stream(Response),
}

/// Waits for the answer, or for what is said before it. Where the client takes no stream, what is
/// said before is lost to it.
pub(super) async fn outcome(
    mut call: Answering,
    mut said: Notifications,
    streams: bool,
) -> Outcome {
    let until = Instant::now() + SILENT_MAX;
    loop {
        tokio::select! {
            answer = &mut call => {
                let early = said.try_next().filter(|_| streams);
                return match early {
                    None => Outcome::Answered(answer),
                    // Both at once: in order.
                    Some(first) => {
                        let done: Answering = Box::pin(std::future::ready(answer));
                        Outcome::Stream(stream_of(Some(first), done, said))
                    }
                };
            }
            Some(first) = said.next() => if streams {
                return Outcome::Stream(stream_of(Some(first), call, said));
            },
            () = sleep_until(until), if streams => {
                return Outcome::Stream(stream_of(None, call, said));
            }
        }
    }
}

/// Where a stream of events is.
enum At {
    Running(Answering, Notifications),
    /// What was said before the answer still has to go out before it.
    Answered(Option<Bytes>, Notifications),
}

impl At {
    /// The next event, and what comes behind it; nothing at the end.
    async fn next(self) -> Option<(Bytes, Option<Self>)> {
        let (mut call, mut said) = match self {
            Self::Running(call, said) => (call, said),
            Self::Answered(last, said) => return Self::last(last, said),
        };
        let until = Instant::now() + SILENT_MAX;
        tokio::select! {
            biased;
            Some(more) = said.next() => Some((event(&more), Some(Self::Running(call, said)))),
            answer = &mut call => Self::last(answer.map(|answer| event(&answer.body)), said),
            () = sleep_until(until) => Some((COMMENT, Some(Self::Running(call, said)))),
        }
    }

    fn last(last: Option<Bytes>, mut said: Notifications) -> Option<(Bytes, Option<Self>)> {
        match said.try_next() {
            Some(more) => Some((event(&more), Some(Self::Answered(last, said)))),
            None => last.map(|last| (last, None)),
        }
    }
}

/// The rest of a call as events: what is said, then the answer. Dropping it drops the call.
fn stream_of(first: Option<Bytes>, call: Answering, said: Notifications) -> Response {
    let first = stream::iter([first.map_or(COMMENT, |first| event(&first))]);
    let rest = stream::unfold(Some(At::Running(call, said)), |at| async move {
        at?.next().await
    });
    response(first.chain(rest))
}

/// A stream of messages that has no end of its own; a comment stands in for a silence.
pub(super) fn messages(messages: impl Stream<Item = Option<String>> + Send + 'static) -> Response {
    response(messages.map(|message| message.map_or(COMMENT, |text| event(text.as_bytes()))))
}

/// A stream that ends at once: the request was taken back, and has no answer.
pub(super) fn nothing() -> Response {
    response(stream::empty())
}

fn response(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(events.map(Ok::<_, std::convert::Infallible>));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    let fixed = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, fixed("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, fixed("no-store"));
    // A buffering proxy would keep progress back until the end.
    headers.insert("x-accel-buffering", fixed("no"));
    response
}

/// One message as an event. Line ends can stand in it between tokens only.
fn event(message: &[u8]) -> Bytes {
    const HEAD: &[u8] = b"event: message\ndata: ";
    let mut event = Vec::with_capacity(HEAD.len() + message.len() + 2);
    event.extend_from_slice(HEAD);
    if memchr::memchr2(b'\n', b'\r', message).is_none() {
        event.extend_from_slice(message);
    } else {
        let blank = |byte: &u8| {
            if matches!(byte, b'\n' | b'\r') {
                b' '
            } else {
                *byte
            }
        };
        event.extend(message.iter().map(blank));
    }
    event.extend_from_slice(b"\n\n");
    event.into()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::call::Notify;

    fn after(time: Duration) -> Answering {
        Box::pin(async move {
            tokio::time::sleep(time).await;
            Some(Answer::carried(Bytes::from_static(b"{\"n\":\n1}")))
        })
    }

    async fn text(outcome: Outcome) -> String {
        let Outcome::Stream(response) = outcome else {
            panic!("no stream");
        };
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body().collect().await.expect("a body");
        String::from_utf8(body.to_bytes().into()).expect("text")
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_answer_is_no_stream() {
        let (_notify, said) = Notify::channel();
        let outcome = outcome(after(Duration::from_secs(1)), said, true).await;
        assert!(matches!(outcome, Outcome::Answered(Some(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_before_the_answer_comes_before_it() {
        let (notify, said) = Notify::channel();
        notify.send(Bytes::from_static(b"1"));
        notify.send(Bytes::from_static(b"2"));
        let streamed = text(outcome(after(Duration::from_secs(1)), said, true).await).await;
        assert_eq!(
            streamed,
            "event: message\ndata: 1\n\nevent: message\ndata: 2\n\nevent: message\ndata: {\"n\": 1}\n\n"
        );
        let (notify, said) = Notify::channel();
        notify.send(Bytes::from_static(b"1"));
        let whole = outcome(after(Duration::from_secs(1)), said, false).await;
        assert!(
            matches!(whole, Outcome::Answered(Some(_))),
            "it takes no stream"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_silence_becomes_a_stream_that_is_kept_open() {
        let (_notify, said) = Notify::channel();
        let streamed = text(outcome(after(SILENT_MAX * 5 / 2), said, true).await).await;
        assert_eq!(streamed, ":\n\n:\n\nevent: message\ndata: {\"n\": 1}\n\n");
    }
}
