//! A server that is a plain NATS client, called by ours: what the document asks of it is enough.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::json;
use tower::ServiceExt as _;
use weftbus::{
    bus::{Bounds, Link, Remote},
    call::{Call, Context, Reply, context::Credential},
    error::{Error, Kind},
    mcp::Request,
    name::{Identity, ServerName},
    spawn::Tasks,
};

use super::plain::{Nats, connect, header};

/// Our side, and the plain client that plays the server `time`.
struct Pair {
    remote: Remote,
    server: Client,
    _tasks: Tasks,
    _nats: Nats,
}

impl Pair {
    async fn start() -> Self {
        let nats = Nats::start().await;
        let tasks = Tasks::new();
        let alice = Identity::new("alice").expect("a name");
        let link = Link::connect(connect(&nats, alice), &tasks).await;
        let link = link.expect("a connection");
        Self {
            remote: Remote::new(link, Bounds::default()),
            server: async_nats::connect(nats.url()).await.expect("a connection"),
            _tasks: tasks,
            _nats: nats,
        }
    }

    /// Calls it so often, while it answers so, and says what it was sent.
    async fn calls(
        &self,
        answers: Vec<(HeaderMap, Bytes)>,
        times: usize,
    ) -> (Vec<Result<Reply, Error>>, Vec<Message>) {
        let subject = "weft.v1.req.*.time.>".to_owned();
        let asked = self.server.queue_subscribe(subject, "weft".to_owned());
        let mut asked = asked.await.expect("a subscription");
        // What the broker says to this it says after it has seen the subscription.
        let nobody = self.server.request("nobody", Bytes::new()).await;
        assert!(nobody.is_err(), "{nobody:?}");
        let serving = async {
            let mut heard = Vec::new();
            for (headers, body) in answers {
                let message = asked.next().await.expect("a call");
                let reply = message.reply.clone().expect("a reply subject");
                let publish = self.server.publish_with_headers(reply, headers, body);
                publish.await.expect("it is published");
                heard.push(message);
            }
            heard
        };
        let calling = async {
            let mut outcomes = Vec::new();
            for _ in 0..times {
                outcomes.push(self.remote.clone().oneshot(call()).await);
            }
            outcomes
        };
        let both = async { tokio::join!(calling, serving) };
        tokio::time::timeout(Duration::from_secs(20), both)
            .await
            .expect("in time")
    }
}

fn call() -> Call {
    let params = json!({"name": "convert_time"});
    let body = json!({"jsonrpc": "2.0", "id": "a1", "method": "tools/call", "params": params});
    let mut context = Context::new(Duration::from_secs(10));
    context.credential = Some(Credential::Either {
        bearer: "token".into(),
        reference: "PEaenWxYddN6Q_NT1PiOYQ".into(),
    });
    Call::new(
        ServerName::new("time").expect("a name"),
        Request::parse(body.to_string().into()).expect("a request"),
        context,
    )
}

fn result() -> (HeaderMap, Bytes) {
    let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":"a1","result":{}}"#);
    (HeaderMap::new(), body)
}

fn error(body: &'static str) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Service-Error", "words");
    headers.insert("Nats-Service-Error-Code", "-32007");
    (headers, Bytes::from_static(body.as_bytes()))
}

#[tokio::test]
async fn a_reference_that_nobody_knows_is_followed_by_the_bearer() {
    let pair = Pair::start().await;
    let block = super::blocks("message")
        .into_iter()
        .find(|block| block.contains("TOKEN_UNKNOWN"));
    let (_, unknown) = block
        .expect("an example")
        .split_once("\n\n")
        .expect("a body");
    let answers = vec![result(), error(unknown), result()];
    let (outcomes, heard) = pair.calls(answers, 2).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let sent: Vec<_> = heard
        .iter()
        .map(|message| (header(message, "Authorization"), header(message, "Weft")))
        .collect();
    let bearer = Some("Bearer token");
    let [first, second, third] = sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!((first.0, third.0, second.0), (bearer, bearer, None));
    let terms = second.1.expect("a reference");
    assert!(terms.contains("ref=PEaenWxYddN6Q_NT1PiOYQ"), "{terms}");
    assert_eq!(heard[1].reply, heard[2].reply, "under the same call id");
}

#[tokio::test]
async fn an_error_in_headers_alone_is_one() {
    let pair = Pair::start().await;
    let (outcomes, _) = pair.calls(vec![error("")], 1).await;
    let error = outcomes[0].as_ref().expect_err("an error");
    assert_eq!(error.kind(), Kind::ToolExecutionError);
    assert!(error.message().contains("words"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_known_at_once() {
    let pair = Pair::start().await;
    let outcome = pair.remote.clone().oneshot(call()).await;
    let error = outcome.expect_err("nobody");
    assert_eq!(error.case_name(), "NO_RESPONDERS");
    assert_eq!(error.has_started(), weftbus::error::Started::No);
}
