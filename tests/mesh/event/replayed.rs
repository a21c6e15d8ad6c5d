//! Replays by each kind of start and filter, as a person types them: exactly the events that are
//! meant, in their order, and a dry run says the same number. `make replay` does it with 100,000.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weftbus::{
    event::{Event, Receipt},
    mesh::Mesh,
};

use super::{lines, said, typed};
use crate::{
    control::{join, root},
    plane::Plane,
};

/// How many events there are.
#[expect(clippy::disallowed_methods, reason = "the same test, small and large")]
fn size() -> usize {
    let size = std::env::var("WEFT_REPLAY_EVENTS").ok();
    size.map_or(600, |size| size.parse().expect("a number"))
}

/// An event, as it was published.
#[derive(Debug)]
struct Known {
    id: String,
    kind: &'static str,
    source: &'static str,
    corr: Option<&'static str>,
    stream: String,
    sequence: u64,
    /// When it was stored, as the broker tells.
    at: String,
}

const KINDS: [&str; 5] = ["task.a", "task.ab", "swarm.b.c", "task.a.b", "pipeline.x"];

/// Publishes so many, of five types, two sources and with every seventh part of a report.
async fn publish(plane: &Plane, by: [&Mesh; 2]) -> Vec<Known> {
    let mut all: Vec<(Known, Receipt)> = Vec::new();
    for n in 0..size() {
        let (mesh, kind) = (by[n % 2], KINDS[n % KINDS.len()]);
        let corr = (n % 7 == 0).then_some("report-7");
        let mut event = Event::new(kind, json!({"n": n}));
        if n % 3 == 0 {
            // An id without a time in it.
            event = event.with_id(format!("own-{n}"));
        }
        if let Some(corr) = corr {
            event = event.correlated(corr);
        }
        let known = Known {
            id: event.id.clone(),
            kind,
            source: ["root", "bob"][n % 2],
            corr,
            stream: String::new(),
            sequence: 0,
            at: String::new(),
        };
        all.push((known, mesh.events().begin(event).await.expect("taken")));
    }
    let mut stored = Vec::new();
    for (mut known, receipt) in all {
        let published = receipt.await.expect("stored");
        (known.stream, known.sequence) = (published.stream, published.sequence);
        known.at = plane.stored_at(&known.stream, known.sequence).await.1;
        stored.push(known);
    }
    // As the broker stored them.
    stored.sort_by(|one, other| one.at.cmp(&other.at));
    stored
}

/// What is typed, and which events are meant.
struct Case<'a> {
    words: Vec<String>,
    meant: Box<dyn Fn(&Known) -> bool + 'a>,
    first: usize,
}

fn case<'a>(words: &[&str], meant: impl Fn(&Known) -> bool + 'a) -> Case<'a> {
    Case {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        meant: Box::new(meant),
        first: usize::MAX,
    }
}

/// The milliseconds of a time: what is typed has no more.
fn ms(at: &str) -> &str {
    &at[..23]
}

fn cases(all: &[Known]) -> Vec<Case<'_>> {
    let tasks = |known: &Known| known.stream == "WEFT_TASKS";
    let near = |part: usize| &all[all.len() / 4 * part];
    let (early, late) = (near(1), near(3));
    let (since, until) = (format!("{}Z", ms(&early.at)), format!("{}Z", ms(&late.at)));
    let in_tasks = |from: usize| all[from..].iter().find(|one| tasks(one)).expect("many");
    let (place, own) = (in_tasks(all.len() / 2), in_tasks(all.len() / 3));
    let cursor = format!("WEFT_TASKS:{}", place.sequence);
    let v7 = all[all.len() / 2..]
        .iter()
        .position(|one| one.kind.starts_with("task.") && !one.id.starts_with("own"));
    let v7 = &all[all.len() / 2 + v7.expect("many")];
    let number = place.sequence.to_string();
    let mut all_cases = vec![
        case(&[], |_| true),
        case(&["--type", "task.a"], |one| one.kind == "task.a"),
        case(&["--type", "task.a*"], |one| one.kind.starts_with("task.a")),
        case(&["--type", "task.a.*"], |one| one.kind == "task.a.b"),
        case(&["--type", "pipeline.*", "--type", "swarm.*"], |one| {
            one.kind == "pipeline.x" || one.kind == "swarm.b.c"
        }),
        case(&["--source", "bob"], |one| one.source == "bob"),
        case(&["--corr", "report-7"], |one| one.corr.is_some()),
        case(&["--since", &since], |one| ms(&one.at) >= ms(&early.at)),
        case(&["--until", &until], |one| ms(&one.at) <= ms(&late.at)),
        case(
            &["--since", &since, "--until", &until, "--type", "task.*"],
            |one| {
                let at = ms(&one.at);
                one.kind.starts_with("task.") && at >= ms(&early.at) && at <= ms(&late.at)
            },
        ),
        case(&["--after", &cursor], move |one| {
            tasks(one) && one.sequence > place.sequence
        }),
        case(
            &[
                "--type",
                "task.*",
                "--type",
                "pipeline.*",
                "--after",
                &own.id,
            ],
            move |one| tasks(one) && one.sequence > own.sequence,
        ),
        case(&["--type", "task.*", "--after", &v7.id], move |one| {
            one.kind.starts_with("task.") && one.sequence > v7.sequence
        }),
        case(&["--type", "task.*", "--from-seq", &number], move |one| {
            one.kind.starts_with("task.") && one.sequence >= place.sequence
        }),
        case(
            &["--from-seq", "1", "--source", "root", "--type", "swarm.b.*"],
            |one| one.source == "root" && one.kind == "swarm.b.c",
        ),
        case(&["--type", "task.nothing"], |_| false),
    ];
    let mut some = case(
        &["--corr", "report-7", "--source", "root", "-n", "5"],
        |one| one.corr.is_some() && one.source == "root",
    );
    some.first = 5;
    all_cases.push(some);
    all_cases
}

