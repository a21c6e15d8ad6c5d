//! One line from a server, told apart in one pass: an answer, a request of its own, a notification.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::mcp::members::{Members, span};

/// The answer to one of our requests, and the places in it that are changed on the way.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The line, or the element of a batch.
    pub(super) line: Bytes,
    /// Where its id stands.
    pub(super) id: Range<usize>,
    /// Where its result or error stands.
    pub(super) part: Range<usize>,
    /// Which of both it is.
    pub(super) is_error: bool,
}

/// A notification of the server.
#[derive(Debug)]
pub(super) struct Notification {
    pub(super) line: Bytes,
    pub(super) method: String,
    pub(super) params: Option<Range<usize>>,
}

/// What a server says.
#[derive(Debug)]
pub(super) enum Message {
    Answer(Answer),
    /// A request of its own: the id as it was spelt, and the method.
    Request {
        id: String,
        method: String,
    },
    Notification(Notification),
}

impl Answer {
    /// The id, where it is one of ours: they are numbers.
    pub(super) fn number(&self) -> Option<u64> {
        slice(&self.line, &self.id).parse().ok()
    }

    /// The result as it was spelt; `None` for an error.
    pub(super) fn result(&self) -> Option<&str> {
        (!self.is_error).then(|| slice(&self.line, &self.part))
    }

    /// The error as it was spelt; `None` for a result.
    pub(super) fn error(&self) -> Option<&str> {
        self.is_error.then(|| slice(&self.line, &self.part))
    }

    /// Reads one that is known to be an answer.
    #[cfg(test)]
    pub(super) fn read(line: &str) -> Option<Self> {
        match one(Bytes::copy_from_slice(line.as_bytes())) {
            Ok(Message::Answer(answer)) => Some(answer),
            _ => None,
        }
    }
}

impl Notification {
    /// The members of its parameters.
    pub(super) fn members(&self) -> Members<'_> {
        let params = self.params.as_ref().map(|at| slice(&self.line, at));
        params.and_then(Members::read).unwrap_or_default()
    }

    /// The line as text.
    pub(super) fn text(&self) -> &str {
        slice(&self.line, &(0..self.line.len()))
    }
}

/// The messages of a line: one, or those of a batch (2025-03-26 had them, and no other revision),
/// each with what is wrong with it where it is none. The slices share the line's memory.
pub(super) fn read(line: &Bytes) -> Vec<Result<Message, String>> {
    if !line.trim_ascii_start().starts_with(b"[") {
        return vec![one(line.clone())];
    }
    let Ok(batch) = serde_json::from_slice::<Vec<&RawValue>>(line) else {
        return vec![Err("an array that is not JSON".to_owned())];
    };
    if batch.is_empty() {
        return vec![Err("an empty array".to_owned())];
    }
    batch
        .iter()
        .map(|element| one(line.slice_ref(element.get().as_bytes())))
        .collect()
}

fn one(line: Bytes) -> Result<Message, String> {
    let text = std::str::from_utf8(&line).map_err(|_| "it is not UTF-8".to_owned())?;
    let members: Members<'_> =
        serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"))?;
    let string = |raw: &str| serde_json::from_str::<Cow<'_, str>>(raw).map(Cow::into_owned);
    if members.text("jsonrpc").as_deref() != Some("2.0") {
        return Err(r#"`jsonrpc` is not "2.0""#.to_owned());
    }
    let id = members.get("id").filter(|id| *id != "null");
    if let Some(method) = members.get("method") {
        let method = string(method).map_err(|_| "`method` is no string")?;
        if let Some(id) = id {
            let id = id.to_owned();
            return Ok(Message::Request { id, method });
        }
        let params = members.get("params").map(|params| span(text, params));
        drop(members);
        return Ok(Message::Notification(Notification {
            line,
            method,
            params,
        }));
    }
    let id = span(text, id.ok_or("neither `method` nor `id`")?);
    let (part, is_error) = match (members.get("result"), members.get("error")) {
        (Some(result), None) => (span(text, result), false),
        (None, Some(error)) => (span(text, error), true),
        (Some(_), Some(_)) => return Err("both `result` and `error`".to_owned()),
        (None, None) => return Err("neither `result` nor `error`".to_owned()),
    };
    drop(members);
    Ok(Message::Answer(Answer {
        line,
        id,
        part,
        is_error,
    }))
}

fn slice<'a>(line: &'a [u8], at: &Range<usize>) -> &'a str {
    std::str::from_utf8(&line[at.clone()]).expect("the whole line was checked to be UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(line: &str) -> String {
        let kind = |message: Result<Message, String>| match message {
            Ok(Message::Answer(answer)) => format!("answer {:?}", answer.number()),
            Ok(Message::Request { id, method }) => format!("request {id} {method}"),
            Ok(Message::Notification(said)) => format!("notification {}", said.method),
            Err(_) => "bad".to_owned(),
        };
        let read = read(&Bytes::copy_from_slice(line.as_bytes()));
        read.into_iter().map(kind).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn messages_are_told_apart() {
        for (line, kind) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, "answer Some(7)"),
            (r#"{"error":{},"id":"x","jsonrpc":"2.0"}"#, "answer None"),
            (
                r#"{"jsonrpc":"2.0","id":"7","method":"ping"}"#,
                r#"request "7" ping"#,
            ),
            (r#"{"jsonrpc":"2.0","method":"a/b"}"#, "notification a/b"),
            (r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, "bad"),
            (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":2}"#, "bad"),
            (r#"{"id":1,"result":{}}"#, "bad"),
            (r#"{"jsonrpc":"2.0"}"#, "bad"),
            ("[]", "bad"),
            ("[1,2]", "bad, bad"),
            ("42", "bad"),
            ("INFO started", "bad"),
            (
                r#" [{"jsonrpc":"2.0","id":1,"result":{}}, {"jsonrpc":"2.0","method":"m"},3]"#,
                "answer Some(1), notification m, bad",
            ),
        ] {
            assert_eq!(kinds(line), kind, "{line}");
        }
        assert!(
            read(&Bytes::from_static(b"\xff\xfe"))
                .pop()
                .is_some_and(|m| m.is_err())
        );
    }

    #[test]
    fn an_answer_of_a_batch_is_a_slice_of_its_line() {
        let line = Bytes::from_static(br#"[{"jsonrpc":"2.0","id":12,"result":{"a":1}}]"#);
        let Some(Ok(Message::Answer(answer))) = read(&line).pop() else {
            panic!("an answer");
        };
        assert_eq!(
            (answer.number(), answer.result()),
            (Some(12), Some(r#"{"a":1}"#))
        );
        assert_eq!(answer.error(), None);
    }
}
