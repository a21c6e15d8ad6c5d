//! Acknowledgements are lost on the way: the events are stored, and nobody knows.

use super::{
    IMPATIENT, Scene,
    proxy::{PASS_MIN, Proxy},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acknowledgements_lose_no_event_and_double_none() {
    let mut scene = Scene::usual().await;
    let to = scene.node.url().trim_start_matches("nats://").to_owned();
    // A writer gets a hundred bytes for an event, a reader the event: half a kilobyte.
    let events = scene.numbers.events as usize;
    let way = async |pass, seed| Proxy::start(to.clone(), pass, seed).await;
    let ways = [
        way(PASS_MIN..7_000 + events, 7).await,
        way(PASS_MIN..7_000 + events, 8).await,
        way(events * 15..events * 60, 9).await,
    ];
    scene.read(ways[2].url(), None).await;
    let urls = [ways[0].url(), ways[1].url()];
    scene.write(urls, IMPATIENT).await;
    let mut table = scene.end("acknowledgements are lost").await;
    let counts = ways.each_ref().map(Proxy::counts);
    let sum = |what: fn(&super::proxy::Counts) -> u64| counts.iter().map(what).sum();
    table.more = vec![
        ("connections reset", sum(|counts| counts.resets)),
        ("bytes of the broker dropped", sum(|counts| counts.bytes)),
        (
            "acknowledgements among them",
            sum(|counts| counts.acknowledgements),
        ),
    ];
    eprintln!("{table}");
    for counts in counts {
        assert!(counts.resets > 0, "{counts:?}");
    }
    let lost: u64 = sum(|counts| counts.acknowledgements);
    assert!(lost > 0, "no acknowledgement was lost");
    assert!(table.duplicates > 0, "what was stored is known again");
    let patient = &scene.writers[0].book;
    assert_eq!(
        patient.refused(),
        0,
        "the library mends it: {:?}",
        patient.failed
    );
    assert!(table.failed.0 > 0, "no try failed");
}
