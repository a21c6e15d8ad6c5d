//! Servers that call for whoever called them: no more than both may, with a token that says both.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use weftbus::{
    access::{self, Claims, Lifetimes, verify::sign},
    bus::{Bounds, Limits, Reach, ServeOptions, Served, serve},
    call::{Call, Reply, service::answer},
    control::Issued,
    error::Error,
    mesh::Mesh,
    name::{Instance, ServerName},
    policy::server,
    telemetry::metric::{Side, Tools},
};

use super::{FELT, Place, hello, says};
use crate::stage::told;

/// A server whose one tool calls another server's tool for its caller, and says what came of it.
struct Agent {
    mesh: Mesh,
    issued: Issued,
    _served: Served,
}

impl Agent {
    async fn serve(place: &Place, name: &str, permissions: &[&str]) -> Self {
        let own = format!("serve:tools/{name}/*");
        let all: Vec<&str> = permissions.iter().copied().chain([own.as_str()]).collect();
        let issued = place.issue(name, &all).await;
        let mesh = place.stage.join(&issued.token).await.expect("let in");
        let acting = mesh.clone();
        let service = answer(move |call: Call| {
            let mesh = acting.clone();
            async move { Ok(reply(&act(&mesh, &call).await)) }
        });
        let trust = mesh.trust().await.expect("trust");
        let policy = server::Options::new(trust, Tools::new(Side::Server));
        let options = ServeOptions {
            server: ServerName::new(name).expect("a name"),
            instance: Instance::random(),
            reach: Reach::Member,
            limits: Limits::default(),
            bounds: Bounds::default(),
            timeout: Duration::from_secs(20),
            load: weftbus::telemetry::load::Load::default(),
        };
        let stack = server::stack(service, policy);
        let served = serve(mesh.link(), options, stack, &place.tasks).await;
        Self {
            mesh,
            issued,
            _served: served.expect("nobody forbids it"),
        }
    }
}

/// What `arguments.via` come to, one after the other: the last one is `plain`'s tool `echo`.
async fn act(mesh: &Mesh, call: &Call) -> String {
    let params: Value = serde_json::from_str(call.request.params().expect("some")).expect("JSON");
    let principal = call.context.principal.as_deref().expect("it was checked");
    let mut via = params["arguments"]["via"]
        .as_array()
        .cloned()
        .expect("an array");
    let acted = async {
        let acting = mesh.acting_for(principal).await?;
        if via.is_empty() && params["arguments"]["says"] == "time" {
            let left = call.context.remaining().as_millis();
            return Ok(format!("{left} {}", call.context.correlation));
        }
        if via.is_empty() {
            let tool = params["arguments"]["tool"].as_str().unwrap_or("echo");
            let server = params["arguments"]["server"].as_str().unwrap_or("plain");
            let ask = acting.tool(server, tool, hello())?.within(&call.context);
            let result = ask.send().await?.tool()?;
            return Ok(if result.is_error() {
                "isError"
            } else {
                "passes"
            }
            .to_owned());
        }
        let next = via.remove(0);
        let next = next.as_str().expect("a name");
        let arguments = json!({"via": via, "says": params["arguments"]["says"]});
        let ask = acting.tool(next, "ask", arguments)?.within(&call.context);
        Ok::<_, Error>(ask.send().await?.tool()?.text())
    };
    acted.await.unwrap_or_else(|error| told(&error))
}

fn reply(said: &str) -> Reply {
    let result = json!({"resultType": "complete", "content": [{"type": "text", "text": said}]});
    Reply {
        body: json!({"jsonrpc": "2.0", "id": 1, "result": result})
            .to_string()
            .into(),
        failed: false,
    }
}

/// What comes of it when `by` asks the agent.
async fn asks(by: &Mesh, agent: &str, arguments: Value) -> String {
    let asked = by.call_tool(agent, "ask", arguments).await;
    asked.map_or_else(|error| told(&error), |said| said.text())
}

