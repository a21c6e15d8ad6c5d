//! The publisher is killed, again and again, and goes on with what was not acknowledged.

use super::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_publisher_loses_nothing_that_was_acknowledged() {
    let mut scene = Scene::busy().await;
    let mut blows = Vec::new();
    for kill in 1..=scene.numbers.kills {
        scene.reaches(1000 * kill / (scene.numbers.kills + 1)).await;
        // The one that has more to do still.
        let done = |writer: &&mut super::Writer| writer.book.acknowledged.len();
        let writer = scene.writers.iter_mut().min_by_key(done).expect("two");
        blows.push(writer.kill());
        writer.again();
    }
    let mut table = scene.end("the publisher is killed").await;
    table.blows = blows;
    eprintln!("{table}");
    assert!(table.blows.iter().all(|open| *open > 0), "a kill missed");
    assert_eq!(table.failed.1, table.blows.iter().sum::<usize>());
}
