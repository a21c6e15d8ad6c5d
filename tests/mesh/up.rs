//! A whole mesh in one process: what a newcomer gets from `weft up`.

use std::{ffi::OsStr, path::Path};

use serde_json::json;
use tokio::time::timeout;

use crate::stage::{PATIENCE, Stage, example, servers};

#[tokio::test(flavor = "multi_thread")]
async fn the_descriptions_own_example() {
    let search = example("weft-example-search");
    let stage = Stage::new(&servers(&[("search-aggregator", &search, &[])]));
    let mesh = stage.up().await;
    let caller = stage.caller().await;
    let arguments =
        json!({"query": "market trends in AI", "providers": ["brave", "tavily"], "maxResults": 20});
    let found = caller
        .call_tool("search-aggregator", "execute_parallel_search", arguments)
        .await
        .expect("an answer");
    assert!(!found.is_error());
    assert_eq!(
        found.value()["structuredContent"]["providers"],
        json!(["brave", "tavily"])
    );
    caller.close().await;
    mesh.stop().await;
}

/// So many, and on so many threads, that a last word which may be lost with its connection is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn servers_that_are_taken_out_of_the_file_say_goodbye() {
    let charts = example("weft-example-charts");
    let names: Vec<String> = (0..100).map(|n| format!("charts-{n}")).collect();
    let list: Vec<(&str, &Path, &[&OsStr])> = names
        .iter()
        .map(|name| (&**name, &*charts, [].as_slice()))
        .collect();
    // One whose program is not there, and one that can't even be tried, leave as the others do.
    let broken = "  absent: { command: no-such-program }\n  unset: { command: '${WEFT_UNSET}' }\n";
    let stage = Stage::new(&(servers(&list) + broken));
    let mesh = stage.up().await;
    let caller = stage.caller().await;
    let mut registry = caller.servers().await.expect("the registry");
    let came = registry.wait_for(|all| all.len() == names.len() + 2);
    drop(timeout(PATIENCE, came).await.expect("in time"));
    let file = stage.path().join("weft.yaml");
    std::fs::write(file, servers(&list[..1])).expect("the folder is ours");
    let left = registry.wait_for(|all| {
        for entry in all.iter() {
            let reason = entry.reason.clone().unwrap_or_default();
            assert!(!reason.starts_with("no heartbeat"), "{entry:?}");
        }
        all.len() == 1
    });
    drop(timeout(PATIENCE, left).await.expect("in time"));
    caller.close().await;
    mesh.stop().await;
}
