//! TLS to the broker: a nats-server that asks for it, and for a certificate of each client, and all
//! parts of a mesh on it. And what is not said to a broker that somebody may stand before.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use weftbus::{
    app::{context::broker_keys, up::Up},
    bus::Tls,
    error::{Error, Kind},
    mesh::{self, Mesh},
};

use crate::{
    certificates::{Authority, When, write},
    process::{until, weft},
    server::{nats_server, root},
    stage::{PATIENCE, Stage, example, servers},
};

/// A broker that somebody else runs.
pub(crate) struct Broker {
    child: Child,
    pub(crate) port: u16,
}

impl Broker {
    /// Starts it with the accounts of the mesh of this stage, or with these lines in their place.
    pub(crate) async fn start(stage: &Stage, tls: &str, accounts: Option<&str>) -> Self {
        let folder = stage.path().join("broker");
        fs::create_dir_all(&folder).expect("the folder is ours");
        for file in ["mesh.inc", "limits.inc"] {
            let from = root().join("nats").join(file);
            fs::copy(from, folder.join(file)).expect("copied");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let conf = format!(
            "listen: \"127.0.0.1:{port}\"\n\
             jetstream {{ store_dir: \"{}/js\", max_memory_store: 256MB, max_file_store: 10GB }}\n\
             include limits.inc\n{tls}\n{}\n",
            folder.display(),
            accounts.unwrap_or("include mesh.inc")
        );
        let conf = write(&folder, "nats.conf", &conf);
        let keys = broker_keys(&stage.path().join("data")).expect("keys");
        let child = Command::new(nats_server())
            .arg("-c")
            .arg(conf)
            .env_clear()
            .envs(keys)
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        let broker = Self { child, port };
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, listens).await.expect("it listens");
        broker
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ended");
    }
}

/// The lines by which a broker asks every client for a certificate of this authority. Its files and
/// those of a client (`own`) are in the folder of the stage.
fn mutual(stage: &Stage, ca: &Authority) -> String {
    let folder = stage.path();
    write(&folder, "ca.pem", &ca.pem());
    ca.client().write(&folder, "own");
    let (cert, key) = ca.server(When::Now).write(&folder, "broker");
    format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        cert.display(),
        key.display(),
        folder.join("ca.pem").display()
    )
}

/// The configuration of a mesh with one server on a broker.
fn configure(stage: &Stage, nats: &str) {
    let search = example("weft-example-search");
    let yaml = servers(&[("search-aggregator", &search, &[])]);
    write(&stage.path(), "weft.yaml", &format!("{yaml}nats: {nats}\n"));
}

const OWN: &str = "tls: { ca: ca.pem, cert: own.pem, key: own.key }";

/// A command elsewhere, with these variables and no other of ours.
fn command(folder: &Path, variables: &[(&str, &str)], words: &[&str]) -> Command {
    let mut command = Command::new(weft());
    command
        .args(words)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command
}

async fn issue(up: &Up, name: &str, permission: &str) -> String {
    let name = name.parse().expect("a name");
    let permissions = [permission.to_owned()];
    up.plane().issue(name, &permissions).await.expect("a token")
}

async fn run(mut command: Command) -> Output {
    let run = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    let ran = timeout(PATIENCE, run).await;
    ran.expect("in time").expect("it ran")
}

/// Runs it, and holds it to its status and to what it says to people.
async fn expect(command: Command, status: i32, said: &str) {
    let output = run(command).await;
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{err}");
    assert!(err.contains(said), "{said} in {err}");
}

const SEARCH: [&str; 6] = [
    "call",
    "search-aggregator",
    "execute_parallel_search",
    "query=x",
    "providers:=[\"brave\"]",
    "maxResults:=1",
];

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("it is ours");
        self.0.wait().expect("it ended");
    }
}

/// Control plane, adapter and gateway of `weft up`, a command that finds it by its folder alone, a
/// sidecar that has its certificates from a context of `nats`.
#[tokio::test(flavor = "multi_thread")]
async fn every_part_speaks_tls_where_the_broker_asks_for_it() {
    let stage = Stage::new("");
    let ca = Authority::new("ca");
    let broker = Broker::start(&stage, &mutual(&stage, &ca), None).await;
    let url = format!("tls://localhost:{}", broker.port);
    configure(&stage, &format!("{{ url: '{url}', {OWN} }}"));
    let up = stage.up().await;
    let context = stage.context().expect("a mesh runs here");
    assert_eq!(context["tls"]["key"], json!(stage.path().join("own.key")));

    let elsewhere = tempfile::tempdir().expect("a folder");
    let folder = elsewhere.path();
    let data = stage.path().join("data").display().to_string();
    let mut words = SEARCH.to_vec();
    words.extend(["--data", &data]);
    expect(command(folder, &[], &words), 0, "").await;

    fs::create_dir_all(folder.join("nats/context")).expect("the folder is ours");
    let files = ["ca.pem", "own.pem", "own.key"].map(|file| stage.path().join(file));
    let file = json!({"url": url, "ca": files[0], "cert": files[1], "key": files[2]});
    write(folder, "nats/context/secure.json", &file.to_string());
    let token = issue(&up, "side", "serve:tools/side/*").await;
    let token = write(folder, "token", &token);
    let (token, config) = (token.display().to_string(), folder.display().to_string());
    let charts = example("weft-example-charts").display().to_string();
    let words = ["adapter", "side", "--", &charts];
    let named = [
        ("WEFT_NATS_URL", &*url),
        ("NATS_CONTEXT", "secure"),
        ("XDG_CONFIG_HOME", &*config),
        ("WEFT_TOKEN_FILE", &*token),
    ];
    let without = command(folder, &[named[0], named[3]], &["servers"]);
    expect(without, 1, "no TLS connection").await;
    expect(command(folder, &named, &["servers"]), 0, "").await;
    let side = command(folder, &named, &words)
        .stderr(Stdio::null())
        .spawn();
    let side = Running(side.expect("it runs"));
    let known = up.plane().control().registry().servers();
    let name = "side".parse().expect("a name");
    until(PATIENCE, "the sidecar joined", || {
        known.borrow().knows(&name)
    })
    .await;
    drop(side);
    up.stop().await;
}

