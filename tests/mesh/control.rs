//! The control plane on a real broker: who is let in, what is revoked, who may use its tools.

use std::time::Duration;

use async_nats::ConnectOptions;
use serde_json::{Value, json};
use tokio::time::Instant;
use weftbus::{
    access::{
        self, Claims, Lifetimes, Role, SigningKey, claims::Term, exchange::Held, verify::sign,
    },
    call::{Permissions, context::Credential},
    error::{Error, Kind, case},
    mesh::{Mesh, Options},
    name::Identity,
};

use crate::{
    plane::{Plane, wish},
    process::until,
};

/// What the brief of a mesh promises: felt everywhere within a second.
const FELT: Duration = Duration::from_secs(1);

pub(crate) async fn join(plane: &Plane, token: &str) -> Result<Mesh, Error> {
    Mesh::connect(Options::new(plane.url.clone(), token)).await
}

pub(crate) async fn root(plane: &Plane) -> Mesh {
    let issued = plane.issue("root", &["*"]).await;
    join(plane, &issued.token).await.expect("let in")
}

pub(crate) fn kind_of<T>(result: Result<T, Error>) -> (Kind, String) {
    let error = result.err().expect("refused");
    (error.kind(), error.case_name().to_owned())
}

fn claims(sub: &str, until: u64) -> Claims {
    let sub = Identity::new(sub).expect("a name");
    let term = Term {
        from: access::now(),
        until,
    };
    Claims::connect(
        &sub,
        &Permissions::default(),
        Role::Caller,
        "weft-test",
        term,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_let_in_and_who_is_not() {
    let plane = Plane::start().await;
    let good = plane.issue("alice", &["call:tools/gh/*"]).await;
    plane
        .connect("alice", &good.token)
        .await
        .expect("the twin of them all");
    let call = sign(
        &good.claims.call(&Lifetimes::default(), access::now()),
        plane.secrets.signing(),
    );
    let unrecorded = sign(
        &claims("alice", access::now() + 600),
        plane.secrets.signing(),
    );
    let forged = sign(&good.claims, &SigningKey::generate());
    let mut wider = good.claims.clone();
    wider.permissions = vec!["*".to_owned()];
    let rewritten = sign(&wider, plane.secrets.signing());
    for (what, token) in [
        ("none", ""),
        ("garbage", "garbage"),
        ("a forged token", forged.as_str()),
        ("a call token", call.as_str()),
        ("a token without a record", unrecorded.as_str()),
        ("a recorded id, other claims", rewritten.as_str()),
    ] {
        let refused = plane.connect("alice", token).await.err();
        assert_eq!(refused.as_deref(), Some("AuthorizationViolation"), "{what}");
    }
    let nobody = ConnectOptions::new().connect(&plane.url).await;
    assert!(nobody.is_err(), "without credentials");
    let stranger = nkeys::KeyPair::new_user().seed().expect("a seed");
    let stranger = ConnectOptions::with_nkey(stranger)
        .connect(&plane.url)
        .await;
    assert!(stranger.is_err(), "an unknown nkey");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_its_token() {
    let plane = Plane::start().await;
    let mut short = wish("alice", None, &["call:tools/gh/*"]);
    // Long enough to get in on a machine that is busy.
    short.ttl = Some(Duration::from_secs(5));
    let issued = plane.control.issue_local(short).await.expect("a token");
    let peer = plane.connect("alice", &issued.token).await.expect("let in");
    let end = Instant::now() + Duration::from_secs(30);
    while !peer.hears(&["disconnected"]).await {
        assert!(Instant::now() < end, "still connected");
    }
    let refused = plane.connect("alice", &issued.token).await.err();
    assert_eq!(refused.as_deref(), Some("AuthorizationViolation"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_felt_everywhere_within_a_second() {
    let plane = Plane::start().await;
    let root = root(&plane).await;
    let adapter = plane.issue("gh", &["serve:tools/gh/*"]).await;
    let adapter = join(&plane, &adapter.token).await.expect("let in");
    let trust = adapter.trust().await.expect("a snapshot");

    let alice = plane.issue("alice", &["call:tools/gh/*"]).await;
    let twin = plane.issue("alice", &["call:tools/gh/*"]).await;
    let (peer, other) = (
        plane.connect("alice", &alice.token).await.expect("let in"),
        plane.connect("alice", &twin.token).await.expect("let in"),
    );
    let call = |issued: &weftbus::control::Issued| {
        let claims = issued.claims.call(&Lifetimes::default(), access::now());
        Credential::Bearer(sign(&claims, plane.secrets.signing()).into())
    };
    let (hers, twins) = (call(&alice), call(&twin));
    trust.authenticate(Some(&hers), "alice").expect("good");

    let began = Instant::now();
    let revoked: Value = root
        .control("token_revoke", json!({"jti": alice.claims.jti}))
        .await
        .expect("revoked");
    assert_eq!(revoked["connectionsCut"], 1, "{revoked}");
    until(FELT, "the adapter refuses her", || {
        trust
            .authenticate(Some(&hers), "alice")
            .is_err_and(|error| error.is_case(case::TOKEN_REVOKED))
    })
    .await;
    assert!(peer.hears(&["disconnected"]).await, "kicked");
    let refused = plane.connect("alice", &alice.token).await.err();
    assert_eq!(refused.as_deref(), Some("AuthorizationViolation"));
    assert!(began.elapsed() < FELT, "{:?}", began.elapsed());
    let exchanged = join(&plane, &alice.token).await;
    assert_eq!(kind_of(exchanged).0, Kind::AuthenticationFailed);

    trust.authenticate(Some(&twins), "alice").expect("the twin");
    plane.connect("alice", &twin.token).await.expect("the twin");
    other
        .client
        .flush()
        .await
        .expect("the twin's connection lives");
    let all: Value = root
        .control("token_revoke", json!({"name": "alice"}))
        .await
        .expect("revoked");
    assert_eq!(all["tokens"].as_array().map(Vec::len), Some(2), "{all}");
    let listed: Value = root
        .control("token_list", json!({"name": "alice"}))
        .await
        .expect("a list");
    assert_eq!(listed["tokens"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_token_is_had_for_a_proof_and_for_nothing_else() {
    let plane = Plane::start().await;
    let alice = plane.issue("alice", &["call:tools/gh/*"]).await;
    let bob = plane.issue("bob", &["call:tools/gh/*"]).await;
    let mesh = join(&plane, &alice.token)
        .await
        .expect("exchanged at the start");
    let held = |token: &str| Held::read(token).expect("a token").exchange(token);
    let ask = async |arguments: Value| {
        let answer: Result<Value, Error> = mesh.control("token_exchange", arguments).await;
        answer
    };
    let proof = serde_json::to_value(held(&alice.token)).expect("JSON");
    let got = ask(proof.clone()).await.expect("the twin");
    assert!(got["token"].is_string() && got["anchor"]["keys"]["keys"].is_array());
    let invalid = (Kind::AuthenticationFailed, case::TOKEN_INVALID.to_owned());
    assert_eq!(kind_of(ask(proof).await), invalid, "the same proof twice");
    let foreign = serde_json::to_value(held(&bob.token)).expect("JSON");
    assert_eq!(kind_of(ask(foreign).await), invalid, "another's token");
    let mut late = serde_json::to_value(held(&alice.token)).expect("JSON");
    late["at"] = json!(access::now() - 61);
    assert_eq!(kind_of(ask(late).await), invalid, "another time");
    let mut unknown = serde_json::to_value(held(&alice.token)).expect("JSON");
    unknown["jti"] = json!("0198a5c0-0000-7000-8000-000000000000");
    assert_eq!(kind_of(ask(unknown).await), invalid, "no such token");
    let bad = ask(json!({"jti": 7})).await;
    let said = bad.expect_err("refused");
    assert_eq!(said.kind(), Kind::InvalidParams);
    assert!(said.message().contains('`'), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tools_are_for_those_who_may() {
    let plane = Plane::start().await;
    let root = root(&plane).await;
    let alice = plane.issue("alice", &["call:tools/gh/x"]).await;
    let alice = join(&plane, &alice.token).await.expect("let in");
    let wish = json!({"name": "carol", "permissions": ["call:tools/gh/*"], "ttlSeconds": 60});
    for (tool, arguments) in [
        ("token_issue", wish.clone()),
        ("token_list", json!({})),
        ("token_revoke", json!({"name": "root"})),
        (
            "token_inspect",
            json!({"jti": "0198a5c0-0000-7000-8000-000000000000"}),
        ),
        (
            "access_check",
            json!({"who": "root", "permission": "call:tools/gh/x"}),
        ),
    ] {
        let refused: Result<Value, Error> = alice.control(tool, arguments).await;
        assert_eq!(kind_of(refused).0, Kind::AccessDenied, "{tool}");
    }
    let issued: Value = root.control("token_issue", wish).await.expect("the twin");
    let carol = issued["token"].as_str().expect("a token");
    join(&plane, carol).await.expect("let in");
    let jti = &issued["about"]["jti"];
    let about: Value = root
        .control("token_inspect", json!({"jti": jti}))
        .await
        .expect("known");
    assert_eq!(
        (&about["sub"], &about["role"]),
        (&json!("carol"), &json!("caller"))
    );
    assert!(!about.to_string().contains(carol));

    let check = async |mesh: &Mesh, permission: &str| {
        let arguments = json!({"permission": permission});
        let answer: Value = mesh
            .control("access_check", arguments)
            .await
            .expect("an answer");
        let first = &answer["tokens"][0];
        (
            answer["allowed"].clone(),
            first["decidedBy"].clone(),
            first["brokerAllows"].clone(),
        )
    };
    let yes = (json!(true), json!("call:tools/gh/x"), json!(true));
    assert_eq!(check(&alice, "call:tools/gh/x").await, yes);
    let no = (json!(false), Value::Null, json!(false));
    assert_eq!(check(&alice, "call:tools/gh/y").await, no);

    for (wish, why) in [
        (json!({"name": "weft", "permissions": ["*"]}), "Weft itself"),
        (json!({"name": "a.b", "permissions": []}), "`name`"),
        (
            json!({"name": "a", "permissions": ["fly:tools/a/b"]}),
            "`permissions`",
        ),
        (
            json!({"name": "gh", "permissions": [], "role": "server"}),
            "serve:tools/gh/*",
        ),
        (
            json!({"name": "a", "permissions": [], "ttlSeconds": 40 * 86400}),
            "ttl",
        ),
    ] {
        let refused: Result<Value, Error> = root.control("token_issue", wish).await;
        let error = refused.expect_err(why);
        assert_eq!(error.kind(), Kind::InvalidParams);
        assert!(error.message().contains(why), "{error}");
    }
    let unknown: Result<Value, Error> = root.control("server_lst", json!({})).await;
    let error = unknown.expect_err("no such tool");
    assert_eq!(error.kind(), Kind::ToolNotFound);
    assert!(error.message().contains("server_list"), "{error}");
}
