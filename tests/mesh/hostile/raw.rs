//! NATS spoken by hand: no library stands between what is sent and the broker.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// Nothing here takes longer where all is well.
const SOON: Duration = Duration::from_secs(20);

/// What the broker says.
pub(super) enum Heard {
    Pong,
    Error(String),
    Message(Message),
}

pub(super) struct Message {
    pub(super) subject: String,
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// The value of a header.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut same = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        same.next().map(|(_, value)| value.trim().to_owned())
    }

    /// Whether it ends the call: no frame of it.
    pub(super) fn is_terminal(&self) -> bool {
        !self.head.to_ascii_lowercase().contains("weft-frame:")
    }

    /// What it comes to: `passes`, `isError`, or the code and the case of the error.
    pub(super) fn outcome(&self) -> String {
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            return format!("no JSON: {}", self.head.trim());
        };
        let error = &body["error"];
        if error.is_null() {
            let failed = body["result"]["isError"] == true;
            return if failed { "isError" } else { "passes" }.to_owned();
        }
        let case = error["data"]["kind"].as_str().unwrap_or("?");
        format!("{} {case}", error["code"])
    }
}

/// A connection.
pub(super) struct Raw(BufReader<TcpStream>);

impl Raw {
    /// Says who it is, and hears whether it is let in.
    pub(super) async fn connect(url: &str, token: Option<&str>) -> Result<Self, String> {
        let address = url.trim_start_matches("nats://");
        let stream = TcpStream::connect(address)
            .await
            .expect("the broker listens");
        let mut raw = Self(BufReader::new(stream));
        raw.line().await;
        let mut says = json!({"verbose": false, "pedantic": false, "headers": true,
            "no_responders": true, "protocol": 1, "lang": "by hand", "version": "1"});
        if let Some(token) = token {
            says["auth_token"] = token.into();
        }
        raw.send(format!("CONNECT {says}\r\n").as_bytes()).await;
        let refused = raw.settle().await.0;
        refused
            .is_empty()
            .then_some(raw)
            .ok_or_else(|| refused.join(", "))
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        // Whoever was cut off is told so by what it hears, or does not.
        drop(self.0.get_mut().write_all(bytes).await);
    }

    /// Publishes a message, with a reply subject and headers.
    pub(super) async fn publish(&mut self, to: &str, reply: &str, head: &str, body: &[u8]) {
        let head = format!("NATS/1.0\r\n{head}\r\n");
        let sizes = format!("{} {}", head.len(), head.len() + body.len());
        let line = format!("HPUB {to} {reply} {sizes}\r\n");
        self.send(&[line.as_bytes(), head.as_bytes(), body, b"\r\n"].concat())
            .await;
    }

    /// All that the broker refused of what was sent so far, and the messages that came.
    pub(super) async fn settle(&mut self) -> (Vec<String>, Vec<Message>) {
        let (mut errors, mut messages) = (Vec::new(), Vec::new());
        self.send(b"PING\r\n").await;
        loop {
            match self.next().await {
                None => {
                    if errors.is_empty() {
                        errors.push("the connection was closed".to_owned());
                    }
                    return (errors, messages);
                }
                Some(Heard::Pong) => return (errors, messages),
                Some(Heard::Error(error)) => errors.push(error),
                Some(Heard::Message(message)) => messages.push(message),
            }
        }
    }

    /// The end of the call that is answered there.
    pub(super) async fn end_of(&mut self, reply: &str) -> String {
        self.end_and_before(reply).await.0
    }

    /// The same, and the ends of others that came before.
    pub(super) async fn end_and_before(&mut self, reply: &str) -> (String, Vec<Message>) {
        let mut before = Vec::new();
        loop {
            match self.next().await {
                None => return ("nothing".to_owned(), before),
                Some(Heard::Error(error)) => return (error, before),
                Some(Heard::Message(said)) if said.subject == reply && said.is_terminal() => {
                    return (said.outcome(), before);
                }
                Some(Heard::Message(said)) if said.is_terminal() => before.push(said),
                Some(_) => {}
            }
        }
    }

    /// What comes next; none: nothing in time, or the connection was closed.
    async fn next(&mut self) -> Option<Heard> {
        loop {
            let line = self.line().await?;
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.first().copied() {
                Some("PING") => self.send(b"PONG\r\n").await,
                Some("PONG") => return Some(Heard::Pong),
                Some("-ERR") => return Some(Heard::Error(line.trim().to_owned())),
                Some(kind @ ("MSG" | "HMSG")) => {
                    let number = |word: &str| word.parse::<usize>().expect("a size");
                    let total = number(words.last()?);
                    let head = if kind == "HMSG" {
                        number(words[words.len() - 2])
                    } else {
                        0
                    };
                    let mut body = vec![0; total + 2];
                    timeout(SOON, self.0.read_exact(&mut body))
                        .await
                        .ok()?
                        .ok()?;
                    let rest = body.split_off(head);
                    return Some(Heard::Message(Message {
                        subject: words[1].to_owned(),
                        head: String::from_utf8_lossy(&body).into_owned(),
                        body: rest[..total - head].to_vec(),
                    }));
                }
                _ => {}
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(SOON, self.0.read_line(&mut line))
            .await
            .ok()?
            .ok()?;
        (read > 0).then_some(line)
    }
}