const DENIED: &str = "ACCESS_DENIED ACCESS_DENIED No";

#[tokio::test(flavor = "multi_thread")]
async fn who_acts_for_another_can_do_no_more_than_both_may() {
    let place = Place::open().await;
    let both = Agent::serve(&place, "both", &["call:tools/plain/*"]).await;
    let less = Agent::serve(&place, "less", &["call:tools/plain/gr*"]).await;
    let mut meshes = Vec::new();
    for (name, permissions) in [
        (
            "alice",
            &[
                "call:tools/both/*",
                "call:tools/less/*",
                "call:tools/plain/*",
            ][..],
        ),
        ("bob", &["call:tools/both/*", "call:tools/less/*"]),
    ] {
        let issued = place.issue(name, permissions).await;
        meshes.push(place.stage.join(&issued.token).await.expect("let in"));
    }
    let [alice, bob] = &meshes[..] else {
        panic!("two")
    };
    assert_eq!(says(&both.mesh, "plain", "echo", hello()).await, "passes");
    for (by, agent, said) in [
        (alice, "both", "passes"),
        (bob, "both", DENIED),
        (alice, "less", DENIED),
    ] {
        assert_eq!(asks(by, agent, json!({"via": []})).await, said, "{agent}");
    }
    // What is denied to one of them at run time neither does for the other, and then again.
    let operator = place.stage.caller().await;
    for who in ["alice", "both"] {
        let denial = json!({"who": who, "permission": "call:tools/plain/ec*", "deny": true});
        let denied: Value = operator.control("grant_add", denial).await.expect("denied");
        let end = Instant::now() + Duration::from_secs(10);
        let mut said = asks(alice, "both", json!({"via": []})).await;
        while said != DENIED {
            assert!(Instant::now() < end, "{who}: {said}");
            said = asks(alice, "both", json!({"via": []})).await;
        }
        let id = json!({"id": denied["grant"]["id"]});
        let _: Value = operator.control("grant_remove", id).await.expect("there");
        let end = Instant::now() + Duration::from_secs(10);
        while said != "passes" {
            assert!(Instant::now() < end, "{who}: {said}");
            said = asks(alice, "both", json!({"via": []})).await;
        }
    }
    // The control plane's own tools are for callers themselves.
    let invalid = "INVALID_PARAMS INVALID_PARAMS No";
    for (tool, said) in [("server_list", invalid), ("consumer_list", DENIED)] {
        let arguments = json!({"via": [], "server": "weft", "tool": tool});
        assert_eq!(asks(alice, "both", arguments).await, said, "{tool}");
    }
    for mesh in meshes.into_iter().chain([operator, both.mesh, less.mesh]) {
        mesh.close().await;
    }
    place.close().await;
}

