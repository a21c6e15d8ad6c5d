//! Events on a real broker.

mod durable;
mod letters;
mod life;
mod measured;
mod outlet;
mod pipe;
mod poison;
mod publish;
mod replay;
mod replayed;
mod tail;
mod tasks;

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::{plane::Plane, process::weft};

/// Our own program, as who holds this token.
pub(crate) fn typed(plane: &Plane, token: &str, words: &[&str]) -> Command {
    let mut command = Command::new(weft());
    command
        .env_clear()
        .env("WEFT_NATS_URL", &plane.url)
        .env("WEFT_TOKEN", token)
        .arg("events")
        .args(words)
        .stdin(Stdio::null());
    command
}

/// What it wrote, by lines.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    let line = |line| serde_json::from_str(line).expect("JSON");
    text.lines().map(line).collect()
}

/// What it said beside that.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A message that a stream keeps.
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) headers: String,
    pub(crate) event: Value,
}

/// The messages of a stream from the first to the last, read behind everybody's back.
pub(crate) async fn stored(plane: &Plane, stream: &str) -> Vec<Stored> {
    let mut all = Vec::new();
    let mut next = 1;
    loop {
        let asked = format!(r#"{{"seq":{next},"next_by_subj":">"}}"#);
        let to = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let answer = plane.keeper.ask(&to, &asked).await.expect("the broker");
        let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        let Some(message) = answer.get("message") else {
            return all;
        };
        let text = |name: &str| {
            let text = message[name].as_str().unwrap_or_default();
            data_encoding::BASE64
                .decode(text.as_bytes())
                .expect("base64")
        };
        all.push(Stored {
            subject: message["subject"].as_str().expect("a subject").to_owned(),
            headers: String::from_utf8(text("hdrs")).expect("headers are ASCII"),
            event: serde_json::from_slice(&text("data")).expect("an event"),
        });
        next = message["seq"].as_u64().expect("a number") + 1;
    }
}
