//! Tokens of outside issuers at the gateway: whom they let in, where a client is told to get one,
//! and that they go no further.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use weftbus::{
    access::{Role, now},
    app::up::Up,
    call::Permissions,
    control::Wish,
    error::{Error, Kind},
    mesh::{self, Mesh},
    name::Identity,
};

use super::{Client, Said, issue, read};
use crate::{
    certificates::write,
    stage::{PATIENCE, Stage, example, servers},
    tls::Broker,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const TOOL: &str = "search-aggregator__execute_parallel_search";

/// Everything that passes between the parts of a mesh and its broker.
struct Tap {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
    _tasks: JoinSet<()>,
}

impl Tap {
    async fn before(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", broker)).await;
                let (near, far) = (near.into_split(), far.expect("it listens").into_split());
                passing.spawn(pass(near.0, far.1, Arc::clone(&all)));
                passing.spawn(pass(far.0, near.1, Arc::clone(&all)));
            }
        });
        Self {
            port,
            heard,
            _tasks: tasks,
        }
    }

    fn has(&self, text: &str) -> bool {
        let heard = self.heard.lock().expect("nobody panicked");
        heard
            .windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    heard: Arc<Mutex<Vec<u8>>>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let passed = &bytes[..count];
        heard
            .lock()
            .expect("nobody panicked")
            .extend_from_slice(passed);
        if to.write_all(passed).await.is_err() {
            return;
        }
    }
}

fn jwks(pair: &KeyPair, kid: &str) -> String {
    let point = pair.public_key_raw();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": kid,
        "x": text(&point[1..33]), "y": text(&point[33..])}]})
    .to_string()
}

fn signed(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let mark = crypto::sign(text.as_bytes(), key, algorithm).expect("a signature");
    format!("{text}.{mark}")
}

fn claims(issuer: &str, subject: &str) -> Value {
    json!({"iss": issuer, "aud": "https://mesh.example/mcp", "sub": subject,
        "iat": now(), "exp": now() + 600})
}

/// A token of the issuer with a set of keys.
fn of_corp(pair: &KeyPair, kid: &str, subject: &str) -> String {
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
    let claims = claims("https://as.example", subject);
    signed(&header, &claims, &key, Algorithm::ES256)
}

/// One of the issuer with a secret.
fn of_shop(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    signed(&json!({"alg": "HS256"}), claims, &key, Algorithm::HS256)
}

fn configure(stage: &Stage, port: u16) {
    let search = example("weft-example-search");
    let yaml = servers(&[("search-aggregator", &search, &[])]);
    write(&stage.path(), "secret", SECRET);
    let audiences = "audiences: ['https://mesh.example/mcp']";
    write(
        &stage.path(),
        "weft.yaml",
        &format!(
            "{yaml}nats: {{ url: 'nats://127.0.0.1:{port}' }}\n\
             gateway:\n  issuers:\n\
             \x20   - {{ name: corp, issuer: 'https://as.example', {audiences}, jwks: keys.json, \
             permissions: ['call:tools/*'] }}\n\
             \x20   - {{ name: shop, issuer: shop, {audiences}, secret: {{ file: secret }} }}\n"
        ),
    );
}

