//! Tokens: what nobody signed is refused, and what was signed is read as it was meant.

use std::sync::LazyLock;

use weftbus::{
    access::{
        Claims, Lifetimes, SigningKey, Snapshot,
        claims::Audience,
        issuer::{self, Issuers, KeysFrom},
        proof,
        verify::{Verifier, sign},
    },
    call::Permissions,
    spawn::Tasks,
};

/// Somewhere in 2027.
const NOW: u64 = 1_800_000_000;

struct Mesh {
    key: SigningKey,
    verifier: Verifier,
    stranger: Verifier,
    issuers: Issuers,
    runtime: tokio::runtime::Runtime,
}

/// New keys in each process: no input can hold anything that they signed.
static MESH: LazyLock<Mesh> = LazyLock::new(|| {
    let (key, other) = (SigningKey::generate(), SigningKey::generate());
    let verifier = |key: &SigningKey| Verifier {
        keys: key.public(),
        issuer: "mesh".to_owned(),
        lifetimes: Lifetimes::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let outside = issuer::Options {
        name: "corp".to_owned(),
        issuer: "https://login.example".to_owned(),
        audiences: vec!["https://mesh.example/mcp".to_owned()],
        keys: KeysFrom::Secret(other.seed().as_bytes().to_vec()),
        identity: "sub".to_owned(),
        permissions: Permissions::parse(&["list:*"]).expect("a permission"),
    };
    let tasks = Tasks::new();
    let opened = Issuers::open(vec![outside], &tasks);
    let issuers = runtime.block_on(opened).expect("a secret is enough");
    Mesh {
        verifier: verifier(&key),
        stranger: verifier(&other),
        key,
        issuers,
        runtime,
    }
});

/// A token as it came, or the claims of one as JSON.
pub fn token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    unsigned(text);
    if let Ok(claims) = serde_json::from_str(text) {
        signed(&claims);
    }
    if let Ok(snapshot) = serde_json::from_str::<Snapshot>(text) {
        let keys = MESH.key.public();
        let opened = Snapshot::open(&snapshot.sign(&MESH.key), &keys);
        assert!(opened.is_err() || opened.as_ref() == Ok(&snapshot));
    }
}

fn unsigned(text: &str) {
    let mesh = &*MESH;
    for audience in [Audience::Connect, Audience::Call] {
        let error = (mesh.verifier)
            .verify(text, audience, NOW)
            .expect_err("nobody signed it");
        assert!(!error.to_string().is_empty());
    }
    assert!(Snapshot::open(text, &mesh.key.public()).is_err());
    if let Some(issuer) = mesh.issuers.of(text) {
        let verified = mesh.runtime.block_on(issuer.verify(text, NOW));
        assert!(verified.is_err(), "nobody signed it");
    }
    let made = proof::make(text, "alice", NOW, "0123456789abcdef");
    assert!(made.bytes().all(|byte| byte.is_ascii_graphic()), "{made}");
}

fn signed(claims: &Claims) {
    let mesh = &*MESH;
    let token = sign(claims, &mesh.key);
    for audience in [Audience::Connect, Audience::Call] {
        let Ok(read) = mesh.verifier.verify(&token, audience, NOW) else {
            continue;
        };
        assert_eq!(&read, claims);
        assert_eq!(read.aud, audience);
        assert_eq!(read.iss, "mesh");
        assert_eq!(read.sub, read.server_name);
        assert!(read.exp + 5 > NOW && read.nbf <= NOW + 5);
        assert!(mesh.stranger.verify(&token, audience, NOW).is_err());
        // Whoever acts for somebody is at most the fourth, and no other use of it is.
        if let Some(act) = &read.act {
            assert!(act.chain().count() <= 4);
            assert_eq!(audience, Audience::Call);
        }
        let cut = &token[..token.len() - 4];
        assert!(mesh.verifier.verify(cut, audience, NOW).is_err());
    }
}
