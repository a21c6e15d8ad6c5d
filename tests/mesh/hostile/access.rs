//! Cases of who calls and what he may: tokens taken back, messages sent again, grants.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};
use weftbus::mesh::Mesh;

use super::{Mallory, raw::Raw, wire};
use crate::{
    gateway::{Client, Place},
    stage::{PATIENCE, Stage, told},
};

/// Whose token is taken back is refused soon, at the gateway.
pub(super) async fn revoked(place: &Place) -> String {
    let shortly = place.token("shortly", &["call:tools/modern/echo"]).await;
    let client = place.client_with("", &shortly);
    let before = client.call("modern__echo", hello()).await.status;
    let operator = place.stage.caller().await;
    let gone = json!({"name": "shortly"});
    let _gone: Value = operator
        .control("token_revoke", gone)
        .await
        .expect("revoked");
    operator.close().await;
    let end = Instant::now() + PATIENCE;
    loop {
        let said = client.call("modern__echo", hello()).await;
        if said.status != before {
            let case = said.json()["error"]["data"]["kind"].clone();
            let case = case.as_str().unwrap_or("?").to_owned();
            return format!("{before}, then {} {case}", said.status);
        }
        if Instant::now() > end {
            return "it still holds".to_owned();
        }
    }
}

/// A call token is given to who proves that he holds the connect token, not to who has another's
/// id of one.
pub(super) async fn anothers_proof(place: &Place) -> String {
    let alice = Mallory::of(place, "alice", &["call:tools/*"]).await;
    let mallory = Mallory::narrow(place).await;
    let mesh = place
        .stage
        .join(&mallory.issued.token)
        .await
        .expect("let in");
    let held = weftbus::access::exchange::Held::read(&mallory.issued.token).expect("a token");
    let own = held.exchange(&mallory.issued.token);
    let twin = mesh.control::<Value>("token_exchange", json!(own)).await;
    assert!(twin.is_ok(), "his own is exchanged");
    let mut other = held.exchange(&mallory.issued.token);
    other.jti = alice.issued.claims.jti.to_string();
    let said = mesh.control::<Value>("token_exchange", json!(other)).await;
    mesh.close().await;
    said.map_or_else(|error| told(&error), |_| "exchanged".to_owned())
}

/// Secrets that are empty are none: nothing starts with them, and nothing is put in their place.
pub(super) async fn empty_secrets() -> String {
    let stage = Stage::new("servers: {}\n");
    let up = stage.up().await;
    up.stop().await;
    let path = stage.path().join("data/control.json");
    let good = std::fs::read_to_string(&path).expect("secrets");
    let read: Value = serde_json::from_str(&good).expect("JSON");
    let mut tried = 0;
    for (name, _) in read
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(_, v)| v.is_string())
    {
        for weak in ["", "changeme", "secret"] {
            let mut bad = read.clone();
            bad[name] = weak.into();
            std::fs::write(&path, bad.to_string()).expect("ours");
            if let Ok(up) = stage.start().await {
                up.stop().await;
                return format!("it starts with `{weak}` as {name}");
            }
            tried += 1;
        }
    }
    std::fs::write(&path, good).expect("ours");
    let twin = stage.start().await.expect("the twin: what was there");
    twin.stop().await;
    format!("does not start, {tried} times")
}

/// What another sent is no use to who caught it: neither under the other's subject nor under his
/// own.
pub(super) async fn replayed(place: &Place) -> String {
    let alice = Mallory::of(place, "alice", &["call:tools/modern/echo"]).await;
    let mallory = Mallory::narrow(place).await;
    let caught = format!("Authorization: Bearer {}\r\n", alice.call_token());
    let mut raw: Raw = wire::enter(place, &mallory).await;
    raw.publish(
        "weft.v1.req.alice.modern.tools.call.echo",
        "weft.v1.rep.alice.c1.modern.0198a5c0000070008000000000000000",
        &caught,
        b"{}",
    )
    .await;
    let refused = raw.settle().await.0;
    let refused = refused
        .first()
        .map_or("taken", |said| said.trim_start_matches("-ERR '"));
    let refused = refused.split(" for").next().unwrap_or_default().to_owned();
    format!("{refused}, then {}", wire::call(&mut raw, &caught).await)
}

