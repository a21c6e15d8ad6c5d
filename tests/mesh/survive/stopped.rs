//! A replica that stands still with a call in its socket, and goes on when nobody expects it.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;
use weftbus::policy::retry;

use super::{Shop, charge, signal};
use crate::process::until;

#[tokio::test(flavor = "multi_thread")]
async fn what_lay_before_a_stopped_replica_runs_once_all_the_same() {
    let mut shop = Shop::open(1).await;
    let caller = shop.caller(|options| {
        // Whichever replica an attempt comes to, there is another one.
        options.retry = retry::Options {
            max: 10,
            base: Duration::from_millis(100),
        };
    });
    let caller = caller.await;
    signal(shop.replicas[0].pid(), Signal::STOP);
    let ask = caller
        .tool("charges", "charge", json!({"id": "a"}))
        .expect("a call");
    let ask = ask
        .timeout(Duration::from_secs(50))
        .with_key("k")
        .expect("a key");
    let another = async {
        // The first attempt is before the one that stands still; nobody else is there.
        until(Duration::from_secs(5), "it is sent", || {
            caller.link().calls_under_way() > 0
        })
        .await;
        shop.add(&[], &[]);
    };
    let (answer, ()) = futures_util::join!(ask.send(), another);
    let receipt = answer
        .expect("the other one answered")
        .tool()
        .expect("a result")
        .text();
    assert_eq!(shop.effects_of("a"), 1);
    signal(shop.replicas[0].pid(), Signal::CONT);
    // It has read what lay before it once it answers again itself.
    shop.serve(&caller, 2).await;
    for n in 0..20 {
        charge(&caller, json!({"id": format!("b{n}")}), None)
            .await
            .expect("charged");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(shop.charged_by().len(), 2, "both are in use");
    assert_eq!(shop.effects_of("a"), 1, "still one");
    let again = charge(&caller, json!({"id": "a"}), Some("k")).await;
    assert_eq!(again.expect("told").text(), receipt);
    caller.close().await;
}
