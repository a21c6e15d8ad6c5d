//! The official conformance suite against the fixture server, directly and through the gateway.
//!
//! `tests/real/suite.json` has the passed checks of every scenario, which may only become more:
//! `make suite` writes them down.

mod forward;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    process::Stdio,
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use self::forward::Forwarder;
use crate::{
    clients::endpoint,
    server::root,
    stage::{Stage, example, real, servers},
};

/// By scenario, by status: how many checks.
type Scenarios = BTreeMap<String, BTreeMap<String, usize>>;
/// By set.
type Counts = BTreeMap<String, Scenarios>;
/// By set, by scenario: how many checks passed.
type Passed = BTreeMap<String, BTreeMap<String, usize>>;
/// By route.
type Record = BTreeMap<String, Passed>;
/// By set and scenario in one text.
type Flat = BTreeMap<String, usize>;

/// The whole suite takes 15 s on an idle machine.
const WITHIN: Duration = Duration::from_secs(300);
/// What `suite.py` knows. Each has a server of its own: some scenarios change what others list.
const SETS: [&str; 3] = ["2025-11-25", "2026-07-28", "all"];

/// The fixture over HTTP, for as long as this is held.
struct Fixture {
    url: String,
    // Its stdin is what it lives by.
    _child: Child,
}

impl Fixture {
    async fn start() -> Self {
        let mut child = Command::new(example("weft-fixture"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("cargo builds the examples before the tests");
        let stdout = child.stdout.take().expect("piped");
        let line = BufReader::new(stdout).lines().next_line().await;
        let url = line.expect("a text").expect("its address");
        Self { url, _child: child }
    }
}

/// Runs a set of the suite against this address, by way of the forwarder.
async fn measure(set: &str, url: &str, token: &str) -> Scenarios {
    let rest = url.strip_prefix("http://");
    let (address, path) = rest.and_then(|rest| rest.split_once('/')).expect("a URL");
    let forwarder = Forwarder::start(address, token).await;
    let output = Command::new(real("python"))
        .arg(root().join("tests/real/suite.py"))
        .args(["measure", set])
        .arg(format!("http://{}/{path}", forwarder.address))
        .kill_on_drop(true)
        .output();
    let output = timeout(WITHIN, output).await.expect("it ends");
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("counts")
}

/// The forwarder stands before the fixture too, so that nothing but Weft differs.
#[tokio::test(flavor = "multi_thread")]
async fn directly() {
    let all = join_all(SETS.iter().map(async |set| {
        let fixture = Fixture::start().await;
        let counts = measure(set, &fixture.url, "none is needed").await;
        ((*set).to_owned(), counts)
    }));
    only_more("direct", &all.await.into_iter().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn through_weft() {
    let (program, stdio) = (example("weft-fixture"), [OsStr::new("--stdio")]);
    let names = SETS.map(server);
    let list = names
        .each_ref()
        .map(|name| (&**name, &*program, &stdio[..]));
    only_more("weft", &behind_weft(&servers(&list)).await);
}

/// The same, where the adapter speaks to the fixture over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn through_weft_over_http() {
    let fixtures = join_all(SETS.map(|_| Fixture::start())).await;
    let lines = SETS.iter().zip(&fixtures).map(|(set, fixture)| {
        let entry = json!({"url": fixture.url});
        format!("  {}: {entry}\n", server(set))
    });
    let yaml = lines.fold("servers:\n".to_owned(), |yaml, line| yaml + &line);
    only_more("weft-http", &behind_weft(&yaml).await);
}

/// The name of the server that one set runs against.
fn server(set: &str) -> String {
    format!("fixture-{set}")
}

async fn behind_weft(yaml: &str) -> Counts {
    let stage = Stage::new(yaml);
    let mesh = stage.up().await;
    let all = join_all(SETS.iter().map(async |set| {
        let (url, token) = endpoint(&stage, Some(&server(set)));
        ((*set).to_owned(), measure(set, &url, &token).await)
    }));
    let counts = all.await.into_iter().collect();
    mesh.stop().await;
    counts
}

/// Holds the passed checks of a route against those that are written down.
#[track_caller]
fn only_more(route: &str, measured: &Counts) {
    // For `make suite`, which writes them down.
    let folder = root().join(".tools/suite");
    fs::create_dir_all(&folder).expect("the folder is ours");
    let text = serde_json::to_string_pretty(measured).expect("a map is JSON");
    fs::write(folder.join(format!("{route}.json")), text).expect("the folder is ours");

    let record = fs::read(root().join("tests/real/suite.json")).expect("it is there");
    let mut record: Record = serde_json::from_slice(&record).expect("counts");
    let before = flat(&record.remove(route).unwrap_or_default());
    let now = flat(&passed(measured));
    let of = |counts: &Flat, key: &String| counts.get(key).copied().unwrap_or(0);
    let keys: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let changes: Vec<_> = keys
        .into_iter()
        .map(|key| (key, of(&before, key), of(&now, key)))
        .filter(|(_, before, now)| before != now)
        .collect();
    let shown = |less: bool| {
        let which = changes
            .iter()
            .filter(|(_, before, now)| (now < before) == less);
        which
            .map(|(key, before, now)| format!("{key}: {before} -> {now}\n"))
            .collect::<String>()
    };
    let (fewer, more) = (shown(true), shown(false));
    assert!(fewer.is_empty(), "{route}: fewer checks pass:\n{fewer}");
    assert!(
        more.is_empty(),
        "{route}: more checks pass, and `make suite` writes it down:\n{more}"
    );
}

fn passed(measured: &Counts) -> Passed {
    let of = |statuses: &BTreeMap<String, usize>| statuses.get("SUCCESS").copied().unwrap_or(0);
    let sets = measured.iter().map(|(set, scenarios)| {
        let scenarios = scenarios.iter();
        let scenarios = scenarios.map(|(name, statuses)| (name.clone(), of(statuses)));
        (set.clone(), scenarios.collect())
    });
    sets.collect()
}

fn flat(passed: &Passed) -> Flat {
    let sets = passed.iter();
    let all = sets.flat_map(|(set, scenarios)| {
        let scenarios = scenarios.iter();
        scenarios.map(move |(name, passed)| (format!("{set}, {name}"), *passed))
    });
    all.collect()
}