/// Stream and number of each, by stream, as they came.
fn by_stream<'a>(all: impl Iterator<Item = (&'a str, u64)>) -> BTreeMap<&'a str, Vec<u64>> {
    let mut streams: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (stream, number) in all {
        streams.entry(stream).or_default().push(number);
    }
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_start_and_each_filter_gives_what_is_meant() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let bob = plane.issue("bob", &["publish:events/bob/*"]).await;
    let bob = join(&plane, &bob.token).await.expect("let in");
    let all = publish(&plane, [&mesh, &bob]).await;
    let may = plane.issue("ops", &["replay:events/*"]).await;
    for case in cases(&all) {
        let words: Vec<_> = case.words.iter().map(String::as_str).collect();
        let meant = all.iter().filter(|one| (case.meant)(one));
        let meant: Vec<_> = meant.take(case.first).collect();
        let typed = |more: &[&str]| {
            let words = [&["replay"], &words[..], more].concat();
            let output = typed(&plane, &may.token, &words).output().expect("it runs");
            assert_eq!(
                output.status.code(),
                Some(0),
                "{words:?}: {}",
                said(&output)
            );
            output
        };
        let output = typed(&["-o", "jsonl"]);
        let heard = lines(&output);
        let ids = heard.iter().map(|line| line["id"].as_str().expect("an id"));
        let mut ids: Vec<_> = ids.collect();
        let mut wanted: Vec<_> = meant.iter().map(|one| one.id.as_str()).collect();
        ids.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(ids, wanted, "{words:?}");
        in_order(&heard, &meant, &words);
        assert!(heard.iter().all(|line| line["replayed"] == true));
        let count = format!("{} event", meant.len());
        assert!(said(&output).contains(&count), "{}", said(&output));
        let dry = typed(&["--dry-run", "-o", "json"]);
        let dry: Value = serde_json::from_slice(&dry.stdout).expect("one object");
        assert_eq!(dry["events"], meant.len(), "{words:?}");
        let streams = by_stream(meant.iter().map(|one| (&*one.stream, one.sequence)));
        let numbers = streams.iter().map(|(name, all)| (*name, all.len()));
        assert_eq!(dry["streams"], json!(numbers.collect::<BTreeMap<_, _>>()));
        eprintln!("{words:?}: {} of {}", meant.len(), all.len());
    }
    bob.close().await;
    mesh.close().await;
}

fn in_order(heard: &[Value], meant: &[&Known], words: &[&str]) {
    let place = |line: &'_ Value| line["sequence"].as_u64().expect("a number");
    let stream = |line: &'_ Value| line["stream"].as_str().expect("a stream").to_owned();
    let names: Vec<_> = heard.iter().map(stream).collect();
    let numbers = names
        .iter()
        .map(String::as_str)
        .zip(heard.iter().map(place));
    let expected = meant.iter().map(|one| (&*one.stream, one.sequence));
    assert_eq!(by_stream(numbers), by_stream(expected), "{words:?}");
    let times = heard.iter().map(|line| line["storedAt"].as_str());
    assert!(times.is_sorted(), "{words:?}: over streams by time");
}