/// One budget of time for the whole, and one id to find it by.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_called_on_the_way_has_what_is_left_of_the_time() {
    let place = Place::open().await;
    let may = ["call:tools/second/*", "call:tools/first/*"];
    let first = Agent::serve(&place, "first", &may).await;
    let second = Agent::serve(&place, "second", &may).await;
    let alice = place.issue("alice", &may).await;
    let alice = place.stage.join(&alice.token).await.expect("let in");
    for seconds in [5, 15] {
        let arguments = json!({"via": ["second"], "says": "time"});
        let ask = alice.tool("first", "ask", arguments).expect("a call");
        let ask = ask
            .timeout(Duration::from_secs(seconds))
            .correlated("one-id");
        let said = ask.expect("an id").send().await.expect("an answer");
        let said = said.tool().expect("a result").text();
        let (left, correlation) = said.split_once(' ').expect("two words");
        assert_eq!(correlation, "one-id");
        let left = Duration::from_millis(left.parse().expect("a number"));
        let whole = Duration::from_secs(seconds);
        assert!(left < whole && left > whole / 2, "{left:?} of {whole:?}");
    }
    for mesh in [alice, first.mesh, second.mesh] {
        mesh.close().await;
    }
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_to_act_with_is_its_holders_and_ends_with_either() {
    let place = Place::open().await;
    let agent = Agent::serve(&place, "agent", &["call:tools/plain/*"]).await;
    let alice = place
        .issue("alice", &["call:tools/agent/*", "call:tools/plain/*"])
        .await;
    let other = place.issue("other", &["call:tools/plain/*"]).await;
    let hers = place.call_token(&alice);
    let delegated = |subject: String| {
        let mesh = agent.mesh.clone();
        async move {
            let asked = json!({"subjectToken": subject});
            mesh.control::<Value>("token_delegate", asked).await
        }
    };
    let token = delegated(hers).await.expect("hers");
    let token = token["token"].as_str().expect("a token").to_owned();
    let (as_agent, as_other) = (place.raw(&agent.issued).await, place.raw(&other).await);
    let as_alice = place.raw(&alice).await;
    assert_eq!(as_agent.says(Some(&token)).await, "passes");
    let wrong = "AUTHENTICATION_FAILED TOKEN_WRONG_CALLER No";
    assert_eq!(as_other.says(Some(&token)).await, wrong);
    assert_eq!(as_alice.says(Some(&token)).await, wrong, "nor is it hers");

    // What is no call token of the mesh gives none, and what is deep enough neither.
    let refused = delegated(alice.token.clone())
        .await
        .expect_err("a connect token");
    assert_eq!(
        told(&refused),
        "AUTHENTICATION_FAILED TOKEN_WRONG_AUDIENCE No"
    );
    let lifetimes = Lifetimes::default();
    let mut deep: Claims = alice.claims.call(&lifetimes, access::now());
    for _ in 0..3 {
        deep = deep
            .for_actor(&other.claims, &lifetimes, access::now())
            .expect("four at most");
    }
    let signed = |claims: &Claims| sign(claims, place.secrets.signing());
    delegated(signed(&deep)).await.expect("the fourth");
    let deep = deep.for_actor(&other.claims, &lifetimes, access::now());
    let refused = delegated(signed(&deep.expect("the fourth")))
        .await
        .expect_err("the fifth");
    assert_eq!(told(&refused), DENIED);

    // Once hers is revoked, nobody acts for her.
    let operator = place.stage.caller().await;
    let jti = json!({"jti": alice.claims.jti});
    let began = Instant::now();
    let _: Value = operator
        .control("token_revoke", jti)
        .await
        .expect("revoked");
    let mut said = as_agent.says(Some(&token)).await;
    while said == "passes" && began.elapsed() < FELT {
        said = as_agent.says(Some(&token)).await;
    }
    assert_eq!(said, "AUTHENTICATION_FAILED TOKEN_REVOKED No");
    let again = place.issue("alice", &["call:tools/plain/*"]).await;
    let token = delegated(place.call_token(&again))
        .await
        .expect("not revoked");
    let token = token["token"].as_str().expect("a token");
    assert_eq!(as_agent.says(Some(token)).await, "passes", "the twin");
    for mesh in [operator, agent.mesh] {
        mesh.close().await;
    }
    drop((as_agent, as_other, as_alice));
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_acts_for_the_other_and_each_of_them_is_asked() {
    let place = Place::open().await;
    let mut agents = Vec::new();
    for (name, permissions) in [
        ("first", &["call:tools/second/*", "call:tools/plain/*"][..]),
        ("second", &["call:tools/plain/*"]),
        ("narrow", &["call:tools/second/*"]),
    ] {
        agents.push(Agent::serve(&place, name, permissions).await);
    }
    let alice = place.issue("alice", &["call:tools/*"]).await;
    let alice = place.stage.join(&alice.token).await.expect("let in");
    let via = json!({"via": ["second"]});
    assert_eq!(asks(&alice, "first", via.clone()).await, "passes");
    assert_eq!(asks(&alice, "narrow", via).await, DENIED, "by who began");
    alice.close().await;
    for agent in agents {
        agent.mesh.close().await;
    }
    place.close().await;
}
