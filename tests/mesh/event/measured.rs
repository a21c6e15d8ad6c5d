//! `weft bench events` on a real broker, briefly: what it counts, and what the broker says.

use std::time::Duration;

use weftbus::{
    app::bench::{Plan, events, options},
    broker::Search,
};

use crate::{
    process::weft,
    server::{nats_server, root},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bench_counts_is_what_is_stored() {
    nats_server();
    let folder = tempfile::tempdir().expect("a folder");
    let search = Search {
        project_dirs: vec![root().join(".tools/nats")],
        path_var: None,
    };
    let plan = Plan {
        rounds: 1,
        slice: Duration::from_millis(300),
    };
    let mut options = options(&search, folder.path(), None).expect("a folder");
    options.watchdog = Some(weft());
    let report = Box::pin(events::run(plan, options));
    let report = report.await.expect("it runs");
    let (by_weft, by_hand) = (report.acknowledged, report.by_hand_acknowledged);
    assert!(by_weft > 0 && by_hand > 0 && report.bare_acknowledged > 0);
    assert_eq!(by_weft + by_hand, report.stored);
    assert_eq!(report.bare_acknowledged, report.bare_stored);
    assert!(report.durability.always, "{:?}", report.durability);
    let ratios = [
        &report.ratios.publish,
        &report.ratios.lone,
        &report.ratios.lone_by_hand,
        &report.ratios.replay,
    ];
    assert!(ratios.iter().all(|ratio| ratio.median > 0.0), "{ratios:?}");
}
