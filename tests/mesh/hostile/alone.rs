//! Somebody with raw NATS and a token for one tool, on two brokers: one that asks the control plane
//! about everybody, and one with one account and no login, where adapters are alone. What each
//! layer stops stands in one table; what the second broker leaves open is what
//! `docs/protocol.md` says of it.

use super::{
    Mallory,
    raw::Raw,
    wire::{bearer, id},
};
use crate::{gateway::Place, upkeep::Foreign};

/// What he does, what becomes of it where the broker asks, and where adapters are alone.
const TABLE: [(Act, &str, &str); 11] = [
    (Act::Call("mallory", "echo", true), "passes", "passes"),
    (
        Act::Call("mallory", "big", true),
        "broker",
        "-32004 ACCESS_DENIED",
    ),
    (
        Act::Call("bob", "echo", true),
        "broker",
        "-32007 TOKEN_WRONG_CALLER",
    ),
    (
        Act::Call("bob", "echo", false),
        "broker",
        "-32007 TOKEN_MISSING",
    ),
    (Act::Issue, "-32004 ACCESS_DENIED", "-32004 ACCESS_DENIED"),
    (Act::Listen, "broker", "hears bob's token"),
    (Act::CallWithWhatHeHeard, "nothing heard", "passes"),
    (Act::Say("weft.v1.evt.bob.task.created"), "broker", "taken"),
    (Act::Say("$KV.WEFT_TOKENS.x"), "broker", "taken"),
    (Act::Say("weft.v1.hb.modern.i1"), "broker", "taken"),
    (Act::TakeCalls, "broker", "taken"),
];

#[derive(Clone, Copy, Debug)]
enum Act {
    /// A call under this name of this tool, with his own call token or none.
    Call(&'static str, &'static str, bool),
    /// A token for himself, by the control plane.
    Issue,
    /// An ear on all of Weft while bob calls.
    Listen,
    /// A call as bob, with the token that he heard.
    CallWithWhatHeHeard,
    /// A message that nobody answers.
    Say(&'static str),
    /// A place in the queue group of a server.
    TakeCalls,
}

/// One mesh, and who is connected to its broker.
struct Scene {
    place: Place,
    mallory: Mallory,
    his: Raw,
    bob: Mallory,
    bobs: Raw,
    heard: Option<String>,
}

impl Scene {
    /// On a broker that asks for tokens, or on one that lets everybody in.
    async fn open(more: &str) -> Self {
        let place = Place::with(more).await;
        let mallory = Mallory::narrow(&place).await;
        let bob = Mallory::of(&place, "bob", &["call:tools/modern/echo"]).await;
        let asked = more.is_empty();
        let (his, bobs) = (
            enter(&place, &mallory, asked).await,
            enter(&place, &bob, asked).await,
        );
        Self {
            place,
            mallory,
            his,
            bob,
            bobs,
            heard: None,
        }
    }

    async fn run(&mut self, act: Act) -> String {
        match act {
            Act::Call(name, tool, own) => {
                let head = if own {
                    bearer(&self.mallory)
                } else {
                    String::new()
                };
                self.call_as(name, tool, &head).await
            }
            Act::Issue => {
                let reply = format!("weft.v1.rep.mallory.c1.weft.{}", id(0));
                let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"token_issue","arguments":{"name":"mallory2","permissions":["*"]}}}"#;
                let to = "weft.v1.req.mallory.weft.tools.call.token_issue";
                let head = bearer(&self.mallory);
                send(&mut self.his, to, &reply, &head, body).await
            }
            Act::Listen => self.listen().await,
            Act::CallWithWhatHeHeard => match self.heard.take() {
                Some(head) => self.call_as("bob", "echo", &head).await,
                None => "nothing heard".to_owned(),
            },
            Act::Say(subject) => {
                self.his.publish(subject, "", "", b"{}").await;
                self.settled().await
            }
            Act::TakeCalls => {
                self.his
                    .send(b"SUB weft.v1.req.*.modern.> weft 5\r\n")
                    .await;
                let said = self.settled().await;
                self.his.send(b"UNSUB 5\r\n").await;
                said
            }
        }
    }

    /// A call under a name, answered where that name is answered: any other reply subject is
    /// dropped.
    async fn call_as(&mut self, name: &str, tool: &str, head: &str) -> String {
        let ear = format!("SUB weft.v1.rep.{name}.c1.> 7\r\n");
        self.his.send(ear.as_bytes()).await;
        self.his.settle().await;
        let said = call(&mut self.his, name, tool, head).await;
        self.his.send(b"UNSUB 7\r\n").await;
        said
    }

    async fn listen(&mut self) -> String {
        self.his.send(b"SUB weft.v1.> 8\r\n").await;
        let refused = self.settled().await;
        let head = bearer(&self.bob);
        assert_eq!(call(&mut self.bobs, "bob", "echo", &head).await, "passes");
        let (_, heard) = self.his.settle().await;
        self.his.send(b"UNSUB 8\r\n").await;
        let his_call = "weft.v1.req.bob.modern.tools.call.echo";
        let told = heard.into_iter().find(|said| said.subject == his_call);
        let token = told.and_then(|said| said.field("Authorization"));
        self.heard = token.map(|token| format!("Authorization: {token}\r\n"));
        match &self.heard {
            Some(_) => "hears bob's token".to_owned(),
            None => refused,
        }
    }

    /// Who refused what was sent so far.
    async fn settled(&mut self) -> String {
        match self.his.settle().await.0.first() {
            Some(refused) if refused.contains("Permissions Violation") => "broker".to_owned(),
            Some(refused) => refused.clone(),
            None => "taken".to_owned(),
        }
    }
}

/// A connection with an ear on its own answers.
async fn enter(place: &Place, who: &Mallory, asked: bool) -> Raw {
    let token = asked.then_some(who.issued.token.as_str());
    let mut raw = Raw::connect(place.up.url(), token).await.expect("let in");
    let ear = format!("SUB weft.v1.rep.{}.c1.> 1\r\n", who.issued.claims.sub);
    raw.send(ear.as_bytes()).await;
    assert!(raw.settle().await.0.is_empty());
    raw
}

/// A call under a name, of a tool of `modern`.
async fn call(by: &mut Raw, name: &str, tool: &str, head: &str) -> String {
    let reply = format!("weft.v1.rep.{name}.c1.modern.{}", id(0));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"hello"}}}}}}"#
    );
    let to = format!("weft.v1.req.{name}.modern.tools.call.{tool}");
    send(by, &to, &reply, head, &body).await
}

async fn send(by: &mut Raw, to: &str, reply: &str, head: &str, body: &str) -> String {
    by.publish(to, reply, head, body.as_bytes()).await;
    let said = by.end_of(reply).await;
    let refused = said.contains("Permissions Violation");
    if refused { "broker".to_owned() } else { said }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_layer_stops_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_broker, url) = Foreign::start(folder.path()).await;
    let mut asked = Scene::open("").await;
    let mut alone = Scene::open(&format!("nats: {{ url: '{url}' }}\n")).await;
    let mut wrong = Vec::new();
    for (act, by_the_broker, by_adapters) in TABLE {
        let said = (asked.run(act).await, alone.run(act).await);
        if (said.0.as_str(), said.1.as_str()) != (by_the_broker, by_adapters) {
            wrong.push(format!("{act:?}: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for scene in [asked, alone] {
        scene.place.end().await;
    }
}
