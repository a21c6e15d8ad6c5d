//! What the whole stacks add to a call: all layers on, over a service that answers at once.
//!
//! `cargo bench --bench stack` prints microseconds a call: the median of a hundred rounds, and the worst
//! round. The layers of the server are those of an adapter with everything switched on: a token that
//! is known, a permission, approved tools, limits, a schema, the audit trail on a real broker, keys, a
//! breaker. Nothing is cached and nothing goes over the bus.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::watch, time::Instant};
use weftbus::{
    access::{
        Claims, Lifetimes, Role, SigningKey, Snapshot, Trust, claims::Term, now, now_ms, reference,
        snapshot::Revoked, trust::Anchor, verify::sign,
    },
    app::up,
    audit::Trail,
    broker::Search,
    call::{Call, CallService, Context, Permissions, Reply, context::Credential, service::answer},
    config::{self, Env, Overrides, Sources},
    event::EventKey,
    mcp::{Request, tools::Page},
    mesh::{self, Mesh},
    name::{Identity, Instance, ServerName},
    once::Ledger,
    policy::{
        audit::{Auditor, When},
        breaker::{self, Breaker},
        caller,
        limit::{Limiter, Rate, Rule, Rules},
        once::Keys,
        server,
    },
    spawn::Tasks,
    telemetry::metric::{Side, Tools},
};

const ROUNDS: usize = 100;
/// Few enough that the audit trail never makes a call wait.
const CALLS: usize = 500;
/// The trail has written what a round left by then.
const PAUSE: Duration = Duration::from_millis(60);

const TOOL: &str = r#"{"tools":[{"name":"echo","description":"Says it.","inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}}]}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}"#;

/// Answers at once.
fn inner() -> impl CallService {
    answer(|_: Call| async {
        Ok(Reply {
            body: Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#),
            failed: false,
        })
    })
}

fn name() -> Identity {
    Identity::new("alice").expect("a name")
}

/// Whom the server believes, and the caller's token.
fn trust() -> (Trust, Credential) {
    let key = SigningKey::generate();
    let anchor = Anchor {
        issuer: "mesh".to_owned(),
        keys: key.public(),
    };
    let trust = Trust::new(name(), anchor);
    let told = Snapshot {
        iss: "mesh".to_owned(),
        aud: name(),
        number: 1,
        iat_ms: now_ms(),
        keys: key.public(),
        revoked: Revoked::default(),
        grants: Vec::new(),
    };
    trust.apply(&told.sign(&key)).expect("its own key");
    let permissions = Permissions::parse(&["call:tools/time/*", "list:tools/*"]);
    let term = Term {
        from: now(),
        until: now() + 3600,
    };
    let permissions = permissions.expect("permissions");
    let connect = Claims::connect(&name(), &permissions, Role::Caller, "mesh", term);
    let token = sign(&connect.call(&Lifetimes::default(), now()), &key);
    let bearer = Credential::Bearer(token.as_str().into());
    drop(trust.authenticate(Some(&bearer), "alice"));
    (trust, Credential::Reference(reference(&token).into()))
}

/// Everything that an adapter can have in front of a server.
fn everything(trust: Trust, member: &Mesh, tasks: &Tasks) -> server::Options {
    let server = ServerName::new("time").expect("a name");
    let mut options = server::Options::new(trust, Tools::new(Side::Server));
    let page = Page::read(TOOL).expect("a page");
    let approved = page
        .tools
        .iter()
        .map(|tool| (tool.name.clone(), tool.digest.clone()));
    let approved: HashMap<String, String> = approved.collect();
    // Nobody changes it.
    let (_, approved) = watch::channel(Arc::new(approved));
    options.approved = Some(approved);
    let schema = serde_json::from_str::<serde_json::Value>(page.tools[0].json.get()).expect("JSON");
    let schema = Arc::new(schema["inputSchema"].clone());
    options.schemas = Some(Arc::new(move |_| Some(Arc::clone(&schema))));
    let often = Rule {
        key: "limits.perCaller".into(),
        rate: Some(Rate {
            count: 1_000_000,
            per: Duration::from_secs(1),
            burst: 1_000_000,
            text: "1000000/s".into(),
        }),
        in_flight: Some(256),
        quota: None,
    };
    options.limiter = Some(Limiter::new(Rules {
        caller: often.clone(),
        tool: often,
        tools: Vec::new(),
    }));
    let trail = Trail::start(member.link().clone(), &Instance::random(), tasks);
    let key = EventKey::read(&EventKey::derived(b"a mesh", &name()));
    options.auditor = Some(Auditor::new(trail, key, options.needs, When::Soon));
    options.keys = Some(Keys::new(Ledger::new(member.link().clone()), tasks));
    let usual = breaker::Options::new(Duration::from_secs(30));
    options.breaker = Some(Breaker::new(server, usual));
    options
}

