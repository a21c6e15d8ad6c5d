//! Who calls, through the whole product: every refusal has an error of its own, comes at once, and
//! has a twin that differs in one thing and passes.

mod acting;
mod granted;
mod keys;
mod renewal;
mod revoked;

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt as _;
use weftbus::{
    access::{self, Claims, Lifetimes, SigningKey, claims::Term, verify::sign},
    app::up::Up,
    bus::{Auth, Bounds, Link, Options as BusOptions, Remote, Tls},
    call::{Call, Context, Permissions, context::Credential},
    control::{Issued, Secrets, Wish},
    error::Error,
    mcp::Request,
    mesh::Mesh,
    name::{Identity, ServerName},
    spawn::Tasks,
};

use crate::stage::{Stage, fixture, real, servers, told};

/// A refusal that takes longer is a timeout by another name.
const AT_ONCE: Duration = Duration::from_secs(2);
/// A revocation is felt everywhere within that.
const FELT: Duration = Duration::from_secs(1);

/// A mesh with the tool `echo` of two servers; the arguments of `checked` are checked by its
/// adapter.
struct Place {
    stage: Stage,
    up: Up,
    secrets: Secrets,
    tasks: Tasks,
}

impl Place {
    async fn open() -> Self {
        let (python, modern) = (real("python"), fixture("modern.py"));
        let mut yaml = servers(&[("plain", &python, &[modern.as_os_str()])]);
        let checked = json!({"command": python, "args": [modern], "validate": "adapter"});
        writeln!(yaml, "  checked: {checked}").expect("a text");
        let stage = Stage::new(&yaml);
        let up = stage.up().await;
        let secrets = Secrets::load_or_create(&stage.path().join("data")).expect("secrets");
        Self {
            stage,
            up,
            secrets,
            tasks: Tasks::new(),
        }
    }

    async fn issue(&self, name: &str, permissions: &[&str]) -> Issued {
        let wish = Wish {
            name: Identity::new(name).expect("a name"),
            permissions: Permissions::parse(permissions).expect("permissions"),
            role: None,
            ttl: None,
            renewable: None,
        };
        let control = self.up.plane().control();
        control.issue_local(wish).await.expect("a token")
    }

    /// A call token as the control plane makes it of this connect token.
    fn call_token(&self, issued: &Issued) -> String {
        let claims = issued.claims.call(&Lifetimes::default(), access::now());
        sign(&claims, self.secrets.signing())
    }

    /// The same, by the key that signs by now.
    fn call_token_now(&self, issued: &Issued) -> String {
        let secrets = Secrets::load_from(&self.stage.path().join("data")).expect("secrets");
        let claims = issued.claims.call(&Lifetimes::default(), access::now());
        sign(&claims, secrets.signing())
    }

    /// A connection that sends whatever token it is told to, which no library of ours would.
    async fn raw(&self, issued: &Issued) -> Raw {
        let to = BusOptions {
            urls: vec![self.up.url().to_owned()],
            identity: issued.claims.sub.clone(),
            auth: Auth::token(issued.token.clone()),
            tls: Tls::default(),
            name: "raw".to_owned(),
            backlog: weftbus::bus::connect::BACKLOG,
        };
        let link = Link::connect(to, &self.tasks).await.expect("let in");
        Raw(Remote::new(link, Bounds::default()))
    }

    async fn close(self) {
        assert!(self.tasks.stop(AT_ONCE).await);
        self.up.stop().await;
    }
}

struct Raw(Remote);

impl Raw {
    /// Calls `echo` of `plain` with this token.
    async fn says(&self, token: Option<&str>) -> String {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"text": "hello"}}});
        let request = Request::parse(body.to_string().into()).expect("a request");
        let mut context = Context::new(Duration::from_secs(20));
        context.credential = token.map(|token| Credential::Bearer(token.into()));
        let server = ServerName::new("plain").expect("a name");
        let called = self.0.clone().oneshot(Call::new(server, request, context));
        let began = Instant::now();
        let outcome = called.await;
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        outcome.map_or_else(
            |error| told(&error),
            |reply| {
                assert!(!reply.failed);
                "passes".to_owned()
            },
        )
    }
}

/// What a call comes to: `passes`, `isError`, or the error.
async fn says(by: &Mesh, server: &str, tool: &str, arguments: Value) -> String {
    let began = Instant::now();
    let outcome = by.call_tool(server, tool, arguments).await;
    assert!(
        began.elapsed() < AT_ONCE,
        "{server} {tool}: {:?}",
        began.elapsed()
    );
    match outcome {
        Ok(result) if result.is_error() => "isError".to_owned(),
        Ok(_) => "passes".to_owned(),
        Err(error) => told(&error),
    }
}