/// A member with a token that is good, on a broker that asks for certificates.
#[tokio::test(flavor = "multi_thread")]
async fn who_shows_the_wrong_certificate_is_not_let_in() {
    let stage = Stage::new("");
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let broker = Broker::start(&stage, &mutual(&stage, &ca), None).await;
    let url = format!("tls://localhost:{}", broker.port);
    configure(&stage, &format!("{{ url: '{url}', {OWN} }}"));
    let up = stage.up().await;
    let token = issue(&up, "alice", "call:tools/*").await;
    let folder = stage.path();
    let path = |name: &str| folder.join(name);
    write(&folder, "other.pem", &other.pem());
    let stranger = other.client().write(&folder, "stranger");
    let own = (path("own.pem"), path("own.key"));
    let join = async |url: &str, ca: Option<&str>, client| {
        let mut options = mesh::Options::new(url, token.clone());
        options.tls = Tls {
            ca: ca.map(path),
            client,
            insecure: false,
        };
        let joined: Result<Mesh, Error> = Mesh::connect(options).await;
        match joined {
            Ok(mesh) => {
                mesh.close().await;
                Ok(())
            }
            Err(error) => Err(error.kind()),
        }
    };
    let good = Some(own.clone());
    assert_eq!(join(&url, Some("ca.pem"), good.clone()).await, Ok(()));
    let plain = url.replace("tls://", "nats://");
    assert_eq!(
        join(&plain, Some("ca.pem"), good.clone()).await,
        Ok(()),
        "files suffice to ask for TLS"
    );
    for (what, ca, client) in [
        ("no certificate", "ca.pem", None),
        ("a stranger's certificate", "ca.pem", Some(stranger)),
        (
            "a broker that nobody known signed",
            "other.pem",
            good.clone(),
        ),
    ] {
        assert!(join(&url, Some(ca), client).await.is_err(), "{what}");
    }
    assert_eq!(join(&url, Some("ca.pem"), good).await, Ok(()));
    up.stop().await;
}

/// A broker with one account that takes a password, and speaks TLS: with the login, and what is
/// refused without TLS.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_travels_over_tls_as_well() {
    let stage = Stage::new("");
    let ca = Authority::new("ca");
    let account = "authorization { user: me, password: s3cret }";
    let broker = Broker::start(&stage, &mutual(&stage, &ca), Some(account)).await;
    write(&stage.path(), "password", "s3cret\n");
    let login = "user: me, password: { file: password }";
    let url = format!("tls://localhost:{}", broker.port);
    configure(&stage, &format!("{{ url: '{url}', {login} }}"));
    let refused = stage.start().await.expect_err("nobody known signed it");
    assert!(refused.to_string().contains("TLS"), "{refused}");
    configure(&stage, &format!("{{ url: '{url}', {login}, {OWN} }}"));
    let up = stage.up().await;
    up.stop().await;
}

/// An address of this machine that nobody can know to be one: as far as another machine's.
const AFAR: &str = "nats://[::ffff:127.0.0.1]";

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_is_not_spoken_to_without_tls() {
    let stage = Stage::new("");
    let broker = Broker::start(&stage, "", None).await;
    let (here, afar) = (
        format!("nats://127.0.0.1:{}", broker.port),
        format!("{AFAR}:{}", broker.port),
    );
    configure(&stage, &format!("{{ url: '{afar}' }}"));
    let refused = stage.start().await.expect_err("no TLS is asked for");
    let said = refused.to_string();
    assert!(
        said.contains("another machine") && said.contains("--insecure"),
        "{said}"
    );

    // Whoever speaks plainly where TLS was asked for may be somebody between.
    let ca = Authority::new("ca");
    write(&stage.path(), "ca.pem", &ca.pem());
    configure(
        &stage,
        &format!("{{ url: '{here}', tls: {{ ca: ca.pem }} }}"),
    );
    assert!(stage.start().await.is_err(), "TLS was asked for");

    configure(&stage, &format!("{{ url: '{afar}', insecure: true }}"));
    let up = stage.up().await;
    let data = stage.path().join("data");
    let token = fs::read_to_string(data.join("token")).expect("a token");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let folder = elsewhere.path();
    let mut found = SEARCH.to_vec();
    let data = data.display().to_string();
    found.extend(["--data", &data]);
    expect(command(folder, &[], &found), 0, "").await;

    let named = [("WEFT_NATS_URL", &*afar), ("WEFT_TOKEN", &*token)];
    expect(command(folder, &named, &SEARCH), 1, "another machine").await;
    let mut flag = SEARCH.to_vec();
    flag.push("--insecure");
    expect(command(folder, &named, &flag), 0, "").await;
    let variable = [named[0], named[1], ("WEFT_INSECURE", "1")];
    expect(command(folder, &variable, &SEARCH), 0, "").await;
    let named = [("WEFT_NATS_URL", &*here), ("WEFT_TOKEN", &*token)];
    expect(command(folder, &named, &SEARCH), 0, "").await;

    let refused = Mesh::connect(mesh::Options::new(&*afar, &*token)).await;
    let kind = refused.err().map(|error| error.kind());
    assert_eq!(kind, Some(Kind::InvalidRequest), "a program as well");
    up.stop().await;
}
