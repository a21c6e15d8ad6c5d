//! `weft conformance`: members that keep to the document pass, and each fault is found by the one
//! check that is about it.

use std::{collections::BTreeSet, ffi::OsStr, fs, path::Path};

use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use weftbus::{
    app::{
        conformance::{self, Plan, Report, Verdict},
        up::Up,
    },
    bus::probe::{Next, Outgoing, Probe},
    mesh::Options,
    name::{Identity, ServerName},
};

use crate::{
    native::{Language, Native, mesh},
    protocol,
    server::root,
    stage::{PATIENCE, Stage, fixture, real, servers},
};

/// Broken members at a time.
const AT_ONCE: usize = 6;

/// How whoever works on this machine joins.
fn options(stage: &Stage) -> Options {
    let context = stage.context().expect("a mesh runs here");
    let file = context["tokenFile"].as_str().expect("a token file");
    let token = fs::read_to_string(file).expect("a token");
    Options::new(context["natsUrl"].as_str().expect("a URL"), token)
}

fn plan(server: &str, call: Option<(&str, Value)>) -> Plan {
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    Plan {
        server: ServerName::new(server).expect("a name"),
        call: call.map(|(tool, arguments)| (tool.to_owned(), object(arguments))),
    }
}

/// The tool of the native members that takes a while.
fn count() -> Option<(&'static str, Value)> {
    Some(("count", json!({"to": 4, "every": 0.2})))
}

async fn tried(stage: &Stage, plan: Plan) -> Report {
    let tried = Box::pin(conformance::run(options(stage), plan)).await;
    tried.expect("it is there")
}

/// The checks that came out so, by name.
fn with(report: &Report, result: Verdict) -> BTreeSet<&str> {
    let checks = report.checks.iter();
    checks
        .filter(|check| check.result == result)
        .map(|check| check.name.as_str())
        .collect()
}

