//! A whole mesh in one process: what a newcomer gets from `weft up`.

use serde_json::json;

use crate::stage::{Stage, example, servers};

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
