//! Limits for callers: what is taken, what becomes of it, and what is refused at its place.

use insta::assert_snapshot;

use super::*;

const GOOD: &str = "\
limits:
  perCaller: { rate: 600/m, burst: 50, inFlight: 20, quota: 50000/d }
  depth: 8
servers:
  a: { command: x, limits: { perCaller: {}, tools: { 'find_*': { rate: 5/s } } } }
  b: { command: y }
";

#[test]
fn limits_are_taken_where_they_stand() {
    let loaded = Files::new(&[(FILE, GOOD)]).loaded();
    let limits = &loaded.config.limits;
    let rate = limits.per_caller.rate.expect("a rate");
    assert_eq!((rate.count(), rate.per().as_secs()), (600, 60));
    assert_eq!(
        limits.per_caller.quota.expect("a quota").to_string(),
        "50000/d"
    );
    assert!(
        limits.per_tool.is_empty(),
        "nothing is limited that is not written"
    );
    assert_eq!((limits.depth, limits.keys), (8, 100_000));
    let of = |n: usize| {
        let launch: &Member = &loaded.members[n];
        launch
            .launch
            .as_ref()
            .expect("it can be started")
            .limits
            .clone()
    };
    assert_eq!(of(0).per_caller, Some(Rule::default()), "lifted");
    assert_eq!(
        of(0).tools["find_*"].rate.expect("a rate").to_string(),
        "5/s"
    );
    assert!(of(1).is_empty());
}

#[test]
fn what_is_no_limit_is_told_at_its_place() {
    let bad = GOOD
        .replace("rate: 600/m, burst: 50", "rate: 600/week")
        .replace("depth: 8", "depth: 200");
    assert_snapshot!(refusal(&bad), @r"
    weft.yaml:2:22: `limits.perCaller.rate`: `600/week` is not a rate: write 1 to 1000000 calls and a span, as in 20/s, 600/m, 1000/h or 50000/d
      |
    2 |   perCaller: { rate: 600/week, inFlight: 20, quota: 50000/d }
      |                      ^^^^^^^^

    weft.yaml:3:10: `limits.depth`: 200 is not between 8 and 120
      |
    3 |   depth: 200
      |          ^^^
    ");
    let bad = GOOD
        .replace("burst: 50", "burst: 0")
        .replace("depth: 8", "depth: 200")
        .replace("find_*", "*find*")
        .replace("rate: 5/s", "burst: 2");
    assert_snapshot!(refusal(&bad), @r"
    weft.yaml:2:36: `limits.perCaller.burst`: 0 is not between 1 and 1000000
      |
    2 |   perCaller: { rate: 600/m, burst: 0, inFlight: 20, quota: 50000/d }
      |                                    ^

    weft.yaml:3:10: `limits.depth`: 200 is not between 8 and 120
      |
    3 |   depth: 200
      |          ^^^

    weft.yaml:5:64: `servers.a.limits.tools.*find*`: `*find*` is no pattern: a tool is `prefix*` or a name
      |
    5 |   a: { command: x, limits: { perCaller: {}, tools: { '*find*': { burst: 2 } } } }
      |                                                                ^

    weft.yaml:5:73: `servers.a.limits.tools.*find*.burst`: it belongs to a `rate`
      |
    5 |   a: { command: x, limits: { perCaller: {}, tools: { '*find*': { burst: 2 } } } }
      |                                                                         ^
    ");
}
