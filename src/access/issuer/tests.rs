//! Tokens of outside issuers: each bad one differs from one that passes in one thing.

use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PKCS_RSA_SHA256, SigningKey as _};
use serde_json::json;
use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// What a token is signed with.
enum Signer {
    Ec(KeyPair),
    Rsa(KeyPair),
    Secret(Vec<u8>),
}

impl Signer {
    fn ec() -> Self {
        Self::Ec(KeyPair::generate().expect("a key"))
    }

    fn rsa() -> Self {
        Self::Rsa(KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key"))
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
            Self::Secret(_) => "HS256",
        }
    }

    fn sign(&self, text: &str) -> String {
        let bytes = text.as_bytes();
        let mark = |key, algorithm| crypto::sign(bytes, &key, algorithm).expect("a signature");
        match self {
            Self::Ec(pair) => mark(
                EncodingKey::from_ec_der(&pair.serialize_der()),
                Algorithm::ES256,
            ),
            Self::Rsa(pair) => BASE64URL_NOPAD.encode(&pair.sign(bytes).expect("a signature")),
            Self::Secret(secret) => mark(EncodingKey::from_secret(secret), Algorithm::HS256),
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        match self {
            Self::Ec(pair) => {
                let point = pair.public_key_raw();
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig",
                    "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Self::Rsa(pair) => {
                // SEQUENCE { INTEGER of 257 bytes, the first of them zero; INTEGER 65537 }
                let n = &pair.public_key_raw()[9..265];
                json!({"kty": "RSA", "kid": kid, "alg": "RS256", "n": text(n), "e": "AQAB"})
            }
            Self::Secret(_) => unreachable!("a secret is in no set"),
        }
    }
}

fn claims() -> Value {
    json!({"iss": "https://as.example", "aud": "https://mesh.example/mcp", "sub": "alice",
        "exp": NOW + 600, "iat": NOW, "scope": "openid"})
}

fn token(signer: &Signer, kid: &str, claims: &Value) -> String {
    let header = json!({"alg": signer.alg(), "typ": "at+jwt", "kid": kid});
    signed(signer, &header, &claims.to_string())
}

fn signed(signer: &Signer, header: &Value, claims: &str) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let text = format!("{}.{}", part(&header.to_string()), part(claims));
    format!("{text}.{}", signer.sign(&text))
}

fn options(keys: KeysFrom) -> Options {
    Options {
        name: "corp".into(),
        issuer: "https://as.example".into(),
        audiences: vec!["https://mesh.example/mcp".into()],
        keys,
        identity: "sub".into(),
        permissions: Permissions::default(),
    }
}

/// An issuer whose set has an RSA key `r` and an EC key `e`.
struct Place {
    rsa: Signer,
    ec: Signer,
    issuers: Issuers,
    path: PathBuf,
    _dir: tempfile::TempDir,
    tasks: Tasks,
}

impl Place {
    async fn open() -> Self {
        let (rsa, ec) = (Signer::rsa(), Signer::ec());
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("keys.json");
        let set = json!({"keys": [rsa.jwk("r"), ec.jwk("e"), {"kty": "what", "kid": "x"}]});
        fs::write(&path, set.to_string()).expect("written");
        let tasks = Tasks::new();
        let file = KeysFrom::File(path.clone());
        let issuers = Issuers::open(vec![options(file)], &tasks).await;
        Self {
            rsa,
            ec,
            issuers: issuers.expect("good keys"),
            path,
            _dir: dir,
            tasks,
        }
    }

    async fn verify(&self, token: &str) -> Result<Outside, TokenError> {
        verify(&self.issuers, token).await
    }
}

async fn verify(issuers: &Issuers, token: &str) -> Result<Outside, TokenError> {
    let issuer = issuers.of(token).ok_or(TokenError::Issuer)?;
    issuer.verify(token, NOW).await
}

