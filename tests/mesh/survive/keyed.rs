//! Thousands of calls that must not run twice, while answers get lost and replicas are stopped and
//! killed: with a key each that ended well had its effect once, and none had it twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, future::join, stream};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};
use weftbus::{error::Error, mesh::Mesh};

use super::{Shop, signal};
use crate::{
    ledger::proxy::{PASS_MIN, Proxy},
    process::kill_9,
};

/// Callers, each with a connection of his own, and calls that each has under way.
const CALLERS: usize = 4;
const EACH: usize = 8;

/// `make once` has the full numbers.
struct Numbers {
    /// With a key, and as many without.
    calls: usize,
    kills: usize,
    stops: usize,
}

impl Numbers {
    #[expect(clippy::disallowed_methods, reason = "the same test, small and large")]
    fn asked_for() -> Self {
        if std::env::var_os("WEFT_ONCE_FULL").is_some() {
            Self {
                calls: 10_000,
                kills: 10,
                stops: 10,
            }
        } else {
            Self {
                calls: 400,
                kills: 2,
                stops: 2,
            }
        }
    }
}

/// What became of one call.
struct Outcome {
    id: String,
    keyed: bool,
    end: Result<String, Error>,
}

/// What all callers have in common.
#[derive(Default)]
struct Progress {
    under_way: AtomicUsize,
    ended: AtomicUsize,
    over: AtomicBool,
}

async fn one(by: &Mesh, n: usize, progress: &Progress) -> Outcome {
    let (id, keyed) = (format!("c{n}"), n.is_multiple_of(2));
    let ask = by.tool("charges", "charge", json!({"id": id, "seconds": 0.02}));
    let mut ask = ask.expect("a call").timeout(Duration::from_secs(20));
    if keyed {
        ask = ask.with_key(&id).expect("a key");
    }
    progress.under_way.fetch_add(1, Ordering::SeqCst);
    let end = ask.send().await.and_then(|answer| answer.tool());
    progress.under_way.fetch_sub(1, Ordering::SeqCst);
    progress.ended.fetch_add(1, Ordering::SeqCst);
    let end = end.map(|result| result.text());
    Outcome { id, keyed, end }
}

/// Stops and kills replicas, each time one that charged in the last half second, with calls under
/// way. Says how many.
async fn strike(shop: &mut Shop, numbers: &Numbers, progress: &Progress) -> (usize, usize) {
    let mut random = StdRng::seed_from_u64(6);
    let (mut kills, mut stops) = (0, 0);
    let total = 2 * numbers.calls;
    let blows = numbers.kills + numbers.stops;
    for blow in 0..blows {
        let due = total * (blow + 1) / (blows + 2);
        while progress.ended.load(Ordering::SeqCst) < due {
            if progress.over.load(Ordering::SeqCst) {
                return (kills, stops);
            }
            sleep(Duration::from_millis(10)).await;
        }
        let Some(at) = busy(shop, &mut random).await else {
            continue;
        };
        assert!(
            progress.under_way.load(Ordering::SeqCst) > 0,
            "calls are in flight"
        );
        let pid = shop.replicas[at].pid();
        if blow.is_multiple_of(2) && kills < numbers.kills {
            kill_9(pid);
            shop.replicas.remove(at);
            shop.add(&[], &[]);
            kills += 1;
        } else {
            signal(pid, Signal::STOP);
            sleep(Duration::from_millis(random.random_range(500..4500))).await;
            signal(pid, Signal::CONT);
            stops += 1;
        }
    }
    (kills, stops)
}

/// A replica whose server had an effect just now.
async fn busy(shop: &Shop, random: &mut StdRng) -> Option<usize> {
    let before = shop.charged_by();
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        sleep(Duration::from_millis(100)).await;
        let now = shop.charged_by();
        let more = |at: &usize| {
            let pids = shop.replicas[*at].servers();
            pids.iter().any(|pid| now.get(pid) > before.get(pid))
        };
        let busy: Vec<usize> = (0..shop.replicas.len()).filter(more).collect();
        if !busy.is_empty() {
            return Some(busy[random.random_range(0..busy.len())]);
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_has_its_effect_twice_and_none_that_ended_well_has_none() {
    let numbers = Numbers::asked_for();
    let mut shop = Shop::open(3).await;
    let broker = shop.broker();
    let proxy = Proxy::start(broker, PASS_MIN..60_000, 6).await;
    let progress = Arc::new(Progress::default());
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let url = proxy.url();
        callers.push(shop.caller(move |options| options.urls = vec![url]).await);
    }
    let calls = stream::iter(0..2 * numbers.calls)
        .map(|n| {
            let (by, progress) = (&callers[n % CALLERS], Arc::clone(&progress));
            async move { one(by, n, &progress).await }
        })
        .buffer_unordered(CALLERS * EACH)
        .collect::<Vec<Outcome>>();
    let calls = async {
        let ends = calls.await;
        progress.over.store(true, Ordering::SeqCst);
        ends
    };
    let (ends, (kills, stops)) = join(calls, strike(&mut shop, &numbers, &progress)).await;
    let counts = proxy.counts();
    // Whatever still lies somewhere has run, or never will.
    let caller = shop.caller(|_| {}).await;
    shop.serve(&caller, 3).await;
    sleep(Duration::from_secs(1)).await;
    let effects = shop.effects_by_call();
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for Outcome { id, keyed, end } in &ends {
        let had = effects.get(id).copied().unwrap_or_default();
        let what = end
            .as_ref()
            .map_or_else(|error| error.case_name().to_owned(), |_| "ok".to_owned());
        let key = if *keyed { "with a key" } else { "without" };
        *told
            .entry(format!("{key}: {what}, {had} effects"))
            .or_default() += 1;
        assert!(had <= 1, "{id} ({key}) had {had} effects: {end:?}");
        if end.is_ok() {
            assert_eq!(had, 1, "{id} ({key}) ended well");
        }
    }
    eprintln!(
        "{kills} kills, {stops} stops, {} resets, {} bytes of answers lost",
        counts.resets, counts.bytes
    );
    for (what, count) in &told {
        eprintln!("{count:>6} {what}");
    }
    assert!(counts.resets > 0 && kills == numbers.kills && stops > 0);
    let failed = ends.iter().filter(|one| one.end.is_err()).count();
    assert!(failed > 0, "nothing was lost: this shows nothing");
    let heard = hear_again(&caller, &ends).await;
    eprintln!("{heard} were asked again and heard the first outcome");
    assert!(heard > 0);
    caller.close().await;
}

/// Who asks again with the same key hears the first outcome. Says how many did.
async fn hear_again(by: &Mesh, ends: &[Outcome]) -> usize {
    let well = ends.iter().filter(|one| one.keyed && one.end.is_ok());
    let asked = well.take(500).map(|one| async move {
        let ask = by.tool("charges", "charge", json!({"id": one.id, "seconds": 0.02}));
        let ask = ask.expect("a call").with_key(&one.id).expect("a key");
        let again = ask.send().await.and_then(|answer| answer.tool());
        assert_eq!(
            again.expect("told").text(),
            *one.end.as_ref().expect("it is ok"),
            "{}",
            one.id
        );
    });
    stream::iter(asked).buffer_unordered(EACH).count().await
}
