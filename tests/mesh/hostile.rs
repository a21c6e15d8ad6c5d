//! The bad inputs that a mesh must stand, as rows of one table (`hostile/table.txt`): a number, the
//! way it comes, what is sent, and what becomes of it. Each way is a test that goes through its
//! rows against a whole mesh and a real broker; before and behind them stands the twin that passes.
//!
//! | Way | What is sent |
//! |---|---|
//! | `token` | a token that differs from a good one in one thing, at the gateway and in a message |
//! | `connect` | a token to the broker |
//! | `post`, `body`, `args`, `head`, `tool` | a request at the gateway: [`http`] |
//! | `call`, `publish`, `subscribe` | NATS by hand, with a narrow token: [`wire`] |
//! | `line`, `cli` | to `weft mcp`, and to the command line: [`process`] |
//! | `case` | what takes more than one step: [`cases`], [`access`] |
//! | `elsewhere` | nothing: the test that shows it, by its file and its name |
//! | `later`, `open`, `none` | not there yet; stopped by nothing; nothing there to attack |

mod access;
mod alone;
mod cases;
mod http;
mod process;
mod raw;
mod schema;
mod token;
mod wire;

use std::{collections::BTreeSet, future::Future};

use weftbus::{
    access::{Claims, Lifetimes, now, verify::sign},
    control::{Issued, Secrets},
};

use crate::{gateway::Place, plane::wish, server::root};

const TABLE: &str = include_str!("hostile/table.txt");
const WAYS: [&str; 16] = [
    "token",
    "connect",
    "post",
    "body",
    "args",
    "head",
    "tool",
    "call",
    "publish",
    "subscribe",
    "line",
    "cli",
    "case",
    "elsewhere",
    "later",
    "open",
];

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    number: u8,
    way: &'static str,
    sent: &'static str,
    outcome: &'static str,
}

fn table() -> impl Iterator<Item = Row> {
    let lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let parts: Vec<&str> = line.splitn(4, " | ").map(str::trim).collect();
        let [number, way, sent, outcome] = parts[..] else {
            panic!("four columns: {line}")
        };
        Row {
            number: number.parse().expect("a number"),
            way,
            sent,
            outcome,
        }
    })
}

#[test]
fn every_number_has_its_row() {
    let numbers: BTreeSet<u8> = table().map(|row| row.number).collect();
    assert!(numbers.into_iter().eq(1..=90));
    let strange: Vec<Row> = table()
        .filter(|row| !WAYS.contains(&row.way) && row.way != "none")
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn what_is_shown_elsewhere_is_there() {
    let mut read = 0;
    for row in table().filter(|row| row.way == "elsewhere") {
        let (file, name) = row.sent.split_once("::").expect("a file, and a name");
        let text = std::fs::read_to_string(root().join(file)).expect(file);
        let (before, _) = text.split_once(&format!("fn {name}(")).expect(row.sent);
        let marked = before
            .lines()
            .rev()
            .take(2)
            .any(|line| line.contains("test"));
        assert!(marked, "{} is no test", row.sent);
        read += 1;
    }
    assert!(read > 0);
}

/// Goes through the rows of these ways; all that came out otherwise is told at once.
async fn all_rows<F: Future<Output = String>>(ways: &[&str], mut run: impl FnMut(Row) -> F) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in table().filter(|row| ways.contains(&row.way)) {
        let said = run(row).await;
        count += 1;
        if !said.starts_with(row.outcome) {
            let sent: String = row.sent.chars().take(120).collect();
            wrong.push(format!(
                "{} {} {sent}\n    is to be: {}\n    came out: {said}",
                row.number, row.way, row.outcome
            ));
        }
    }
    assert!(count > 0, "there are rows of {ways:?}");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The bytes that a text of the table stands for.
fn spelt(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("<<") {
        let (word, after) = after.split_once(">>").expect("it is closed");
        out.extend(before.bytes());
        out.extend(meant(word));
        rest = after;
    }
    out.extend(rest.bytes());
    out
}

/// The same as text, where it is one.
fn spelt_text(text: &str) -> String {
    String::from_utf8(spelt(text)).expect("it is text")
}

fn meant(word: &str) -> Vec<u8> {
    let (name, count) = word.split_once(' ').unwrap_or((word, "0"));
    let count: usize = count.parse().expect("a number");
    let text = match name {
        "NUL" => "\0".to_owned(),
        "CR" => "\r".to_owned(),
        "LF" => "\n".to_owned(),
        "TAB" => "\t".to_owned(),
        "SP" => " ".to_owned(),
        "BOM" => "\u{feff}".to_owned(),
        "CYR" => "\u{435}".to_owned(),
        "FF" => return vec![0xff],
        "X" => "x".repeat(count),
        "DEEP" => format!("{}{}", "[".repeat(count), "]".repeat(count)),
        "KEYS" => format!("{{{}}}", vec![r#""":1"#; count].join(",")),
        other => panic!("<<{other}>> means nothing"),
    };
    text.into_bytes()
}

/// Who attacks: what the control plane gave him, and who made it.
struct Mallory {
    secrets: Secrets,
    issued: Issued,
}

impl Mallory {
    /// With these permissions, under this name.
    async fn of(place: &Place, name: &str, permissions: &[&str]) -> Self {
        let control = place.up.plane().control();
        let issued = control.issue_local(wish(name, None, permissions)).await;
        let data = place.stage.path().join("data");
        Self {
            secrets: Secrets::load_or_create(&data).expect("secrets"),
            issued: issued.expect("a token"),
        }
    }

    async fn narrow(place: &Place) -> Self {
        Self::of(place, "mallory", &["call:tools/modern/echo"]).await
    }

    /// What the control plane would give him to call with.
    fn call_claims(&self) -> Claims {
        self.issued.claims.call(&Lifetimes::default(), now())
    }

    fn call_token(&self) -> String {
        sign(&self.call_claims(), self.secrets.signing())
    }
}
