//! The broker's disk fills up, and is freed again.
//!
//! nats-server 2.15.1 answers nothing at all to what it can't write, and the stream stands still
//! until it is started again, also when there is room. One that went on by itself would do too.

use std::time::Duration;

use super::{Scene, disk::Disk};
use crate::process::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let store = tempfile::tempdir().expect("a folder");
    let at = store.path().join("jetstream");
    std::fs::create_dir(&at).expect("ours");
    let disk = Disk::mount(&at, 64 + super::Numbers::read().events / 500);
    let mut scene = Scene::set(store, disk.by()).await;
    let url = scene.node.url();
    scene.read(url.clone(), None).await;
    scene
        .write([url.clone(), url], Duration::from_millis(1500))
        .await;
    let within = scene.numbers.within();

    scene.reaches(300).await;
    disk.fill();
    let blow = scene.in_flight();
    until(within, "the impatient one is told", || scene.refused() > 0).await;
    let said = scene.writers[1].book.failed.values().next();
    let said = said.expect("it was told").1.clone();
    assert!(said.contains("full disk"), "{said}");
    let (status, page) = scene.node.page("healthz").await;
    assert_eq!(status, 503, "{page}");
    assert!(page.to_string().contains("no space left"), "{page}");

    disk.free();
    let (done, refused) = (scene.progress(), scene.refused());
    let mut goes_on = false;
    until(within, "it goes on, or does not", || {
        goes_on = scene.progress() > done;
        goes_on || scene.refused() > refused
    })
    .await;
    if !goes_on {
        scene.node.kill();
        scene.node.again().await;
    }
    let mut table = scene.end("the disk fills up").await;
    table.more = vec![
        ("in flight when it was full", blow as u64),
        ("restarts that it took", u64::from(!goes_on)),
    ];
    eprintln!("{table}");
    assert!(table.failed.0 > 0 && blow > 0, "it was not in use");
}