/// The decision is the same whichever revision a client speaks.
pub(super) async fn older_narrow(place: &Place) -> String {
    let token = place.token("older", &["call:tools/modern/echo"]).await;
    let mut codes = Vec::new();
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = place.client_with("", &token).opened(revision).await;
        assert_eq!(
            client.call("modern__echo", hello()).await.code(),
            0,
            "the twin"
        );
        codes.push(client.call("modern__fail", json!({})).await.code());
    }
    codes.dedup();
    let codes: Vec<String> = codes.iter().map(i64::to_string).collect();
    codes.join(", ")
}

/// What is both granted and denied is denied.
pub(super) async fn deny_wins(place: &Place) -> String {
    let who = Grantee::new(place, "overlap", &["call:tools/*"]).await;
    who.grant(json!({"who": "overlap", "permission": "*:tools/modern/e*", "deny": true}))
        .await;
    let said = who.comes_to("modern__echo", hello(), 403).await;
    who.end(said, "modern__fail", json!({})).await
}

/// What is missing is not absent: in doubt it is no.
pub(super) async fn negated_condition(place: &Place) -> String {
    let who = Grantee::new(place, "negated", &["list:tools/modern/echo"]).await;
    let condition = "!(arguments.secret == true)";
    who.grant(json!({"who": "negated", "permission": "call:tools/modern/*", "if": condition}))
        .await;
    let twin = json!({"text": "a", "secret": false});
    who.comes_to("modern__echo", twin.clone(), 200).await;
    let said = who.client.call("modern__echo", hello()).await.status;
    who.end(said, "modern__echo", twin).await
}

/// A value of another type is no value, whatever it looks like.
pub(super) async fn condition_types(place: &Place) -> String {
    let who = Grantee::new(place, "typed", &["list:tools/modern/echo"]).await;
    let condition = "arguments.amount < 200";
    who.grant(json!({"who": "typed", "permission": "call:tools/modern/*", "if": condition}))
        .await;
    let twin = json!({"text": "a", "amount": 100});
    who.comes_to("modern__echo", twin.clone(), 200).await;
    let mut said = 403;
    for amount in [
        json!("100"),
        json!(null),
        json!([100]),
        json!("NaN"),
        json!({}),
    ] {
        let status = who
            .client
            .call("modern__echo", json!({"text": "a", "amount": amount}))
            .await;
        if status.status != 403 {
            said = status.status;
        }
    }
    who.end(said, "modern__echo", twin).await
}

fn hello() -> Value {
    json!({"text": "hello"})
}

/// Somebody who is granted things, and who grants them.
struct Grantee {
    client: Client,
    operator: Mesh,
}

impl Grantee {
    async fn new(place: &Place, name: &str, permissions: &[&str]) -> Self {
        let token = place.token(name, permissions).await;
        Self {
            client: place.client_with("", &token),
            operator: place.stage.caller().await,
        }
    }

    async fn grant(&self, wish: Value) {
        let _granted: Value = self
            .operator
            .control("grant_add", wish)
            .await
            .expect("a grant");
    }

    /// The status, once it is that: every process hears of a change a moment later.
    async fn comes_to(&self, tool: &str, arguments: Value, status: u16) -> u16 {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.client.call(tool, arguments.clone()).await.status;
            if said == status || Instant::now() > end {
                return said;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What came out, beside a twin.
    async fn end(self, said: u16, tool: &str, arguments: Value) -> String {
        let twin = self.client.call(tool, arguments).await.status;
        self.operator.close().await;
        format!("{said}, twin {twin}")
    }
}