fn hello() -> Value {
    json!({"text": "hello"})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_call_token_is_refused_as_itself() {
    let place = Place::open().await;
    let alice = place.issue("alice", &["call:tools/plain/*"]).await;
    let bob = place.issue("bob", &["call:tools/plain/*"]).await;
    let (raw, good, bobs) = (
        place.raw(&alice).await,
        place.call_token(&alice),
        place.call_token(&bob),
    );
    let hour = Duration::from_secs(3600).as_secs();
    let early = alice
        .claims
        .call(&Lifetimes::default(), access::now() - hour);
    let expired = sign(&early, place.secrets.signing());
    let in_time = alice.claims.call(&Lifetimes::default(), access::now() - 60);
    let in_time = sign(&in_time, place.secrets.signing());
    let same_claims = alice.claims.call(&Lifetimes::default(), access::now());
    let forged = sign(&same_claims, &SigningKey::generate());
    let failed = |case: &str| format!("AUTHENTICATION_FAILED {case} No");
    for (what, token, said) in [
        ("the twin of all", Some(good.as_str()), "passes".to_owned()),
        ("none", None, failed("TOKEN_MISSING")),
        ("garbage", Some("garbage"), failed("TOKEN_INVALID")),
        ("forged", Some(&forged), failed("TOKEN_INVALID")),
        ("expired", Some(&expired), failed("TOKEN_EXPIRED")),
        (
            "its twin of a minute ago",
            Some(&in_time),
            "passes".to_owned(),
        ),
        (
            "a connect token",
            Some(&alice.token),
            failed("TOKEN_WRONG_AUDIENCE"),
        ),
        ("bob's", Some(&bobs), failed("TOKEN_WRONG_CALLER")),
    ] {
        assert_eq!(raw.says(token).await, said, "{what}");
    }
    let bob = place.raw(&bob).await;
    assert_eq!(bob.says(Some(&bobs)).await, "passes", "bob's own, by bob");
    drop((raw, bob));
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_connect_token_is_refused_at_the_door() {
    let place = Place::open().await;
    let alice = place.issue("alice", &["call:tools/plain/*"]).await;
    let mesh = place
        .stage
        .join(&alice.token)
        .await
        .expect("the twin of all");
    assert_eq!(says(&mesh, "plain", "echo", hello()).await, "passes");
    let term = Term {
        from: access::now() - 7200,
        until: access::now() - 3600,
    };
    let Claims { sub, role, iss, .. } = alice.claims.clone();
    let permissions = Permissions::parse(&alice.claims.permissions).expect("permissions");
    let expired = Claims::connect(&sub, &permissions, role, &iss, term);
    let call = place.call_token(&alice);
    // Of what the broker refuses, the holder can tell what the token says itself.
    let forged = sign(&alice.claims, &SigningKey::generate());
    for (what, token, case) in [
        ("none", "", "TOKEN_MISSING"),
        ("garbage", "garbage", "TOKEN_INVALID"),
        (
            "expired",
            &sign(&expired, place.secrets.signing()),
            "TOKEN_EXPIRED",
        ),
        ("forged", &forged, "AUTHENTICATION_FAILED"),
        ("a call token", &call, "TOKEN_WRONG_AUDIENCE"),
    ] {
        let began = Instant::now();
        let refused = place.stage.join(token).await.expect_err(what);
        assert!(began.elapsed() < AT_ONCE, "{what}: {:?}", began.elapsed());
        assert_eq!(
            told(&refused),
            format!("AUTHENTICATION_FAILED {case} No"),
            "{what}"
        );
    }
    assert_eq!(says(&mesh, "plain", "echo", hello()).await, "passes");
    mesh.close().await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_within_a_second() {
    let place = Place::open().await;
    let operator = place.stage.caller().await;
    let alice = place.issue("alice", &["call:tools/plain/*"]).await;
    let twin = place.issue("alice", &["call:tools/plain/*"]).await;
    // Her first token's call token, sent by the connection of her second: only the adapter is
    // asked whether it was revoked, for the connection of the first is cut.
    let (raw, hers, twins) = (
        place.raw(&twin).await,
        place.call_token(&alice),
        place.call_token(&twin),
    );
    let mesh = place.stage.join(&alice.token).await.expect("let in");
    assert_eq!(says(&mesh, "plain", "echo", hello()).await, "passes");
    assert_eq!(raw.says(Some(&hers)).await, "passes");

    let began = Instant::now();
    let jti = json!({"jti": alice.claims.jti});
    let revoked: Value = operator
        .control("token_revoke", jti)
        .await
        .expect("revoked");
    let answered = began.elapsed();
    assert_eq!(revoked["tokens"][0]["sub"], "alice", "{revoked}");
    let mut said = raw.says(Some(&hers)).await;
    while said == "passes" && began.elapsed() < FELT {
        said = raw.says(Some(&hers)).await;
    }
    let felt = began.elapsed();
    eprintln!("revoke answered after {answered:?}, felt after {felt:?}");
    assert_eq!(said, "AUTHENTICATION_FAILED TOKEN_REVOKED No");
    assert!(felt < FELT, "{felt:?}");

    // Her own connection is cut, and made anew in vain.
    let mut said = says(&mesh, "plain", "echo", hello()).await;
    while said == "SERVER_OVERLOADED BROKER_UNAVAILABLE No" && began.elapsed() < FELT {
        said = says(&mesh, "plain", "echo", hello()).await;
    }
    eprintln!("who holds it is told after {:?}", began.elapsed());
    assert_eq!(said, "AUTHENTICATION_FAILED AUTHENTICATION_FAILED No");
    let refused = place
        .stage
        .join(&alice.token)
        .await
        .expect_err("nor at the door");
    assert_eq!(
        refused.kind().name(),
        "AUTHENTICATION_FAILED",
        "{refused:?}"
    );

    assert_eq!(raw.says(Some(&twins)).await, "passes", "the twin");
    let again = place.stage.join(&twin.token).await.expect("the twin");
    assert_eq!(says(&again, "plain", "echo", hello()).await, "passes");
    for mesh in [mesh, again, operator] {
        mesh.close().await;
    }
    drop(raw);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_or_is_not_there_is_said_at_once() {
    let place = Place::open().await;
    let mut meshes = Vec::new();
    for (name, permission) in [
        ("all", "call:tools/*"),
        ("echo", "call:tools/plain/echo"),
        // To the broker `*` in this place: the adapter decides.
        ("some", "call:tools/plain/ec*"),
        ("other", "call:tools/checked/*"),
    ] {
        let issued = place.issue(name, &[permission]).await;
        meshes.push(place.stage.join(&issued.token).await.expect("let in"));
    }
    let [all, echo, some, other] = &meshes[..] else {
        panic!("four")
    };
    let fail = || json!({"message": "as asked"});
    for (by, server, tool, arguments, said) in [
        (all, "plain", "echo", hello(), "passes"),
        (echo, "plain", "echo", hello(), "passes"),
        (
            echo,
            "plain",
            "fail",
            fail(),
            "ACCESS_DENIED ACCESS_DENIED No",
        ),
        (all, "plain", "fail", fail(), "isError"),
        (some, "plain", "echo", hello(), "passes"),
        (
            some,
            "plain",
            "fail",
            fail(),
            "ACCESS_DENIED ACCESS_DENIED No",
        ),
        (
            other,
            "plain",
            "echo",
            hello(),
            "ACCESS_DENIED ACCESS_DENIED No",
        ),
        (other, "checked", "echo", hello(), "passes"),
        (
            all,
            "plane",
            "echo",
            hello(),
            "TOOL_NOT_FOUND SERVER_NOT_FOUND No",
        ),
        (
            all,
            "plain",
            "ecco",
            hello(),
            "TOOL_NOT_FOUND TOOL_NOT_FOUND No",
        ),
        // Arguments are the server's to judge, where nothing else is said.
        (all, "plain", "echo", json!({}), "isError"),
        (
            all,
            "checked",
            "echo",
            json!({}),
            "INVALID_PARAMS INVALID_PARAMS No",
        ),
        (
            all,
            "checked",
            "echo",
            json!({"text": 1}),
            "INVALID_PARAMS INVALID_PARAMS No",
        ),
        (all, "checked", "echo", hello(), "passes"),
    ] {
        let call = format!("{} calls {server} {tool} {arguments}", by.identity());
        assert_eq!(says(by, server, tool, arguments).await, said, "{call}");
    }
    let near: Error = all
        .call_tool("plane", "echo", hello())
        .await
        .expect_err("none");
    assert!(near.message().contains("`plain`"), "{near}");
    let near = all
        .call_tool("plain", "ecco", hello())
        .await
        .expect_err("none");
    assert!(near.message().contains("`echo`"), "{near}");
    for mesh in meshes {
        mesh.close().await;
    }
    place.close().await;
}