async fn call(up: &Up, token: &str) -> Said {
    let client = Client {
        http: reqwest::Client::new(),
        url: up.gateway_url().expect("there is a gateway"),
        token: token.to_owned(),
        session: None,
    };
    let arguments = json!({"query": "x", "providers": ["brave"], "maxResults": 1});
    client.call(TOOL, arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_outside_issuer_lets_in_and_never_travels() {
    let stage = Stage::new("");
    let broker = Broker::start(&stage, "", None).await;
    let tap = Tap::before(broker.port).await;
    let pair = KeyPair::generate().expect("a key");
    write(&stage.path(), "keys.json", &jwks(&pair, "one"));
    configure(&stage, tap.port);
    let up = stage.up().await;

    let token = of_corp(&pair, "one", "alice");
    let said = call(&up, &token).await;
    assert_eq!((said.status, said.code()), (200, 0), "{}", said.body);
    assert!(tap.has("token_vouch") && tap.has("ext-corp-alice"));
    for part in token.split('.').skip(1) {
        assert!(!tap.has(part), "a part of it went to the broker");
    }

    let good = claims("shop", "bob");
    let poor = call(&up, &of_shop(&good)).await;
    assert_eq!(poor.status, 403, "nothing was granted: {}", poor.body);
    for (name, value) in [
        ("aud", json!("https://other.example")),
        ("iss", json!("https://as.example")),
        ("exp", json!(now() - 60)),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        let said = call(&up, &of_shop(&bad)).await;
        assert_eq!(said.status, 401, "{name}: {}", said.body);
    }

    // Another key under the old one's place, without a restart.
    let next = KeyPair::generate().expect("a key");
    let rotated = of_corp(&next, "two", "alice");
    assert_eq!(call(&up, &rotated).await.status, 401);
    write(&stage.path(), "keys.json", &jwks(&next, "two"));
    let taken = async {
        while call(&up, &rotated).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let taken = tokio::time::timeout(PATIENCE, taken).await;
    taken.expect("the new key is taken");
    let said = call(&up, &token).await;
    assert_eq!(said.status, 401, "the old key is gone: {}", said.body);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_token_is_told_where_to_get_one() {
    let stage = Stage::new("");
    let broker = Broker::start(&stage, "", None).await;
    let pair = KeyPair::generate().expect("a key");
    write(&stage.path(), "keys.json", &jwks(&pair, "one"));
    configure(&stage, broker.port);
    let up = stage.up().await;
    let url = up.gateway_url().expect("there is a gateway");
    let base = url.trim_end_matches("/mcp");
    let http = reqwest::Client::new();
    for path in ["/mcp", "/mcp/search-aggregator"] {
        let document = format!("{base}/.well-known/oauth-protected-resource{path}");
        let refused = read(http.post(format!("{base}{path}"))).await;
        assert_eq!(refused.status, 401);
        let pointer = format!(r#"resource_metadata="{document}""#);
        let challenge = refused.header("www-authenticate");
        assert!(challenge.contains(&pointer), "{challenge}");
        let found = read(http.get(&document)).await;
        assert_eq!(found.status, 200);
        let found = found.json();
        assert_eq!(found["resource"], format!("{base}{path}"));
        // The one that is no URL is nowhere to be asked.
        assert_eq!(
            found["authorization_servers"],
            json!(["https://as.example"])
        );
    }
    up.stop().await;

    let stage = Stage::new("servers: {}\n");
    let up = stage.up().await;
    let url = up.gateway_url().expect("there is a gateway");
    let refused = read(http.post(&url)).await;
    let challenge = refused.header("www-authenticate");
    assert_eq!(refused.status, 401);
    assert!(!challenge.contains("resource_metadata"), "{challenge}");
    let base = url.trim_end_matches("/mcp");
    let document = format!("{base}/.well-known/oauth-protected-resource/mcp");
    assert_eq!(read(http.get(document)).await.status, 404);
    up.stop().await;
}

/// What a gateway may say of others, asked for by hand.
#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_alone_vouches_and_gives_what_it_has() {
    let stage = Stage::new("servers: {}\n");
    let up = stage.up().await;
    let url = stage.context().expect("it runs")["natsUrl"].clone();
    let url = url.as_str().expect("a URL");
    let wish = Wish {
        name: Identity::new("gateway").expect("a name"),
        permissions: Permissions::parse(&["list:*", "call:tools/time/*"]).expect("permissions"),
        role: Some(Role::Gateway),
        ttl: None,
        renewable: None,
    };
    let issued = up.plane().control().issue_local(wish).await;
    let gateway = issued.expect("a token").token;
    let gateway = Mesh::connect(mesh::Options::new(url, gateway)).await;
    let gateway = gateway.expect("it joins");
    let root = issue(&up, "root", &["*"]).await;
    let root = Mesh::connect(mesh::Options::new(url, root)).await;
    let root = root.expect("it joins");
    for (what, who, name, permission, refused) in [
        ("the twin", &gateway, "ext-a-b", "call:tools/time/now", None),
        (
            "a member",
            &root,
            "ext-a-b",
            "call:tools/time/now",
            Some(Kind::AccessDenied),
        ),
        (
            "more",
            &gateway,
            "ext-a-b",
            "call:tools/*",
            Some(Kind::AccessDenied),
        ),
        (
            "everything",
            &gateway,
            "ext-a-b",
            "*",
            Some(Kind::AccessDenied),
        ),
        (
            "one of us",
            &gateway,
            "root",
            "call:tools/time/now",
            Some(Kind::InvalidParams),
        ),
    ] {
        let wish = json!({"name": name, "permissions": [permission], "ttlSeconds": 60});
        let said: Result<Value, Error> = who.control("token_vouch", wish).await;
        assert_eq!(said.err().map(|error| error.kind()), refused, "{what}");
    }
    gateway.close().await;
    root.close().await;
    up.stop().await;
}
