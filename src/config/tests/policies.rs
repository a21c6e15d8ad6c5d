//! What a file says of calls that fail, wait or are answered with what was kept: its bounds.

use insta::assert_snapshot;

use crate::config::{tests::*, *};

#[test]
fn policies_out_of_their_bounds() {
    let text = r#"
policy:
  retry: { max: 11, base: 1ms }
  breaker: { threshold: 0, reset: 2h }
  pool: { max: 65, min: 2, calls: 0, idle: 1ms, wait: 1h, waiting: 5000 }
  batch: { max: 11, window: 2s }
  cache: { ttl: 2d, bytes: 1KiB, tools: { "a*b": 5m, search: 0ms }, methods: { tools/call: 1m } }
servers:
  docs: { command: x, cache: { methods: { "tools/*": 2d } }, batch: { max: 0 } }
"#;
    let refused = refusal(text);
    let told = refused.lines().filter(|line| line.contains(": `"));
    assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @"
    weft.yaml:3:17: `policy.retry.max`: 11 is not between 0 and 10
    weft.yaml:3:27: `policy.retry.base`: 1ms is not between 10ms and 1m
    weft.yaml:4:25: `policy.breaker.threshold`: 0 is not between 1 and 1000
    weft.yaml:4:35: `policy.breaker.reset`: 2h is not between 100ms and 1h
    weft.yaml:5:16: `policy.pool.max`: 65 is not between 1 and 64
    weft.yaml:5:35: `policy.pool.calls`: 0 is not between 1 and 65536
    weft.yaml:5:44: `policy.pool.idle`: 1ms is not between 100ms and 1d
    weft.yaml:5:55: `policy.pool.wait`: 1h is not between 0ms and 10m
    weft.yaml:5:68: `policy.pool.waiting`: 5000 is not between 0 and 4096
    weft.yaml:6:17: `policy.batch.max`: 11 is not between 1 and 10
    weft.yaml:6:29: `policy.batch.window`: 2s is not between 1ms and 1s
    weft.yaml:7:17: `policy.cache.ttl`: 2d is not between 0ms and 1d
    weft.yaml:7:28: `policy.cache.bytes`: 1KiB is not between 64KiB and 4GiB
    weft.yaml:7:41: `policy.cache.tools`: `a*b` is no pattern: a tool is `*`, `prefix*` or a name
    weft.yaml:7:62: `policy.cache.tools.search`: 0ms is not between 1ms and 1d
    weft.yaml:7:92: `policy.cache.methods.tools/call`: no answer of it is ever kept; those of server/discover, tools/list, prompts/list, resources/list, resources/templates/list, resources/read are
    weft.yaml:9:54: `servers.docs.cache.methods.tools/*`: 2d is not between 1ms and 1d
    weft.yaml:9:76: `servers.docs.batch.max`: 0 is not between 1 and 10
    ");
}

#[test]
fn policies_at_their_bounds_are_taken() {
    let text = r#"
policy:
  retry: { max: 10, base: 10ms }
  breaker: { threshold: 1, reset: 1h }
  pool: { max: 64, min: 64, calls: 1, idle: 100ms, wait: 10m, waiting: 4096 }
  batch: { max: 10, window: 1s }
  cache: { ttl: 1d, bytes: 64KiB, tools: { "a*": 5m, search: 1ms }, methods: { tools/list: 1m } }
servers:
  docs: { command: x, cache: { methods: { "tools/*": 1d } }, batch: { max: 1 } }
"#;
    let files = Files::new(&[(FILE, text)]);
    assert_eq!(files.members(), "docs \"x\" []");
}
