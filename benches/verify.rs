//! What it costs to know who calls: a token that was seen before, and one that was not.
//!
//! `cargo bench --bench verify` prints both in microseconds: the median of a hundred rounds, and the
//! worst round. What an adapter does on every message is exactly this call.

use std::{hint::black_box, time::Duration};

use tokio::time::Instant;
use weftbus::{
    access::{
        Claims, Lifetimes, Role, SigningKey, Snapshot, Trust, claims::Term, now, now_ms, reference,
        snapshot::Revoked, trust::Anchor, verify::sign,
    },
    call::{Permissions, context::Credential},
    name::Identity,
};

const ROUNDS: usize = 100;
const KNOWN: usize = 10_000;
const NEW: usize = 50;

struct Bench {
    key: SigningKey,
    trust: Trust,
    connect: Claims,
}

impl Bench {
    fn new() -> Self {
        let key = SigningKey::generate();
        let name = Identity::new("alice").expect("a name");
        let anchor = Anchor {
            issuer: "mesh".to_owned(),
            keys: key.public(),
        };
        let trust = Trust::new(name.clone(), anchor);
        let told = Snapshot {
            iss: "mesh".to_owned(),
            aud: name.clone(),
            number: 1,
            iat_ms: now_ms(),
            keys: key.public(),
            revoked: Revoked::default(),
            grants: Vec::new(),
        };
        trust.apply(&told.sign(&key)).expect("its own key");
        let permissions = [
            "call:tools/time/*",
            "call:tools/git/git_log",
            "list:tools/*",
        ];
        let permissions = Permissions::parse(&permissions).expect("permissions");
        let term = Term {
            from: now(),
            until: now() + 3600,
        };
        let connect = Claims::connect(&name, &permissions, Role::Caller, "mesh", term);
        Self {
            key,
            trust,
            connect,
        }
    }

    fn token(&self) -> String {
        sign(&self.connect.call(&Lifetimes::default(), now()), &self.key)
    }

    fn check(&self, credential: &Credential) {
        let principal = self
            .trust
            .authenticate(Some(black_box(credential)), "alice");
        black_box(principal).expect("a good token");
    }
}

/// The time of each round, per check.
fn rounds(count: usize, mut round: impl FnMut() -> Duration) -> [f64; 2] {
    let mut took: Vec<f64> = (0..ROUNDS)
        .map(|_| round().as_secs_f64() * 1e6 / count as f64)
        .collect();
    took.sort_by(f64::total_cmp);
    [took[ROUNDS / 2], took[ROUNDS - 1]]
}

#[expect(clippy::print_stderr, reason = "a bench says what it found")]
fn main() {
    let bench = Bench::new();
    let token = bench.token();
    bench.check(&Credential::Bearer(token.as_str().into()));
    let known = Credential::Reference(reference(&token).into());
    let of_known = rounds(KNOWN, || {
        let began = Instant::now();
        (0..KNOWN).for_each(|_| bench.check(&known));
        began.elapsed()
    });
    let of_new = rounds(NEW, || {
        let tokens: Vec<Credential> = (0..NEW)
            .map(|_| Credential::Bearer(bench.token().into()))
            .collect();
        let began = Instant::now();
        tokens.iter().for_each(|token| bench.check(token));
        began.elapsed()
    });
    for (what, [median, worst]) in [("known", of_known), ("new", of_new)] {
        eprintln!("a {what} token: median {median:.2} us, worst round {worst:.2} us");
    }
}
