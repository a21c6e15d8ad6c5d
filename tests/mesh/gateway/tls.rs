//! TLS at the gateway, seen by real clients: who gets through, and who is told what.

use std::{sync::Arc, time::Duration};

use reqwest::{Certificate, Identity};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};
use weftbus::app::up::Up;

use crate::{
    certificates::{Authority, Pair, When, write},
    process::until,
    stage::{PATIENCE, Process, Stage},
};

/// A mesh without servers whose gateway speaks TLS.
struct Place {
    up: Up,
    _stage: Stage,
}

impl Place {
    async fn open(own: &Pair, clients: Option<&Authority>) -> Self {
        let ca = clients.map_or("", |_| ", clientCa: clients.pem");
        let stage = Stage::new(&format!(
            "gateway: {{ tls: {{ cert: own.pem, key: own.key{ca} }} }}\n"
        ));
        own.write(&stage.path(), "own");
        if let Some(clients) = clients {
            write(&stage.path(), "clients.pem", &clients.pem());
        }
        Self {
            up: stage.up().await,
            _stage: stage,
        }
    }

    fn address(&self) -> String {
        let url = self.up.gateway_url().expect("there is a gateway");
        let rest = url
            .strip_prefix("https://")
            .expect("it says that it speaks TLS");
        rest.trim_end_matches("/mcp").to_owned()
    }

    fn livez(&self) -> String {
        format!("https://{}/livez", self.address())
    }

    async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address())
            .await
            .expect("it listens")
    }
}

