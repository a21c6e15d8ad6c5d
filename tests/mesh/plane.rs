//! A control plane on a real nats-server, the server `weft` served as in production, and raw
//! clients that hear what the broker refuses them.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};
use weftbus::{
    access::{Lifetimes, Role},
    broker::{Broker, PublicKeys},
    bus::{self, Auth, Link, Reach, ServeOptions, Served, Tls},
    call::Permissions,
    control::{Accounts, Control, Issued, Options, Secrets, Wish, needs, open},
    event::Declared,
    name::{Identity, Instance, ServerName},
    policy,
    spawn::Tasks,
    telemetry::metric::{Side, Tools},
};

use crate::{
    process::watchdog,
    server::{self, Keys},
};

/// Everything that stands behind one mesh.
pub(crate) struct Plane {
    pub(crate) url: String,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) control: Control,
    /// The test's own eyes in STORE.
    pub(crate) keeper: Peer,
    served: Option<Served>,
    tasks: Tasks,
    /// None: whoever made the plane runs the broker.
    _broker: Option<Broker>,
    _dir: tempfile::TempDir,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let secrets = Arc::new(Secrets::load_or_create(dir.path()).expect("secrets"));
        let tasks = Tasks::new();
        let watchdog = watchdog(&tasks).await;
        let mut options = server::options(dir.path(), &Keys::new());
        options.keys = public(&secrets);
        let broker = Broker::start(options, &tasks, &watchdog)
            .await
            .expect("a broker");
        let url = broker.url().to_owned();
        let mut plane = Self::on(url, secrets, dir, tasks).await;
        plane._broker = Some(broker);
        plane
    }

    /// On a broker that somebody else runs, who trusts these secrets.
    pub(crate) async fn on(
        url: String,
        secrets: Arc<Secrets>,
        dir: tempfile::TempDir,
        tasks: Tasks,
    ) -> Self {
        let control = control(&url, &secrets, &tasks).await;
        let served = serve(&url, &secrets, &control, &tasks).await;
        let keeper = ConnectOptions::with_nkey(secrets.store_seed());
        let keeper = Peer::join(&url, "keeper", keeper).await.expect("STORE");
        Self {
            url,
            secrets,
            control,
            keeper,
            served: Some(served),
            tasks,
            _broker: None,
            _dir: dir,
        }
    }

    /// Another control plane on the same broker and secrets, beside this one.
    pub(crate) async fn beside(&self) -> (Control, Served) {
        let control = control(&self.url, &self.secrets, &self.tasks).await;
        let served = serve(&self.url, &self.secrets, &control, &self.tasks).await;
        (control, served)
    }

    /// Stops the control plane and starts another one on the same broker and secrets.
    pub(crate) async fn restart(&mut self) {
        // What is not served any more can't be asked while it ends.
        if let Some(served) = self.served.take() {
            served.drain(Duration::from_secs(1)).await;
        }
        assert!(self.control.stop().await, "it ends in time");
        self.control = control(&self.url, &self.secrets, &self.tasks).await;
        self.served = Some(serve(&self.url, &self.secrets, &self.control, &self.tasks).await);
    }

    pub(crate) async fn issue(&self, name: &str, permissions: &[&str]) -> Issued {
        let wish = wish(name, None, permissions);
        self.control.issue_local(wish).await.expect("a token")
    }

    /// A raw client with a token of this role.
    pub(crate) async fn enter(&self, name: &str, role: Role, permissions: &[&str]) -> Peer {
        let wish = wish(name, Some(role), permissions);
        let issued = self.control.issue_local(wish).await.expect("a token");
        self.connect(name, &issued.token).await.expect("let in")
    }

    pub(crate) async fn connect(&self, name: &str, token: &str) -> Result<Peer, String> {
        Peer::join(
            &self.url,
            name,
            ConnectOptions::with_token(token.to_owned()),
        )
        .await
    }

    /// When a message of a stream was stored: milliseconds since 1970, and nine digits of seconds.
    pub(crate) async fn stored_at(&self, stream: &str, sequence: u64) -> (u64, String) {
        let to = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let asked = format!(r#"{{"seq":{sequence}}}"#);
        let answer = self.keeper.ask(&to, &asked).await.expect("the broker");
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
        let time = answer["message"]["time"].as_str().expect("a time");
        let time = chrono::DateTime::parse_from_rfc3339(time).expect("a time");
        let ms = u64::try_from(time.timestamp_millis()).expect("after 1970");
        let text = time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
        (ms, text)
    }

    /// Everything that STORE holds, as text: streams, counters, subjects.
    pub(crate) async fn holds(&self) -> String {
        let mut all = String::new();
        for stream in ["KV_WEFT_TOKENS", "KV_WEFT_SERVERS"] {
            let info = self
                .keeper
                .ask(
                    &format!("$JS.API.STREAM.INFO.{stream}"),
                    r#"{"subjects_filter":">"}"#,
                )
                .await
                .expect("stream info");
            let info: serde_json::Value =
                serde_json::from_slice(&info.payload).expect("stream info is JSON");
            let state = &info["state"];
            assert!(state.is_object(), "{stream}: {info}");
            writeln!(all, "{stream} {} {}", state["last_seq"], state["subjects"]).expect("text");
        }
        all
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

pub(crate) fn wish(name: &str, role: Option<Role>, permissions: &[&str]) -> Wish {
    Wish {
        name: Identity::new(name).expect("a name"),
        permissions: Permissions::parse(permissions).expect("permissions"),
        role,
        ttl: None,
        renewable: None,
    }
}

pub(crate) fn options(url: &str, secrets: &Arc<Secrets>) -> Options {
    Options {
        urls: vec![url.to_owned()],
        tls: Tls::default(),
        secrets: Arc::clone(secrets),
        issuer: "weft-test".to_owned(),
        lifetimes: Lifetimes::default(),
        replicas: 1,
        accounts: Accounts::Mesh,
        declared: Declared::default(),
        sharing: weftbus::resource::Sharing::default(),
    }
}

async fn control(url: &str, secrets: &Arc<Secrets>, tasks: &Tasks) -> Control {
    Control::start(options(url, secrets), tasks)
        .await
        .expect("a control plane")
}

async fn serve(url: &str, secrets: &Secrets, control: &Control, tasks: &Tasks) -> Served {
    let to = bus::Options {
        urls: vec![url.to_owned()],
        identity: ServerName::weft().identity(),
        auth: Auth::Nkey(secrets.store_seed()),
        tls: Tls::default(),
        name: "weft".to_owned(),
        backlog: weftbus::bus::connect::BACKLOG,
    };
    let link = Link::connect(to, tasks).await.expect("STORE");
    let mut stack = policy::server::Options::new(control.trust(), Tools::new(Side::Server));
    (stack.needs, stack.open) = (needs, open);
    let service = policy::server::stack(control.service(), stack);
    let options = ServeOptions {
        server: ServerName::weft(),
        instance: Instance::random(),
        reach: Reach::Imported,
        limits: bus::Limits::default(),
        timeout: Duration::from_secs(30),
        bounds: bus::Bounds::default(),
        load: weftbus::telemetry::load::Load::default(),
    };
    bus::serve(&link, options, service, tasks)
        .await
        .expect("weft is served")
}

/// Whom a broker must trust for these secrets.
pub(crate) fn public(secrets: &Secrets) -> PublicKeys {
    let [auth, store, sys, issuer, xkey] = secrets.public().map(|(_, key)| key);
    PublicKeys {
        auth,
        store,
        sys,
        issuer,
        xkey,
    }
}

/// A raw client, and what the broker told it.
pub(crate) struct Peer {
    pub(crate) client: Client,
    told: Arc<Mutex<Vec<String>>>,
    name: String,
}

impl Peer {
    pub(crate) async fn join(
        url: &str,
        name: &str,
        options: ConnectOptions,
    ) -> Result<Self, String> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&told);
        let client = options
            .custom_inbox_prefix(format!("weft.v1.inb.{name}.c1"))
            .request_timeout(Some(Duration::from_secs(2)))
            .event_callback(move |event: Event| {
                hear.lock().expect("not poisoned").push(event.to_string());
                std::future::ready(())
            })
            .connect(url)
            .await
            .map_err(|error| format!("{:?}", error.kind()))?;
        Ok(Self {
            client,
            told,
            name: name.to_owned(),
        })
    }

    /// Whether the broker said something that holds all of these words, by now or soon.
    pub(crate) async fn hears(&self, words: &[&str]) -> bool {
        for _ in 0..200 {
            let told = self.told.lock().expect("not poisoned").clone();
            if told
                .iter()
                .any(|line| words.iter().all(|word| line.contains(word)))
            {
                return true;
            }
            sleep(Duration::from_millis(5)).await;
        }
        false
    }

    pub(crate) async fn publish(&self, to: &str, reply: Option<&str>, body: &str) {
        let (to, body) = (to.to_owned(), body.to_owned().into());
        match reply {
            Some(reply) => {
                self.client
                    .publish_with_reply(to, reply.to_owned(), body)
                    .await
            }
            None => self.client.publish(to, body).await,
        }
        .expect("published");
        self.client.flush().await.expect("flushed");
    }

    pub(crate) async fn subscribe(&self, to: &str, queue: Option<&str>) -> Subscriber {
        let to = to.to_owned();
        let subscriber = match queue {
            Some(queue) => self.client.queue_subscribe(to, queue.to_owned()).await,
            None => self.client.subscribe(to).await,
        };
        // A flush is the socket's: when an answer to a later question is there, the broker has
        // seen the subscription.
        let asked = self.ask(&format!("weft.v1.prb.{}", self.name), "").await;
        assert!(asked.is_err(), "nobody answers a probe");
        subscriber.expect("subscribed")
    }

    pub(crate) async fn ask(&self, to: &str, body: &str) -> Result<Message, String> {
        let request = self.client.request(to.to_owned(), body.to_owned().into());
        request.await.map_err(|error| format!("{:?}", error.kind()))
    }

    /// The broker refuses the publication, and names the subject.
    pub(crate) async fn cannot_publish(&self, to: &str) {
        self.told.lock().expect("not poisoned").clear();
        self.publish(to, None, "{}").await;
        let refused = self.hears(&["ublish", &format!("\"{to}\"")]).await;
        assert!(refused, "{} could publish to {to}", self.name);
    }

    /// The broker refuses the subscription, and names the subject.
    pub(crate) async fn cannot_subscribe(&self, to: &str, queue: Option<&str>) {
        self.told.lock().expect("not poisoned").clear();
        let _subscriber = self.subscribe(to, queue).await;
        let refused = self.hears(&["ubscription", &format!("\"{to}\"")]).await;
        assert!(refused, "{} could subscribe to {to} {queue:?}", self.name);
    }

    /// Nothing was refused so far.
    pub(crate) fn is_content(&self) {
        let told = self.told.lock().expect("not poisoned").clone();
        let refused = told.iter().any(|line| line.contains("iolation"));
        assert!(!refused, "{}: {told:?}", self.name);
    }
}

/// The next message, if one comes soon.
pub(crate) async fn next(from: &mut Subscriber) -> Option<Message> {
    timeout(Duration::from_secs(2), from.next()).await.ok()?
}

/// Everything that comes until it is quiet for a while.
pub(crate) async fn all(from: &mut Subscriber) -> Vec<Message> {
    let mut heard = Vec::new();
    while let Ok(Some(message)) = timeout(Duration::from_millis(100), from.next()).await {
        heard.push(message);
    }
    heard
}
