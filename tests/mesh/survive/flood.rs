//! Far more calls at once than a server can answer: who is refused hears it at once, memory keeps to its
//! bound, and nothing is left of it when it is over.

use std::{fs, time::Duration};

use async_nats::{Client, ConnectOptions};
use futures_util::{StreamExt as _, future::join_all, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use weftbus::{
    error::{Error, Kind, Started},
    mesh::Mesh,
};

use super::Shop;
use crate::stage::issue;

/// Connections of callers.
const CALLERS: usize = 20;
/// What the adapter may need beyond what it needs anyway: a line of calls of a few hundred bytes each,
/// and buffers for ten thousand that come at once.
const MEMORY_MAX: u64 = 96 << 20;

/// `make flood` has the full numbers.
#[expect(clippy::disallowed_methods, reason = "the same test, small and large")]
fn calls_at_once() -> usize {
    let full = std::env::var_os("WEFT_FLOOD_FULL").is_some();
    if full { 10_000 } else { 3_000 }
}

async fn counter(by: &Mesh) -> Result<(), Error> {
    let ask = by.tool("charges", "counter", json!({}))?.once();
    ask.send().await?.tool().map(drop)
}

/// What the adapter says of its load.
async fn load(by: &Client) -> Value {
    let stats = by
        .request("$SRV.STATS.charges", "".into())
        .await
        .expect("it answers");
    let stats: Value = serde_json::from_slice(&stats.payload).expect("JSON");
    stats["metadata"].clone()
}

fn number(load: &Value, name: &str) -> u64 {
    load[name]
        .as_str()
        .expect("text")
        .parse()
        .expect("a number")
}

/// Memory of a process, bytes: now, and the most so far.
fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.expect("a line").trim().trim_end_matches(" kB");
        kib.parse::<u64>().expect("a number") << 10
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// How many calls of a busy server end in a second.
async fn rate(by: &[Mesh]) -> f64 {
    let began = Instant::now();
    let calls = stream::iter(0..100).map(|n: usize| counter(&by[n % by.len()]));
    let served = calls.buffer_unordered(16).collect::<Vec<_>>().await;
    assert!(served.iter().all(Result::is_ok), "{served:?}");
    100.0 / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_refused_at_once_and_leaves_nothing_behind() {
    let shop = Shop::open(1).await;
    let operator = shop.stage.caller().await;
    let watch = watcher(&shop).await;
    let mut callers = Vec::new();
    for n in 0..CALLERS {
        let token = issue(&operator, &format!("caller{n}"), &["call:tools/charges/*"]).await;
        let mesh =
            shop.caller(|options| options.token = std::sync::Arc::new(move || token.clone()));
        callers.push(mesh.await);
    }
    let usual = rate(&callers).await;
    let (pid, calls) = (shop.replicas[0].pid(), calls_at_once());
    let (before, _) = memory(pid);
    let began = Instant::now();
    let flood = join_all((0..calls).map(|n| counter(&callers[n % CALLERS]))).await;
    let took = began.elapsed();
    let served = flood.iter().filter(|end| end.is_ok()).count();
    for error in flood.iter().filter_map(|end| end.as_ref().err()) {
        assert_eq!(error.kind(), Kind::ServerOverloaded, "{error:?}");
        assert_eq!(error.has_started(), Started::No);
        assert!(error.comes_back_after().is_some());
    }
    assert!(served >= 1024, "{served}: those in the line were served");
    let (_, peak) = memory(pid);
    // Over: a second later it is as fast as before.
    sleep(Duration::from_secs(1)).await;
    let again = rate(&callers).await;
    let load = load(&watch).await;
    assert_eq!(
        (number(&load, "weft.running"), number(&load, "weft.waiting")),
        (0, 0)
    );
    let refused = number(&load, "weft.refused");
    assert_eq!(refused, u64::try_from(calls - served).expect("few"));
    let within = Duration::from_micros(number(&load, "weft.refused.p99.us"));
    eprintln!(
        "{calls} calls at once on {CALLERS} connections: {served} served in {took:?}, {refused} refused, \
         99 of 100 of them within {within:?}; the adapter had {} MiB before and at most {} MiB; \
         {usual:.0} a second before, {again:.0} a second later",
        before >> 20,
        peak >> 20
    );
    assert!(peak < before + MEMORY_MAX, "{peak} of {before}");
    for mesh in callers {
        mesh.close().await;
    }
    operator.close().await;
}

/// Somebody who may ask what services say of themselves.
async fn watcher(shop: &Shop) -> Client {
    let context = shop.stage.context().expect("a mesh runs here");
    let file = context["tokenFile"].as_str().expect("a token file");
    let token = fs::read_to_string(file).expect("a token");
    // Their answers go nowhere else.
    let options = ConnectOptions::with_token(token).custom_inbox_prefix("weft.v1.srv");
    let url = format!("nats://{}", shop.broker());
    options.connect(url).await.expect("let in")
}
