//! Answers that are kept of real servers: one call for all that ask the same, and nothing old once a
//! server said that it changed.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use weftbus::mesh::Mesh;

use crate::stage::{Process, Stage, fixture, issue, real};

/// A mesh whose `charges` and `docs` have answers that are kept.
struct Place {
    stage: Stage,
    _mesh: Process,
}

impl Place {
    async fn open() -> Self {
        let stage = Stage::new("servers: {}\n");
        say(&stage, "one");
        let (words, effects) = (
            stage.path().join("words.json"),
            stage.path().join("effects"),
        );
        let servers = json!({
            "charges": {
                "command": real("python"), "args": [fixture("charges.py"), effects],
                "cache": {"tools": {"charge": "1h"}},
            },
            "docs": {
                "command": real("python1"), "args": [fixture("fickle.py"), words],
                "cache": {"methods": {"tools/list": "1h"}},
            },
        });
        let yaml = format!("servers: {servers}\n");
        fs::write(stage.path().join("weft.yaml"), yaml).expect("ours");
        let mesh = Process::start(&stage).await;
        Self { stage, _mesh: mesh }
    }

    /// How often a call had its effect.
    fn effects_of(&self, id: &str) -> usize {
        let text = fs::read_to_string(self.stage.path().join("effects"));
        let text = text.unwrap_or_default();
        text.lines()
            .filter(|line| line.starts_with(&format!("{id} ")))
            .count()
    }
}

/// What the tool `search` of `docs` says of itself when it reads that again.
fn say(stage: &Stage, description: &str) {
    let words = json!({"search": description}).to_string();
    fs::write(stage.path().join("words.json"), words).expect("ours");
}

/// The answer of `charge`.
async fn charge(by: &Mesh, arguments: Value) -> String {
    let ask = by.tool("charges", "charge", arguments).expect("a call");
    let answer = ask.send().await.expect("an answer");
    answer.tool().expect("a result").text()
}

/// What `search` says of itself as this caller sees it.
async fn described(by: &Mesh) -> String {
    let tools = by.list_tools("docs").await.expect("a list");
    let tools = tools
        .iter()
        .map(|tool| serde_json::from_str::<Value>(tool.get()).expect("JSON"));
    let mut search = tools.filter(|tool| tool["name"] == "search");
    let found = search.next().expect("it is there");
    found["description"].as_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_that_ask_the_same_are_one_call_for_each_principal() {
    let place = Place::open().await;
    let owner = place.stage.caller().await;
    let same = json!({"id": "same", "seconds": 0.5});
    let answers = join_all((0..1000).map(|_| charge(&owner, same.clone()))).await;
    assert_eq!(answers.len(), 1000);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "one answer"
    );
    assert_eq!(place.effects_of("same"), 1);

    let token = issue(&owner, "bob", &["call:tools/charges/*"]).await;
    let bob = place.stage.join(&token).await.expect("let in");
    assert_ne!(charge(&bob, same.clone()).await, answers[0], "his own");
    assert_eq!(place.effects_of("same"), 2);

    // The same tool with other arguments, and another tool with the same, are other calls.
    charge(&owner, json!({"id": "other"})).await;
    for _ in 0..2 {
        let refund = owner.tool("charges", "refund", json!({"id": "other"}));
        refund.expect("a call").send().await.expect("an answer");
    }
    assert_eq!(place.effects_of("other"), 3, "nobody declared `refund`");
    bob.close().await;
    owner.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_kept_is_forgotten_when_the_server_says_that_it_changed() {
    let place = Place::open().await;
    let owner = place.stage.caller().await;
    let reread = async |quiet: bool| {
        let ask = owner.tool("docs", "reread", json!({"quiet": quiet}));
        ask.expect("a call").send().await.expect("an answer");
    };
    assert_eq!(described(&owner).await, "one");
    say(&place.stage, "two");
    reread(true).await;
    assert_eq!(
        described(&owner).await,
        "one",
        "it said nothing: what is kept answers"
    );
    reread(false).await;
    let mut seen = String::new();
    for _ in 0..100 {
        seen = described(&owner).await;
        if seen == "two" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen, "two");
    owner.close().await;
}