fn failures(report: &Report) -> Vec<String> {
    let failed = report
        .checks
        .iter()
        .filter(|check| check.result == Verdict::Fail);
    failed
        .map(|check| {
            format!(
                "{}: {}",
                check.name,
                check.why.as_deref().unwrap_or_default()
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn native_members_keep_to_the_document() {
    let (stage, up) = mesh().await;
    for language in Language::ALL {
        let (interpreter, file) = language.program("server");
        let _native =
            Native::start((&stage, &up), "adder", &interpreter, &[file.as_os_str()]).await;
        let report = tried(&stage, plan("adder", count())).await;
        assert_eq!(failures(&report), [""; 0], "{language:?}");
        let skipped = BTreeSet::from(["keep-alive", "parts"]);
        assert_eq!(
            with(&report, Verdict::NotApplicable),
            skipped,
            "{language:?}"
        );
        assert_eq!(report.checks.len(), conformance::rules().len());
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_keeps_to_the_document() {
    let python = real("python");
    let modern = fixture("modern.py");
    let yaml = servers(&[("modern", &python, &[modern.as_os_str()])]);
    let stage = Stage::new(&yaml);
    let up = stage.up().await;
    let slow = json!({"seconds": 1.2, "mark": stage.path().join("mark")});
    let report = tried(&stage, plan("modern", Some(("slow", slow)))).await;
    assert_eq!(failures(&report), [""; 0]);
    let skipped = BTreeSet::from(["keep-alive", "parts"]);
    assert_eq!(with(&report, Verdict::NotApplicable), skipped);

    let big = json!({"megabytes": 3});
    let report = tried(&stage, plan("modern", Some(("big", big)))).await;
    assert_eq!(failures(&report), [""; 0]);
    assert!(with(&report, Verdict::Pass).contains("parts"));
    up.stop().await;
}

/// Who is no operator sees less, and is told what it would take.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_operators_token_some_checks_are_left_out() {
    let (stage, up) = mesh().await;
    let alice = Identity::new("alice").expect("a name");
    let allowed = ["call:tools/search/*".to_owned()];
    let token = up.plane().issue(alice, &allowed).await.expect("a token");
    let context = stage.context().expect("a mesh runs here");
    let url = context["natsUrl"].as_str().expect("a URL");
    let report = conformance::run(Options::new(url, &*token), plan("search", None)).await;
    let report = report.expect("it is there");
    assert_eq!(failures(&report), [""; 0]);
    for name in [
        "connect-token",
        "wrong-caller",
        "not-permitted",
        "ping",
        "info",
        "stats",
    ] {
        let mut checks = report.checks.iter();
        let check = checks.find(|check| check.name == name).expect("a check");
        let why = check.why.as_deref().unwrap_or_default();
        assert!(why.contains("operator's token"), "{name}: {why}");
    }
    // Nothing was left behind: neither a stranger nor its token.
    let mesh = stage.caller().await;
    let all: Value = mesh
        .control("token_list", json!({"all": true}))
        .await
        .expect("a list");
    let text = all.to_string();
    assert!(!text.contains("\"conformance-"), "{text}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_not_there_is_no_report() {
    let (stage, up) = mesh().await;
    let tried = conformance::run(options(&stage), plan("nobody", None)).await;
    assert_eq!(tried.expect_err("nobody").case_name(), "SERVER_NOT_FOUND");
    up.stop().await;
}

/// The faults of `broken.py`; each has the name of the check that finds it.
fn faults() -> Vec<String> {
    let script = fs::read_to_string(broken()).expect("it is in the tree");
    let (_, table) = script.split_once("FAULTS = {\n").expect("a table");
    let (table, _) = table.split_once("\n}").expect("its end");
    let lines = table
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"'));
    let names = lines.filter_map(|line| Some(line.split_once('"')?.0.to_owned()));
    names.filter(|name| name != "none").collect()
}

fn broken() -> std::path::PathBuf {
    root().join("tests/mesh/conformance/broken.py")
}

async fn found(stage: &Stage, up: &Up, interpreter: &Path, fault: &str) -> (String, Report) {
    let name = format!("broken-{fault}");
    let script = broken();
    let args = [script.as_os_str(), OsStr::new(fault)];
    let native = Native::start((stage, up), &name, interpreter, &args).await;
    let report = tried(stage, plan(&name, count())).await;
    drop(native);
    (fault.to_owned(), report)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_found_by_its_check_alone() {
    let (stage, up) = mesh().await;
    let (interpreter, _) = Language::Python.program("server");
    let faults = faults();
    assert!(faults.len() > 30, "{faults:?}");
    let tries = faults
        .iter()
        .map(|fault| found(&stage, &up, &interpreter, fault));
    let mut tries = futures_util::stream::iter(tries).buffer_unordered(AT_ONCE);
    let mut wrong = Map::new();
    while let Some((fault, report)) = tries.next().await {
        if with(&report, Verdict::Fail) != BTreeSet::from([fault.as_str()]) {
            wrong.insert(fault, failures(&report).into());
        }
    }
    drop(tries);
    assert!(wrong.is_empty(), "{:#}", Value::Object(wrong));
    // The same program without a fault passes.
    let (_, report) = found(&stage, &up, &interpreter, "none").await;
    assert_eq!(failures(&report), [""; 0]);
    up.stop().await;
}

/// What kind of value stands where.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let shapes = members
                .iter()
                .map(|(key, value)| (key.clone(), shape(value)));
            shapes.collect::<Map<_, _>>().into()
        }
        Value::Array(elements) => elements.iter().take(1).map(shape).collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}

/// `$SRV` as the document writes it: of an adapter, and of native members.
#[tokio::test(flavor = "multi_thread")]
async fn services_answer_as_the_document_has_it() {
    let (stage, up) = mesh().await;
    let mut members = vec!["search".to_owned()];
    let mut native = Vec::new();
    for language in Language::ALL {
        let name = format!("{language:?}").to_lowercase();
        let (interpreter, file) = language.program("server");
        let args = [file.as_os_str()];
        native.push(Native::start((&stage, &up), &name, &interpreter, &args).await);
        members.push(name);
    }
    let caller = stage.caller().await;
    let mut probe = Probe::services(caller.link()).await.expect("operators may");
    for (verb, example) in protocol::json("services").as_object().expect("three") {
        for member in &members {
            let asked = Outgoing {
                subject: format!("$SRV.{verb}.{member}"),
                reply: Some(probe.subject(verb)),
                ..Outgoing::default()
            };
            let sent = probe.send(asked).await.expect("sent");
            let next = probe.next(&sent, Instant::now() + PATIENCE).await;
            let Ok(Next::Message(answer)) = next else {
                panic!("{member} {verb}: {next:?}");
            };
            let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
            let mut example = example.clone();
            if *member != "search" {
                // Native members need not count what they have to do.
                example["metadata"] = said["metadata"].clone();
                assert!(example["metadata"].get("weft.tools").is_some(), "{said}");
            }
            assert_eq!(shape(&said), shape(&example), "{member}: {said}");
            assert_eq!(said["type"], example["type"]);
        }
    }
    drop(native);
    caller.close().await;
    up.stop().await;
}
