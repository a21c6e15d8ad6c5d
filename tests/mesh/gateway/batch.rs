//! Calls that the gateway sends together, where the configuration says so.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Place;

#[tokio::test(flavor = "multi_thread")]
async fn each_client_gets_his_own_answer_where_calls_go_out_together() {
    let place = Place::with("policy: { batch: { window: 200ms } }\n").await;
    let token = place.token("looker", &["list:*", "call:tools/*"]).await;
    let mesh = place.stage.join(&token).await.expect("let in");
    let entry: Value = mesh
        .control("server_get", json!({"server": "modern"}))
        .await
        .expect("it is there");
    assert_eq!(entry["calls"]["batch"], json!({"max": 10, "windowMs": 200}));
    mesh.close().await;
    let client = place.client("");
    let calls = (0..40).map(|n| {
        let client = client.clone();
        async move {
            let said = client
                .call("modern__echo", json!({"text": format!("I am {n}")}))
                .await;
            assert!(said.body.contains(&format!("I am {n}\"")), "{}", said.body);
        }
    });
    join_all(calls).await;
    place.end().await;
}
