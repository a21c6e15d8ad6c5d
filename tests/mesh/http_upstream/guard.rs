//! Where requests may go, and what goes with them.

use std::sync::Arc;

use serde_json::json;

use super::{
    peer::{Act, Asked, Peer, modern, response},
    *,
};

fn moved(line: &str, to: &str) -> Vec<Act> {
    vec![response(line, &[("location", to)], "")]
}

fn with_secret(url: &str) -> Options {
    let mut options = options(url);
    options
        .headers
        .add("Authorization", "Bearer s3cret")
        .expect("a header");
    options
}

/// Within its origin a server may send us elsewhere, with all that we sent.
#[tokio::test]
async fn a_redirect_within_the_origin_is_followed() {
    for line in ["307 Temporary Redirect", "308 Permanent Redirect"] {
        let peer = Peer::start(move |asked, _| match asked.path.as_str() {
            "/mcp" => moved(line, "/v2/mcp?x=1"),
            _ => modern(asked),
        })
        .await;
        let server = Server::up(with_secret(&peer.url)).await;
        assert_eq!(server.text("echo", json!({"text": "x"})).await, "x");
        let calls = peer.calls();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[1].path, "/v2/mcp?x=1");
        assert_eq!(calls[1].header("authorization"), "Bearer s3cret");
        assert_eq!(calls[0].body, calls[1].body);
        server.stop().await;
    }
}

/// Elsewhere our headers have no business, and a changed method is no call.
#[tokio::test]
async fn other_redirects_are_not_followed() {
    let other = Arc::new(Peer::start(|asked, _| modern(asked)).await);
    for (line, to, words) in [
        (
            "307 Temporary Redirect",
            other.url.clone(),
            "another origin",
        ),
        (
            "308 Permanent Redirect",
            "https://127.0.0.1/mcp".to_owned(),
            "another origin",
        ),
        ("301 Moved Permanently", "/v2/mcp".to_owned(), "/v2/mcp"),
        ("302 Found", "/v2/mcp".to_owned(), "/v2/mcp"),
        (
            "307 Temporary Redirect",
            "/mcp".to_owned(),
            "more than 5 redirects",
        ),
        ("307 Temporary Redirect", "http://".to_owned(), "no URL"),
    ] {
        let peer = Peer::start(move |_, _| moved(line, &to)).await;
        let server = Server::begin(with_secret(&peer.url));
        let status = server
            .when("it has failed", |status| status.last_error.is_some())
            .await;
        let why = status.last_error.expect("a reason");
        assert!(why.contains(words), "{line}: {why}");
        server.stop().await;
    }
    assert_eq!(other.heard().len(), 0, "nobody came to the other origin");
}

/// A URL from outside does not lead to this machine, neither by its name; one of our own may.
#[tokio::test]
async fn a_url_from_outside_stays_outside() {
    let peer = Peer::start(|asked, _| modern(asked)).await;
    let url = format!("http://localhost:{}/mcp", peer.at.port());
    let endpoint = Endpoint::outside(&url).expect("a name says nothing yet");
    let server = Server::begin(Options::new(endpoint, Headers::default()));
    let status = server
        .when("it has failed", |status| status.last_error.is_some())
        .await;
    let why = status.last_error.expect("a reason");
    assert!(
        why.contains("private network") && why.contains("weft.yaml"),
        "{why}"
    );
    server.stop().await;
    assert_eq!(peer.heard().len(), 0, "nothing was sent");
    let server = Server::up(options(&url)).await;
    server.stop().await;
}

/// What is sent is what was configured and what the transport needs, and nothing else.
#[tokio::test]
async fn requests_carry_what_was_configured_alone() {
    let peer = Peer::start(|asked, _| modern(asked)).await;
    let server = Server::up(with_secret(&peer.url)).await;
    server.text("echo", json!({"text": "x"})).await;
    for asked in peer.heard() {
        assert_eq!(asked.header("authorization"), "Bearer s3cret");
        has_no_other_headers(&asked, &["authorization"]);
    }
    let shown = format!("{:?} {:?}", server.upstream, server.status());
    assert!(!shown.contains("s3cret"), "{shown}");
    server.stop().await;
}

/// Fails where a request has a header that nobody asked for.
pub(super) fn has_no_other_headers(asked: &Asked, configured: &[&str]) {
    const OWN: [&str; 9] = [
        "accept",
        "content-length",
        "content-type",
        "host",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "user-agent",
    ];
    for (name, _) in &asked.headers {
        let known = OWN.contains(&name.as_str()) || configured.contains(&name.as_str());
        assert!(known, "{name}: {}", asked.text);
    }
}
