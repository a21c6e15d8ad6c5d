//! The managed nats-server, a real one: ready, killed, taken, refused, and what it keeps.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use async_nats::{ConnectOptions, jetstream};
use weftbus::{
    broker::{Broker, Options, Search, StartError, State, VARIABLES},
    child::Watchdog,
    spawn::Tasks,
};

use crate::{
    process::{kill_9, lives, until, watchdog},
    server::{Keys, nats_server, options, root},
};

const SOON: Duration = Duration::from_secs(20);

/// A data folder whose path a careless quoting would break, and what a broker needs around it.
struct Bench {
    _dir: tempfile::TempDir,
    data: PathBuf,
    tasks: Tasks,
    watchdog: Watchdog,
    keys: Keys,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let tasks = Tasks::new();
        Self {
            data: dir.path().join("my \"data\", 1"),
            _dir: dir,
            watchdog: watchdog(&tasks).await,
            tasks,
            keys: Keys::new(),
        }
    }

    fn options(&self) -> Options {
        options(&self.data, &self.keys)
    }

    async fn start(&self, options: Options) -> Result<Broker, StartError> {
        Broker::start(options, &self.tasks, &self.watchdog).await
    }

    /// The streams, as the control plane has them.
    async fn streams(&self, url: &str) -> jetstream::Context {
        let seed = self.keys.store.seed().expect("a pair made here has one");
        let client = ConnectOptions::with_nkey(seed)
            .connect(url)
            .await
            .expect("the broker knows this key");
        jetstream::new(client)
    }
}

/// A program that stands in for nats-server where one of its ways must be forced.
fn script(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("nats-server");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    path
}