#[tokio::test]
async fn both_kinds_of_keys_are_believed_and_each_lie_is_refused() {
    let place = Place::open().await;
    for (signer, kid) in [(&place.rsa, "r"), (&place.ec, "e")] {
        let good = place.verify(&token(signer, kid, &claims())).await;
        let good = good.expect("the twin of them all");
        assert_eq!(good.identity.as_str(), "ext-corp-alice");
        assert_eq!(good.expires, NOW + 600);
        for (name, value) in [
            ("iss", json!("https://as.example/")),
            ("iss", json!(null)),
            ("aud", json!("https://other.example")),
            ("aud", json!(["https://other.example"])),
            ("aud", json!(null)),
            ("exp", json!(NOW - LEEWAY_S)),
            ("exp", json!("1900000000")),
            ("exp", json!(null)),
            ("exp", json!(1e300)),
            ("nbf", json!(NOW + LEEWAY_S + 1)),
            ("nbf", json!("soon")),
            ("iat", json!(NOW + LEEWAY_S + 1)),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("sub", json!(null)),
        ] {
            let mut bad = claims();
            bad[name] = value.clone();
            let refused = place.verify(&token(signer, kid, &bad)).await;
            assert!(refused.is_err(), "{name}: {value}");
        }
        let twice = claims().to_string().replacen('{', r#"{"sub":"root","#, 1);
        let header = json!({"alg": signer.alg(), "kid": kid});
        assert!(
            place
                .verify(&signed(signer, &header, &twice))
                .await
                .is_err()
        );
        let once = claims().to_string();
        assert!(place.verify(&signed(signer, &header, &once)).await.is_ok());
        let mut several = claims();
        several["aud"] = json!(["https://other.example", "https://mesh.example/mcp"]);
        assert!(place.verify(&token(signer, kid, &several)).await.is_ok());
    }
    place.tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_header_leads_nowhere() {
    let place = Place::open().await;
    let (text, stranger) = (claims().to_string(), Signer::ec());
    let good = json!({"alg": "ES256", "kid": "e"});
    assert!(place.verify(&signed(&place.ec, &good, &text)).await.is_ok());
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("alg", json!("ES384")),
        ("alg", json!(null)),
        ("kid", json!("r")),
        ("kid", json!("x")),
        ("kid", json!("../../etc/passwd")),
        ("kid", json!(null)),
        ("jku", json!("https://as.evil/keys")),
        ("x5u", json!("https://as.evil/cert")),
        ("x5c", json!(["AAAA"])),
        ("jwk", stranger.jwk("e")),
        ("crit", json!(["exp"])),
        ("typ", json!("weft-trust+jwt")),
    ] {
        let mut header = good.clone();
        header[name] = value.clone();
        let refused = place.verify(&signed(&place.ec, &header, &text)).await;
        assert!(refused.is_err(), "{name}: {value}");
    }
    let forged = place.verify(&signed(&stranger, &good, &text)).await;
    assert_eq!(forged, Err(TokenError::Signature));
    // The public key, which everybody knows, as the secret of a MAC.
    let public = fs::read(&place.path).expect("it is there");
    for secret in [public, place.ec.jwk("e")["x"].to_string().into_bytes()] {
        let mac = Signer::Secret(secret);
        for alg in ["HS256", "ES256"] {
            let header = json!({"alg": alg, "kid": "e"});
            assert!(place.verify(&signed(&mac, &header, &text)).await.is_err());
        }
    }
    let unsigned = signed(&place.ec, &json!({"alg": "none"}), &text);
    let unsigned = unsigned.rsplit_once('.').expect("three parts").0;
    assert!(place.verify(&format!("{unsigned}.")).await.is_err());
    place.tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_secret_is_one_and_checks_macs_alone() {
    let tasks = Tasks::new();
    for bad in [
        &SECRET[1..],
        b"",
        &[0; 64],
        b"-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAA",
    ] {
        let keys = KeysFrom::Secret(bad.to_vec());
        let said = Issuers::open(vec![options(keys)], &tasks).await;
        let said = said.expect_err("no secret").to_string();
        assert!(said.contains("`corp`"), "{said}");
    }
    let keys = KeysFrom::Secret(SECRET.to_vec());
    assert_eq!(format!("{keys:?}"), "Secret(***)");
    let issuers = Issuers::open(vec![options(keys)], &tasks).await;
    let issuers = issuers.expect("32 bytes");
    let (good, text) = (Signer::Secret(SECRET.to_vec()), claims().to_string());
    for (what, signer, alg, passes) in [
        ("the twin", &good, "HS256", true),
        ("none", &good, "none", false),
        ("another MAC", &good, "HS512", false),
        ("a signature", &Signer::ec(), "ES256", false),
        ("another", &Signer::Secret(vec![7; 32]), "HS256", false),
    ] {
        let token = signed(signer, &json!({"alg": alg}), &text);
        let checked = verify(&issuers, &token).await;
        assert_eq!(checked.is_ok(), passes, "{what}");
    }
    tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn sets_that_are_refused() {
    let tasks = Tasks::new();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("keys.json");
    let key = Signer::ec().jwk("e");
    let mut private = key.clone();
    private["d"] = json!("AAAA");
    let mut nameless = key.clone();
    nameless["kid"] = json!(null);
    let mut sealing = key.clone();
    sealing["use"] = json!("enc");
    let weak = json!({"kty": "RSA", "kid": "w", "e": "AQAB", "n": "A".repeat(171)});
    for (keys, passes) in [
        (json!([key]), true),
        (json!([key, key]), false),
        (json!([private]), false),
        (json!([nameless]), false),
        (json!([sealing]), false),
        (json!([weak]), false),
        (json!([]), false),
        (json!({}), false),
    ] {
        fs::write(&path, json!({"keys": keys}).to_string()).expect("written");
        let file = options(KeysFrom::File(path.clone()));
        let opened = Issuers::open(vec![file], &tasks).await;
        assert_eq!(opened.is_ok(), passes, "{keys}");
    }
    tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_file_is_rotated_under_way_and_half_a_file_changes_nothing() {
    let place = Place::open().await;
    let (old, next) = (token(&place.ec, "e", &claims()), Signer::ec());
    let new = token(&next, "n", &claims());
    assert!(place.verify(&old).await.is_ok());
    assert!(place.verify(&new).await.is_err());
    let Keys::Set(source) = &place.issuers.0[0].keys else {
        unreachable!("it has a file");
    };
    let mut told = source.told.clone();
    fs::write(&place.path, r#"{"keys": ["#).expect("written");
    let looked = tokio::time::timeout(Duration::from_secs(30), told.changed()).await;
    looked.expect("it is looked at").expect("it is followed");
    assert!(place.verify(&old).await.is_ok(), "what was read is used on");
    let set = json!({"keys": [next.jwk("n")]});
    fs::write(&place.path, set.to_string()).expect("written");
    let taken = async {
        while place.verify(&new).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let taken = tokio::time::timeout(Duration::from_secs(30), taken).await;
    taken.expect("the new key is taken");
    assert!(place.verify(&old).await.is_err(), "the old one is gone");
    place.tasks.stop(Duration::from_secs(5)).await;
}

/// However many tokens name keys that nobody knows, a URL is asked once and not again at once.
#[tokio::test]
async fn unknown_keys_do_not_make_it_ask_without_end() {
    let (tasks, key) = (Tasks::new(), Signer::ec());
    let asked = AtomicUsize::new(0);
    let set = json!({"keys": [key.jwk("e")]}).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let serving = async {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            asked.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 4096];
            assert_ne!(stream.read(&mut head).await.expect("a request"), 0);
            let length = set.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{set}");
            stream.write_all(answer.as_bytes()).await.expect("sent");
        }
    };
    let proof = async {
        let url = KeysFrom::Url(format!("http://{address}/keys"));
        let issuers = Issuers::open(vec![options(url)], &tasks).await;
        let issuers = issuers.expect("a URL");
        let good = token(&key, "e", &claims());
        assert!(verify(&issuers, &good).await.is_ok());
        for n in 0..200 {
            let unknown = token(&key, &format!("k{n}"), &claims());
            assert!(verify(&issuers, &unknown).await.is_err());
        }
        assert!(verify(&issuers, &good).await.is_ok(), "the twin");
    };
    tokio::select! {
        () = serving => {}
        () = proof => {}
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    for url in ["http://as.example/keys", "ftp://127.0.0.1/keys", "no URL"] {
        let url = KeysFrom::Url(url.to_owned());
        assert!(Issuers::open(vec![options(url)], &tasks).await.is_err());
    }
    tasks.stop(Duration::from_secs(5)).await;
}

#[test]
fn no_two_subjects_get_one_name() {
    let long = "x".repeat(300);
    let hash = named("corp", &long);
    let looks_so = hash.strip_prefix("ext-corp-").expect("its beginning");
    let mut names = [
        "alice", "Alice", "auth0|1", "a.b", "", &long, looks_so, "h-",
    ]
    .map(|subject| named("corp", subject))
    .to_vec();
    for name in &names {
        assert!(Identity::new(name).is_ok(), "{name}");
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 8);
    assert_eq!(
        names
            .iter()
            .filter(|name| *name == "ext-corp-alice")
            .count(),
        1
    );
}