/// Microseconds a call: the median round, and the worst.
async fn measure(mut service: impl CallService, credential: &Credential) -> [f64; 2] {
    let server = ServerName::new("time").expect("a name");
    let request = Request::parse(Bytes::from_static(CALL.as_bytes())).expect("a request");
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..CALLS {
            let mut context = Context::new(Duration::from_secs(30));
            context.caller = Some(name());
            context.credential = Some(credential.clone());
            let call = Call::new(server.clone(), request.clone(), context);
            service.call(call).await.expect("it answers");
        }
        took.push(began.elapsed().as_secs_f64() * 1e6 / CALLS as f64);
        tokio::time::sleep(PAUSE).await;
    }
    took.sort_by(f64::total_cmp);
    [took[ROUNDS / 2], took[ROUNDS - 1]]
}

/// A mesh of its own, and a member of it.
async fn mesh(folder: &Path) -> (up::Up, Mesh) {
    let sources = Sources {
        file: None,
        import: Vec::new(),
        overrides: Overrides {
            data: Some(folder.join("data")),
            listen: Some(([127, 0, 0, 1], 0).into()),
            ..Overrides::default()
        },
        env: Env::process(),
        folder: folder.to_owned(),
    };
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = up::Options {
        loaded: config::load(&sources).expect("nothing is wrong with nothing"),
        sources: None,
        gateway: false,
        search: Search {
            project_dirs: vec![project.join(".tools/nats")],
            path_var: None,
        },
        ephemeral: false,
        watchdog: Some(env!("CARGO_BIN_EXE_weft").into()),
    };
    let up = up::Up::start(options)
        .await
        .expect("`make tools` installs nats-server");
    let token =
        std::fs::read_to_string(folder.join("data/token")).expect("whoever runs it has one");
    let local = Mesh::connect(mesh::Options::new(up.url(), token))
        .await
        .expect("let in");
    let wish = serde_json::json!({"name": "time", "permissions": ["serve:tools/time/*"]});
    let issued = local.control::<serde_json::Value>("token_issue", wish);
    let issued = issued.await.expect("a token");
    let token = issued["token"].as_str().expect("a token").to_owned();
    let member = Mesh::connect(mesh::Options::new(up.url(), token)).await;
    (up, member.expect("let in"))
}

#[expect(clippy::print_stderr, reason = "a bench says what it found")]
#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let (up, member) = mesh(folder.path()).await;
    let tasks = Tasks::new();
    let (trust, credential) = trust();
    let bare = measure(inner(), &credential).await;
    let of_caller = caller::Options::new(Tools::new(Side::Client), Duration::from_secs(30));
    let of_caller = measure(caller::stack(inner(), of_caller), &credential).await;
    let of_server = server::stack(inner(), everything(trust, &member, &tasks));
    let of_server = measure(of_server, &credential).await;
    for (what, [median, worst]) in [
        ("the caller's stack", of_caller),
        ("the server's stack", of_server),
    ] {
        let median = median - bare[0];
        eprintln!(
            "{what} adds {median:.2} us to a call (median; the worst round {worst:.2} us in all)"
        );
    }
    member.close().await;
    up.stop().await;
}