async fn running(broker: &Broker, not: u32) -> u32 {
    let mut state = broker.state();
    let is = |state: &State| matches!(state, State::Running { pid } if *pid != not);
    let state = tokio::time::timeout(SOON, state.wait_for(is)).await;
    match *state.expect("in time").expect("it is owned") {
        State::Running { pid } => pid,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_serves_nobody_without_a_key_and_keeps_port_and_data() {
    let bench = Bench::new().await;
    let monitored = Options {
        monitor: true,
        ..bench.options()
    };
    let broker = bench.start(monitored).await.unwrap();
    assert!(lives(broker.pid()));
    assert_eq!(
        *broker.state().borrow(),
        State::Running { pid: broker.pid() }
    );
    assert!(broker.version().is_supported(), "{}", broker.version());
    assert_eq!(broker.program(), nats_server());
    assert!(
        broker
            .monitor_url()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert!(
        async_nats::connect(broker.url()).await.is_err(),
        "anonymous"
    );
    let url = broker.url().to_owned();
    let pid = broker.pid();
    broker.stop().await;
    assert!(!lives(pid));
    assert_eq!(*broker.state().borrow(), State::Stopped);
    let log = fs::read_to_string(broker.log_path()).unwrap();
    assert!(
        log.contains("Server is ready") && log.contains("Server Exiting"),
        "{log}"
    );

    // the next run has the same port; a dropped handle stops it too
    let broker = bench.start(bench.options()).await.unwrap();
    assert_eq!((broker.url(), broker.monitor_url()), (url.as_str(), None));
    let pid = broker.pid();
    drop(broker);
    until(SOON, "the dropped one went", || !lives(pid)).await;

    // the port of the last run is taken, and nobody asked for it: another one
    let port = url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let broker = bench.start(bench.options()).await.unwrap();
    assert_ne!(broker.url(), url);
    drop(taken);
    assert!(bench.tasks.stop(SOON).await, "stopped with its tasks");
    assert!(!lives(broker.pid()));
}

#[tokio::test]
async fn a_killed_one_is_back_on_its_port_with_its_data() {
    let bench = Bench::new().await;
    let broker = bench.start(bench.options()).await.unwrap();
    let (url, pid) = (broker.url().to_owned(), broker.pid());
    let streams = bench.streams(&url).await;
    let stream = jetstream::stream::Config {
        name: "KEPT".into(),
        max_bytes: 1 << 20,
        ..Default::default()
    };
    streams.create_stream(stream).await.unwrap();
    let ack = streams
        .publish("KEPT", "acknowledged".into())
        .await
        .unwrap();
    assert_eq!(ack.await.unwrap().sequence, 1);

    kill_9(pid);
    let again = running(&broker, pid).await;
    assert_eq!((broker.pid(), broker.url()), (again, url.as_str()));
    let stream = bench.streams(&url).await.get_stream("KEPT").await.unwrap();
    let kept = stream.get_raw_message(1).await.unwrap();
    assert_eq!(kept.payload, "acknowledged");
    broker.stop().await;
    assert!(!lives(again));
}

#[tokio::test]
async fn one_that_dies_too_often_is_left_alone() {
    let bench = Bench::new().await;
    let dir = tempfile::tempdir().unwrap();
    let (real, dead) = (nats_server().display(), dir.path().join("dead"));
    let text = format!(
        r#"[ -e "{}" ] && {{ echo "nats-server: gone bad" >&2; exit 7; }}; exec "{real}" "$@""#,
        dead.display()
    );
    let broker = bench
        .start(Options {
            program: Some(script(dir.path(), &text)),
            ..bench.options()
        })
        .await
        .unwrap();
    fs::write(dead, "").unwrap();
    kill_9(broker.pid());
    let mut state = broker.state();
    let failed = |state: &State| matches!(state, State::Failed { .. });
    let state = tokio::time::timeout(Duration::from_secs(60), state.wait_for(failed)).await;
    let State::Failed { why } = state.unwrap().unwrap().clone() else {
        unreachable!("waited for it");
    };
    assert!(
        why.contains("exit status 7") && why.contains("gone bad"),
        "{why}"
    );
    assert!(
        why.contains("10 times") && why.contains("nats-server.log"),
        "{why}"
    );
}

#[tokio::test]
async fn what_can_not_start_says_why_and_what_to_do() {
    let bench = Bench::new().await;
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = bench
        .start(Options {
            port: Some(port),
            ..bench.options()
        })
        .await
        .unwrap_err();
    assert!(matches!(refused, StartError::PortTaken { port: p, .. } if p == port));
    assert!(
        refused.to_string().contains(&format!("port {port}")),
        "{refused}"
    );

    let dir = tempfile::tempdir().unwrap();
    let old = script(dir.path(), "echo 'nats-server: v2.9.10'");
    let found_old = Options {
        program: None,
        search: Search {
            project_dirs: vec![dir.path().to_owned()],
            path_var: None,
        },
        ..bench.options()
    };
    let refused = bench.start(found_old).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("{}: version 2.9.10 is too old", old.display())));
    assert!(
        refused.contains("run `make`") && refused.contains("--nats URL"),
        "{refused}"
    );

    // where the streams belong, there is a file
    let store = bench.data.join("nats/jetstream");
    fs::remove_dir_all(&store).unwrap();
    fs::write(store, "").unwrap();
    let refused = bench.start(bench.options()).await.unwrap_err();
    let StartError::Ended { said, hint, .. } = &refused else {
        panic!("{refused}");
    };
    assert!(
        said.contains("storage directory"),
        "nats-server's own words: {said}"
    );
    assert!(hint.contains("--data"), "{hint}");
    assert!(refused.to_string().contains("nats-server.log"), "{refused}");
}

#[tokio::test]
async fn a_server_of_a_run_before_is_waited_for_and_then_named() {
    let bench = Bench::new().await;
    let broker = bench.start(bench.options()).await.unwrap();
    broker.stop().await;
    // What a killed run without a watchdog leaves: the same program on the same configuration.
    let nats = bench.data.join("nats");
    let store = nats.display().to_string().replace('"', "\\\"");
    let mut left = Command::new(nats_server())
        .arg("-c")
        .arg(nats.join("single.conf"))
        .args(["-p", "-1", "-m", "0", "-P"])
        .arg(nats.join("nats.pid"))
        .env("STORE_DIR", format!("\"{store}\""))
        .envs(bench.keys.variables())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = left.id();
    until(SOON, "it wrote its id", || {
        fs::read_to_string(nats.join("nats.pid")).is_ok_and(|text| text.trim() == pid.to_string())
    })
    .await;
    let refused = bench.start(bench.options()).await.unwrap_err();
    assert!(
        matches!(refused, StartError::Leftover { pid: p, .. } if p == pid),
        "{refused}"
    );
    assert!(
        refused.to_string().contains(&format!("`kill {pid}`")),
        "{refused}"
    );

    // It goes while the next run waits for it.
    let next = bench.start(bench.options());
    let ends = async {
        left.kill().unwrap();
        left.wait().unwrap();
    };
    let (broker, ()) = tokio::join!(next, ends);
    broker.unwrap().stop().await;
}

/// Every `$NAME` of a configuration that stands for a variable: a value, outside of comments.
pub(crate) fn variables(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter_map(|line| line.split('#').next());
    code.flat_map(|line| line.split('$').skip(1).zip(line.split('$')))
        .filter(|(_, before)| !before.ends_with('"'))
        .map(|(name, _)| {
            name.chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}

pub(crate) fn configuration(name: &str) -> String {
    fs::read_to_string(root().join("nats").join(name)).expect(name)
}

#[test]
fn every_configuration_boots_and_every_variable_is_documented() {
    let keys = Keys::new();
    let dir = tempfile::tempdir().unwrap();
    let mut values: Vec<(&str, String)> = keys.variables().into();
    values.extend([
        ("STORE_DIR", dir.path().display().to_string()),
        ("NODE", "n1".to_owned()),
        ("AZ_TAG", "az:a".to_owned()),
        ("LEAF_MESH_PASSWORD", "one".to_owned()),
        ("LEAF_AUTH_PASSWORD", "two".to_owned()),
        ("HUB_MESH_URL", "nats-leaf://mesh:one@hub:7422".to_owned()),
        ("HUB_AUTH_URL", "nats-leaf://auth:two@hub:7422".to_owned()),
    ]);
    for name in ["single.conf", "cluster-node.conf", "leaf.conf"] {
        let tested = Command::new(nats_server())
            .arg("-t")
            .arg("-c")
            .arg(root().join("nats").join(name))
            .env_clear()
            .envs(values.iter().cloned())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&tested.stderr);
        assert!(tested.status.success(), "{name}: {said}");
    }
    let of = |names: &[&str]| -> BTreeSet<String> {
        names
            .iter()
            .flat_map(|name| variables(&configuration(name)))
            .collect()
    };
    let managed = of(&["single.conf", "limits.inc", "mesh.inc"]);
    assert_eq!(
        managed,
        VARIABLES.map(str::to_owned).into(),
        "what weft sets"
    );
    let all: BTreeSet<String> = of(&["cluster-node.conf", "leaf.conf"])
        .union(&managed)
        .cloned()
        .collect();
    assert_eq!(
        all,
        values.iter().map(|(name, _)| (*name).to_owned()).collect()
    );
    let readme = configuration("README.md");
    for name in all {
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in nats/README.md"
        );
    }
}
