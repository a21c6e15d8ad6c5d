//! A token is known, over or revoked; a snapshot is taken or dropped.

use super::*;
use crate::access::{Role, SigningKey, claims::Term, verify::sign};

struct Mesh {
    key: SigningKey,
    trust: Trust,
    number: u64,
}

impl Mesh {
    fn new() -> Self {
        let key = SigningKey::generate();
        let anchor = Anchor {
            issuer: "mesh".into(),
            keys: key.public(),
        };
        let trust = Trust::new(Identity::new("gh").expect("a name"), anchor);
        Self {
            key,
            trust,
            number: 0,
        }
    }

    fn snapshot(&mut self, revoked: &[Uuid]) -> Snapshot {
        self.number += 1;
        Snapshot {
            iss: "mesh".into(),
            aud: self.trust.identity().clone(),
            number: self.number,
            iat_ms: now_ms(),
            keys: self.key.public(),
            revoked: revoked.iter().copied().collect(),
            grants: Vec::new(),
        }
    }

    fn tell(&mut self, revoked: &[Uuid]) {
        let snapshot = self.snapshot(revoked).sign(&self.key);
        self.trust.apply(&snapshot).expect("a good snapshot");
    }

    fn claims(&self, issued: u64, until: u64) -> Claims {
        let term = Term {
            from: issued,
            until,
        };
        let sub = Identity::new("alice").expect("a name");
        let may = Permissions::parse(&["call:tools/gh/*"]).expect("permissions");
        Claims::connect(&sub, &may, Role::Caller, "mesh", term).call(&Lifetimes::default(), issued)
    }
}

fn bearer(token: &str) -> Credential {
    Credential::Bearer(token.into())
}

fn by_reference(token: &str) -> Credential {
    Credential::Reference(reference(token).into())
}

fn case_of(result: Result<Arc<Principal>, Error>) -> String {
    result.map_or_else(|e| e.case_name().to_owned(), |_| "passes".to_owned())
}

#[tokio::test]
async fn a_token_is_verified_once_and_checked_on_every_message() {
    let mut mesh = Mesh::new();
    let claims = mesh.claims(now(), now() + 600);
    let token = sign(&claims, &mesh.key);
    let ask = |mesh: &Mesh, how: Option<Credential>, who| {
        case_of(mesh.trust.authenticate(how.as_ref(), who))
    };
    let whole = || Some(bearer(&token));
    let short = || Some(by_reference(&token));
    assert_eq!(ask(&mesh, whole(), "alice"), case::TRUST_STALE);
    mesh.tell(&[]);
    assert_eq!(ask(&mesh, None, "alice"), case::TOKEN_MISSING);
    assert_eq!(ask(&mesh, short(), "alice"), case::TOKEN_UNKNOWN);
    assert_eq!(ask(&mesh, whole(), "alice"), "passes");
    assert_eq!(ask(&mesh, short(), "alice"), "passes");
    assert_eq!(ask(&mesh, short(), "bob"), case::TOKEN_WRONG_CALLER);
    assert_eq!(ask(&mesh, whole(), "bob"), case::TOKEN_WRONG_CALLER);
    for revoked in [claims.jti, claims.par.expect("a parent")] {
        mesh.tell(&[revoked]);
        assert_eq!(ask(&mesh, short(), "alice"), case::TOKEN_REVOKED);
        assert_eq!(ask(&mesh, whole(), "alice"), case::TOKEN_REVOKED);
        mesh.tell(&[]);
        assert_eq!(ask(&mesh, short(), "alice"), "passes");
    }
}

#[tokio::test]
async fn a_known_token_ends_when_it_ends() {
    let mut mesh = Mesh::new();
    mesh.tell(&[]);
    // Verified as of then, and over since: the cache must not keep it alive.
    let token = sign(&mesh.claims(now() - 100, now() - 10), &mesh.key);
    let state = mesh.trust.inner.state.load_full();
    mesh.trust
        .verify(&state, &token.as_str().into(), now() - 50)
        .expect("then");
    let said = mesh
        .trust
        .authenticate(Some(&by_reference(&token)), "alice");
    assert_eq!(case_of(said), case::TOKEN_EXPIRED);
}

#[tokio::test(start_paused = true)]
async fn without_snapshots_nobody_is_let_in() {
    let mut mesh = Mesh::new();
    mesh.tell(&[]);
    let token = sign(&mesh.claims(now(), now() + 600), &mesh.key);
    let ask = |mesh: &Mesh| case_of(mesh.trust.authenticate(Some(&bearer(&token)), "alice"));
    tokio::time::advance(AGE_MAX - Duration::from_secs(1)).await;
    assert_eq!(ask(&mesh), "passes");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(ask(&mesh), case::TRUST_STALE);
    mesh.tell(&[]);
    assert_eq!(ask(&mesh), "passes");
}

#[tokio::test]
async fn snapshots_that_are_dropped_and_counted() {
    let mut mesh = Mesh::new();
    mesh.tell(&[]);
    let evil = SigningKey::generate();
    let good = mesh.snapshot(&[]);
    let change = |change: &dyn Fn(&mut Snapshot)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad.sign(&mesh.key)
    };
    let bad = [
        good.sign(&evil),
        "garbage".to_owned(),
        sign(&mesh.claims(now(), now() + 60), &mesh.key),
        change(&|s| s.aud = Identity::new("jira").expect("a name")),
        change(&|s| s.iss = "other".into()),
        change(&|s| s.number = 1),
        change(&|s| s.iat_ms -= 31_000),
        change(&|s| s.iat_ms += 31_000),
    ];
    for (n, bad) in bad.iter().enumerate() {
        assert!(mesh.trust.apply(bad).is_err(), "{n}");
        assert_eq!(mesh.trust.dropped(), n as u64 + 1);
        assert_eq!(mesh.trust.number(), 1);
    }
    mesh.trust.apply(&good.sign(&mesh.key)).expect("the twin");
    let again = mesh.trust.apply(&good.sign(&mesh.key));
    assert!(matches!(again, Err(Dropped::Older { .. })), "twice");
}

#[tokio::test]
async fn a_new_key_takes_over_from_the_old_one() {
    let mut mesh = Mesh::new();
    mesh.tell(&[]);
    let old = bearer(&sign(&mesh.claims(now(), now() + 600), &mesh.key));
    let ask = |mesh: &Mesh, with| case_of(mesh.trust.authenticate(Some(with), "alice"));
    assert_eq!(ask(&mesh, &old), "passes");
    let next = SigningKey::generate();
    let mut both = mesh.snapshot(&[]);
    both.keys = both.keys.with(&next.public());
    mesh.trust
        .apply(&both.sign(&mesh.key))
        .expect("by the old key");
    assert_eq!(ask(&mesh, &old), "passes");
    mesh.key = next;
    mesh.tell(&[]);
    assert_eq!(ask(&mesh, &old), case::TOKEN_INVALID);
    let new = bearer(&sign(&mesh.claims(now(), now() + 600), &mesh.key));
    assert_eq!(ask(&mesh, &new), "passes");
}
