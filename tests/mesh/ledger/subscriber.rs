//! The subscriber is killed between the effect of an event and its answer.

use serde_json::{Value, json};

use super::{IMPATIENT, Scene, reader::DURABLE};
use crate::{control::root, process::until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_subscriber_has_each_effect_once() {
    let mut scene = Scene::usual().await;
    let url = scene.node.url();
    let kills = scene.numbers.kills;
    let dies_with = Some((scene.numbers.events / (kills + 1)) as usize);
    scene.read(url.clone(), dies_with).await;
    scene.write([url.clone(), url], IMPATIENT).await;
    let mut blows = Vec::new();
    let within = scene.numbers.within();
    let reader = scene.reader.as_mut().expect("it reads");
    for kill in 1..=kills {
        until(within, "the reader dies", || reader.is_dead()).await;
        reader.effects.refresh();
        blows.push(reader.effects.unanswered());
        reader.again(dies_with.filter(|_| kill < kills));
    }
    let mut table = scene.end("the subscriber is killed").await;
    table.blows = blows;
    eprintln!("{table}");
    assert!(table.blows.iter().all(|open| *open > 0), "a kill missed");
    assert!(table.effects.1 >= kills as usize, "each of them came again");

    let mesh = root(&scene.plane).await;
    let listed: Value = mesh
        .control("consumer_list", json!({}))
        .await
        .expect("told");
    let own = listed["consumers"].as_array().expect("a list").iter();
    let left = own.map(|one| {
        assert_eq!(one["name"], DURABLE);
        one["pending"].as_u64().expect("a number") + one["unanswered"].as_u64().expect("a number")
    });
    assert_eq!(left.sum::<u64>(), 0, "{listed}");
    mesh.close().await;
}
