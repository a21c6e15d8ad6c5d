//! The subscriber is killed between the effect of an event and its answer.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    IMPATIENT, Scene,
    reader::{DURABLE, Order, Reader},
};
use crate::{control::join, process::until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_subscriber_has_each_effect_once() {
    let mut scene = Scene::usual().await;
    let url = scene.node.url();
    let issued = scene.plane.issue("reader", &["*"]).await;
    let token = scene.path("reader.token");
    std::fs::write(&token, &issued.token).expect("ours");
    let (events, kills) = (scene.numbers.events, scene.numbers.kills);
    let dies_with = Some((events / (kills + 1)) as usize);
    let order = Order {
        url: url.clone(),
        token,
        record: scene.path("effects"),
        dies_with,
        within: scene.numbers.within(),
    };
    let mut reader = Reader::start(order, scene.path("reader.log"));
    scene.write([url.clone(), url], IMPATIENT).await;
    let mut blows = Vec::new();
    for kill in 1..=kills {
        let within = scene.numbers.within();
        until(within, "the reader dies", || reader.is_dead()).await;
        reader.effects.refresh();
        blows.push(reader.effects.unanswered());
        reader.again(dies_with.filter(|_| kill < kills));
    }
    let (mut table, replayed) = scene.end("the subscriber is killed").await;
    until(scene.numbers.within(), "all is answered", || {
        assert!(!reader.is_dead(), "nobody told it to");
        reader.effects.answered.len() == replayed.len()
    })
    .await;
    let effects = &reader.effects;
    table.blows = blows;
    table.more = vec![
        ("effects", effects.of.values().sum::<usize>() as u64),
        ("came again with its effect there", effects.again as u64),
    ];
    eprintln!("{table}");
    assert!(table.blows.iter().all(|open| *open > 0), "a kill missed");
    assert!(effects.again >= kills as usize, "each of them came again");
    let twice = effects.of.iter().find(|(_, count)| **count > 1);
    assert_eq!(twice, None, "an effect was there twice");
    let named = replayed
        .iter()
        .map(|one| format!("{} {}", one.source, one.id));
    let (had, were): (HashSet<_>, HashSet<_>) =
        (effects.of.keys().cloned().collect(), named.collect());
    let missing: Vec<_> = were.symmetric_difference(&had).take(5).collect();
    assert!(missing.is_empty(), "{missing:?}");

    let mesh = join(&scene.plane, &issued.token).await.expect("let in");
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