/// A connection of a client that offers these protocols.
async fn shaken(
    address: &str,
    ca: &Authority,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("PEM");
    roots.add(ca).expect("an authority");
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(address).await.expect("it listens");
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Asks whether it lives, over a connection that is there.
async fn lives(stream: &mut TlsStream<TcpStream>, address: &str) -> String {
    let asked = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.expect("sent");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("an answer");
    said
}

/// A client that believes this authority alone.
fn client(ca: &Authority, own: Option<&Pair>) -> reqwest::Client {
    let ca = Certificate::from_pem(ca.pem().as_bytes()).expect("PEM");
    let mut builder = reqwest::Client::builder()
        .tls_certs_only([ca])
        .timeout(Duration::from_secs(30));
    if let Some(own) = own {
        let own = Identity::from_pem(own.both().as_bytes()).expect("PEM");
        builder = builder.identity(own);
    }
    builder.build().expect("a client")
}

async fn status(client: &reqwest::Client, url: &str) -> Result<u16, String> {
    let answer = client.get(url).send().await;
    match answer {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(error) => Err(format!("{error:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sees_a_certificate_that_it_can_check() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let place = Place::open(&ours.server(When::Now), None).await;
    let answer = client(&ours, None).get(place.livez()).send().await;
    let answer = answer.expect("the twin of them all");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.version(), reqwest::Version::HTTP_11);
    let refused = status(&client(&other, None), &place.livez()).await;
    let why = refused.expect_err("nobody that this client knows signed it");
    assert!(why.contains("UnknownIssuer"), "{why}");
    let no_token = client(&ours, None)
        .post(place.livez().replace("/livez", "/mcp"))
        .body("{}")
        .send()
        .await
        .expect("an answer");
    assert_eq!(no_token.status(), 401, "TLS lets nobody in by itself");
    let page = |origin: String| {
        let asked = client(&ours, None)
            .get(place.livez())
            .header("origin", origin);
        async move { asked.send().await.expect("an answer").status().as_u16() }
    };
    assert_eq!(page(format!("https://{}", place.address())).await, 200);
    assert_eq!(page(format!("http://{}", place.address())).await, 403);
    place.up.stop().await;

    let place = Place::open(&ours.server(When::Past), None).await;
    let refused = status(&client(&ours, None), &place.livez()).await;
    let why = refused.expect_err("it is over");
    assert!(why.contains("Expired"), "{why}");
    place.up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_authority_for_clients_a_certificate_of_it_is_needed() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let place = Place::open(&ours.server(When::Now), Some(&theirs)).await;
    let own = theirs.client();
    let livez = place.livez();
    assert_eq!(status(&client(&ours, Some(&own)), &livez).await, Ok(200));
    let stranger = ours.client();
    for (what, own) in [("no certificate", None), ("a stranger's", Some(&stranger))] {
        assert!(status(&client(&ours, own), &livez).await.is_err(), "{what}");
    }
    assert_eq!(status(&client(&ours, Some(&own)), &livez).await, Ok(200));
    place.up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_plainly_hears_why_that_is_wrong() {
    let ours = Authority::new("ours");
    let place = Place::open(&ours.server(When::Now), None).await;
    let plain = format!("http://{}/livez", place.address());
    let told = reqwest::get(plain).await.expect("an answer");
    assert_eq!(told.status(), 400);
    let body = told.text().await.expect("a body");
    assert_eq!(body, "TLS is spoken here: begin the URL with https://");
    assert_eq!(status(&client(&ours, None), &place.livez()).await, Ok(200));
    place.up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_not_spoken() {
    let ours = Authority::new("ours");
    let place = Place::open(&ours.server(When::Now), None).await;
    let address = place.address();
    let refused = shaken(&address, &ours, &[b"h2"]).await;
    let why = refused
        .expect_err("there is no protocol for both")
        .to_string();
    assert!(why.contains("NoApplicationProtocol"), "{why}");
    let both = shaken(&address, &ours, &[b"h2", b"http/1.1"]).await;
    let mut both = both.expect("one for both");
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let said = lives(&mut both, &address).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    place.up.stop().await;
}

/// More connections than there may be handshakes at once say nothing, or half a greeting: they
/// delay nobody, and are let go of.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_never_greet_delay_nobody_and_are_let_go() {
    let ours = Authority::new("ours");
    let place = Place::open(&ours.server(When::Now), None).await;
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut stream = place.raw().await;
        if n % 2 == 0 {
            // The head of a record of a greeting that never comes.
            stream
                .write_all(&[0x16, 3, 1, 2, 0, 1])
                .await
                .expect("sent");
        }
        silent.push(stream);
    }
    assert_eq!(status(&client(&ours, None), &place.livez()).await, Ok(200));
    for mut stream in silent {
        let mut rest = Vec::new();
        // A connection that stays fails here by the patience of the test.
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        drop(ended.expect("it is let go"));
    }
    assert_eq!(status(&client(&ours, None), &place.livez()).await, Ok(200));
    place.up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_files_are_taken_and_connections_stay() {
    let (ours, next) = (Authority::new("ours"), Authority::new("next"));
    let stage = Stage::new("gateway: { tls: { cert: own.pem, key: own.key } }\n");
    ours.server(When::Now).write(&stage.path(), "own");
    let process = Process::start(&stage).await;
    let url = stage.context().expect("it runs")["gatewayUrl"].clone();
    let url = url.as_str().expect("a URL");
    let address = url.trim_start_matches("https://").trim_end_matches("/mcp");
    let livez = format!("https://{address}/livez");
    let mut old = shaken(address, &ours, &[]).await.expect("a connection");

    next.server(When::Now).write(&stage.path(), "own");
    until_lives(&next, &livez).await;
    assert!(
        status(&client(&ours, None), &livez).await.is_err(),
        "the one before is used no longer"
    );
    let said = lives(&mut old, address).await;
    assert!(
        said.starts_with("HTTP/1.1 200"),
        "the old connection goes on: {said}"
    );

    // Half a change: the certificate of another key. What was used is used on.
    let whole = ours.server(When::Now);
    write(&stage.path(), "own.pem", &whole.cert);
    until(PATIENCE, "it says what is wrong", || {
        stage
            .said()
            .contains("the changed certificate can't be used")
    })
    .await;
    assert_eq!(status(&client(&next, None), &livez).await, Ok(200));
    write(&stage.path(), "own.key", &whole.key);
    until_lives(&ours, &livez).await;
    drop(process);
}

/// Waits until a client that believes this authority is answered.
async fn until_lives(ca: &Authority, livez: &str) {
    let answered = async {
        // Each try is a client of its own: a connection that is kept would tell nothing.
        while status(&client(ca, None), livez).await != Ok(200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, answered)
        .await
        .expect("the new one is used");
}

/// An address that is this machine's, and that nobody can know to be: as far as another machine's.
const AFAR: &str = "[::ffff:127.0.0.1]:0";

#[tokio::test(flavor = "multi_thread")]
async fn beyond_this_machine_it_listens_with_tls_or_when_told_to() {
    let ours = Authority::new("ours");
    let stage = Stage::new("");
    let refused = stage.weft(&["up", "--listen", AFAR]);
    let said = ended(refused).await;
    assert!(
        said.contains("there is no TLS") && said.contains("--insecure"),
        "{said}"
    );

    let stage = Stage::new(&format!(
        "gateway: {{ listen: '{AFAR}', insecure: true }}\n"
    ));
    let up = stage.listening().await;
    assert!(up.is_in_the_clear());
    up.stop().await;

    let stage = Stage::new(&format!(
        "gateway: {{ listen: '{AFAR}', tls: {{ cert: own.pem, key: own.key }}, publicUrl: 'https://localhost:1/' }}\n"
    ));
    ours.server(When::Now).write(&stage.path(), "own");
    let up = stage.listening().await;
    assert!(!up.is_in_the_clear());
    assert_eq!(up.gateway_url().as_deref(), Some("https://localhost:1/mcp"));
    up.stop().await;

    let stage = Stage::new("gateway: { tls: { cert: absent.pem, key: own.key } }\n");
    let error = stage.start().await.expect_err("there is no certificate");
    let said = error.to_string();
    assert!(
        said.contains("`gateway.tls.cert`") && said.contains("absent.pem"),
        "{said}"
    );
}

/// What a command said that ends by itself.
async fn ended(mut command: std::process::Command) -> String {
    let run = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    let output = timeout(PATIENCE, run)
        .await
        .expect("in time")
        .expect("it ran");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
