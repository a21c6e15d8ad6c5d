//! How long a revocation takes until it is felt: a hundred of them, one after the other.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{FELT, Place};

/// Revocations. Each takes a connection, a call and a few snapshots.
const COUNT: usize = 100;

/// From the moment that the operator asks for it, to the first call that the adapter refuses. The
/// revoked token is sent over the connection of another one, so that the adapter alone decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_are_each_felt_within_a_second() {
    let place = Place::open().await;
    let operator = place.stage.caller().await;
    let call = &["call:tools/plain/*"];
    let twin = place.issue("alice", call).await;
    let raw = place.raw(&twin).await;
    let mut felt = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let hers = place.issue("alice", call).await;
        let token = place.call_token(&hers);
        assert_eq!(raw.says(Some(&token)).await, "passes");
        let began = Instant::now();
        let jti = json!({"jti": hers.claims.jti});
        let _: Value = operator
            .control("token_revoke", jti)
            .await
            .expect("revoked");
        let mut said = raw.says(Some(&token)).await;
        while said == "passes" && began.elapsed() < FELT {
            said = raw.says(Some(&token)).await;
        }
        assert_eq!(said, "AUTHENTICATION_FAILED TOKEN_REVOKED No");
        felt.push(began.elapsed());
    }
    felt.sort_unstable();
    let ms = |at: Duration| at.as_secs_f64() * 1e3;
    let (median, worst) = (ms(felt[COUNT / 2]), ms(felt[COUNT - 1]));
    eprintln!("revocation to refusal, {COUNT} times: median {median:.1} ms, worst {worst:.1} ms");
    let twins = place.call_token(&twin);
    assert_eq!(raw.says(Some(&twins)).await, "passes", "the twin");
    operator.close().await;
    drop(raw);
    place.close().await;
}
