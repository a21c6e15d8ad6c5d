//! What is answered with what was kept, who shares a call, and what is forgotten.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use super::*;
use crate::{
    call::{self, Call, Permissions, Principal, Reply, service::answer},
    error::{Error, Kind, Origin},
    mcp::Request,
    name::{Identity, ServerName},
};

pub(super) const LIST: &str = "tools/list";

/// What a list says that is for all, or for one.
pub(super) fn listed(scope: &str) -> String {
    format!(r#"{{"tools":[],"ttlMs":60000,"cacheScope":"{scope}"}}"#)
}

pub(super) fn rules() -> Rules {
    Rules {
        tools: vec![(Pattern::new("look*"), Duration::from_secs(10))],
        ..Rules::default()
    }
}

/// A call of somebody, with this id and these `params`.
pub(super) fn call_of(who: &str, id: &str, method: &str, params: &str) -> Call {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
    let mut context = call::Context::new(Duration::from_secs(30));
    let who = Identity::new(who).expect("a name");
    let may = Permissions::parse(&["call:tools/gh/*"]).expect("permissions");
    context.principal = Some(Arc::new(Principal::new(who, may)));
    Call::new(
        ServerName::new("gh").expect("a name"),
        Request::parse(Bytes::from(body)).expect("a request"),
        context,
    )
}

fn look(who: &str) -> Call {
    call_of(
        who,
        "7",
        "tools/call",
        r#"{"name":"look","arguments":{"q":1}}"#,
    )
}

fn list(who: &str) -> Call {
    call_of(who, "7", LIST, "{}")
}

type Says = Result<String, fn() -> Error>;

/// A server that answers what it is asked when the gate lets it, and counts what it was asked.
#[derive(Clone)]
struct Server {
    cache: Cache,
    asked: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
    says: Arc<Mutex<Says>>,
}

impl Server {
    /// With its gate open.
    fn new(says: &str) -> Self {
        let server = Self::closed(says);
        server.open(Semaphore::MAX_PERMITS);
        server
    }

    fn closed(says: &str) -> Self {
        Self {
            cache: Cache::new(rules()),
            asked: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            says: Arc::new(Mutex::new(Ok(says.to_owned()))),
        }
    }

    fn open(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    fn says(&self, what: Says) {
        *self.says.lock().expect("nobody panicked") = what;
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    async fn ask(&self, call: Call) -> Result<Value, Error> {
        let this = self.clone();
        let inner = answer(move |call: Call| {
            let this = this.clone();
            async move {
                this.asked.fetch_add(1, Ordering::Relaxed);
                this.gate.acquire().await.expect("it stays").forget();
                let said = this.says.lock().expect("nobody panicked").clone();
                let id = call.request.id().expect("a request").to_owned();
                said.map(|said| Reply {
                    failed: said.contains(r#""isError":true"#),
                    body: format!(r#"{{"jsonrpc":"2.0","id":{id},{}}}"#, member(&said)).into(),
                })
                .map_err(|error| error())
            }
        });
        let reply = Cached::new(Some(self.cache.clone()), inner).oneshot(call);
        Ok(serde_json::from_slice(&reply.await?.body).expect("JSON"))
    }

    /// Asks it so much at once, and opens the gate when all wait.
    async fn at_once(&self, calls: Vec<Call>) -> Vec<Result<Value, Error>> {
        let asking = join_all(calls.into_iter().map(|call| self.ask(call)));
        let opening = async {
            // Each call is polled once before this: they are all there.
            tokio::task::yield_now().await;
            self.open(Semaphore::MAX_PERMITS);
        };
        tokio::join!(asking, opening).0
    }
}

fn member(said: &str) -> String {
    match said.strip_prefix('!') {
        Some(error) => format!(r#""error":{error}"#),
        None => format!(r#""result":{said}"#),
    }
}

fn oks(answers: &[Result<Value, Error>]) -> usize {
    answers.iter().filter(|answer| answer.is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_answers_under_another_id_and_says_how_much_time_is_left() {
    let server = Server::new(&listed("public"));
    let first = server.ask(call_of("alice", "1", LIST, "{}")).await;
    assert_eq!(first.expect("an answer")["result"]["ttlMs"], 60_000);
    tokio::time::advance(Duration::from_secs(20)).await;
    let again = server.ask(call_of("bob", r#""two""#, LIST, "{}")).await;
    let again = again.expect("an answer");
    assert_eq!(
        (&again["id"], &again["result"]["ttlMs"]),
        (&"two".into(), &40_000.into())
    );
    tokio::time::advance(Duration::from_secs(40)).await;
    assert_eq!(server.asked(), 1);
    server.ask(list("alice")).await.expect("an answer");
    assert_eq!(server.asked(), 2, "its time is over");
}

#[tokio::test]
async fn who_shares_an_answer_is_said_by_it_and_of_a_tool_nobody_does() {
    for (says, call, calls) in [
        (listed("public"), list as fn(&str) -> Call, 1),
        (listed("private"), list, 2),
        (r#"{"content":[]}"#.to_owned(), look, 2),
    ] {
        let server = Server::new(&says);
        for who in ["alice", "bob", "alice", "bob"] {
            server.ask(call(who)).await.expect("an answer");
        }
        assert_eq!(server.asked(), calls, "{says}");
    }
}

#[tokio::test]
async fn a_thousand_that_miss_the_same_are_one_call() {
    for (says, call, whose, calls) in [
        (listed("public"), list as fn(&str) -> Call, 2, 1),
        (listed("private"), list, 2, 2),
        (r#"{"content":[]}"#.to_owned(), look, 1, 1),
        (r#"{"content":[]}"#.to_owned(), look, 2, 2),
    ] {
        let server = Server::closed(&says);
        let who = |n: usize| ["alice", "bob"][n % whose];
        let answers = server
            .at_once((0..1000).map(|n| call(who(n))).collect())
            .await;
        assert_eq!(
            (oks(&answers), server.asked()),
            (1000, calls),
            "{says} {whose}"
        );
        let counts = server.cache.counts();
        assert_eq!(counts.shared + counts.hits, 1000 - u64::from(calls));
    }
}

#[tokio::test]
async fn what_fails_is_not_kept_and_what_goes_well_is() {
    let failed: fn() -> Error =
        || Error::new(Kind::InternalError, "it is gone").origin(Origin::Adapter);
    for (says, calls) in [
        (Ok(r#"{"content":[]}"#), 1),
        (Ok(r#"{"content":[],"isError":true}"#), 2),
        (Ok(r#"!{"code":-32602,"message":"no"}"#), 2),
        (
            Ok(r#"{"resultType":"input_required","inputRequests":{}}"#),
            2,
        ),
        (Ok(r#"{"resultType":"complete","content":[]}"#), 1),
        (Ok(r#"{"task":{"taskId":"x"}}"#), 2),
        (Err(failed), 2),
    ] {
        let server = Server::new("{}");
        server.says(says.map(str::to_owned));
        let first = server.ask(look("alice")).await.ok();
        assert_eq!(server.ask(look("alice")).await.ok(), first);
        assert_eq!(server.asked(), calls, "{says:?}");
    }
}

#[tokio::test]
async fn a_call_that_fails_fails_all_that_waited_where_it_is_about_the_server() {
    let gone: fn() -> Error =
        || Error::new(Kind::InternalError, "it is gone").origin(Origin::Adapter);
    let server = Server::closed("{}");
    server.says(Err(gone));
    let answers = server
        .at_once((0..100).map(|_| look("alice")).collect())
        .await;
    assert_eq!((oks(&answers), server.asked()), (0, 1));

    let late: fn() -> Error = || Error::new(Kind::Timeout, "it took long");
    let server = Server::closed("{}");
    server.says(Err(late));
    let answers = server
        .at_once((0..100).map(|_| look("alice")).collect())
        .await;
    assert_eq!(
        (oks(&answers), server.asked()),
        (0, 100),
        "about one call alone: each finds out for itself"
    );
}

#[tokio::test]
async fn who_leads_and_leaves_is_followed_by_the_next_that_waits() {
    let server = Server::closed(r#"{"content":[]}"#);
    let leader = server.ask(look("alice"));
    let others = join_all((0..50).map(|_| server.ask(look("alice"))));
    let mut leader = Box::pin(leader);
    let mut others = Box::pin(others);
    assert!(futures_util::poll!(&mut leader).is_pending());
    assert!(futures_util::poll!(&mut others).is_pending());
    assert_eq!(server.asked(), 1);
    drop(leader);
    assert!(futures_util::poll!(&mut others).is_pending());
    assert_eq!(server.asked(), 2, "one took its place");
    server.open(Semaphore::MAX_PERMITS);
    assert_eq!((oks(&others.await), server.asked()), (50, 2));
}

#[tokio::test(start_paused = true)]
async fn who_waits_waits_no_longer_than_his_own_time() {
    let server = Server::closed(r#"{"content":[]}"#);
    let mut hasty = look("alice");
    hasty.context.deadline = hasty.context.began + Duration::from_millis(50);
    let leader = server.ask(look("alice"));
    let asking = async {
        let error = server.ask(hasty).await.expect_err("its time is over");
        assert_eq!(error.kind(), Kind::Timeout);
        server.open(1);
    };
    let (led, ()) = tokio::join!(leader, asking);
    led.expect("an answer");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn what_changed_is_forgotten_and_what_is_fetched_meanwhile_is_not_kept() {
    let server = Server::new(&listed("public"));
    server.ask(list("alice")).await.expect("an answer");
    server.cache.forget_lists(Lists::Prompts);
    server.ask(list("alice")).await.expect("an answer");
    assert_eq!(server.asked(), 1, "another list changed");
    server.cache.forget_lists(Lists::Tools);
    server.ask(list("alice")).await.expect("an answer");
    assert_eq!(server.asked(), 2);

    let server = Server::closed(&listed("public"));
    let mut early = Box::pin(server.ask(list("alice")));
    assert!(futures_util::poll!(&mut early).is_pending());
    server.cache.forget_lists(Lists::Tools);
    let mut later = Box::pin(server.ask(list("bob")));
    assert!(futures_util::poll!(&mut later).is_pending());
    assert_eq!(server.asked(), 2, "what began before the change is old");
    server.open(1);
    early.await.expect("an answer");
    assert_eq!(server.cache.counts().entries, 0);
    server.open(1);
    later.await.expect("an answer");
    server.ask(list("alice")).await.expect("an answer");
    assert_eq!(server.asked(), 2, "what began after it is kept");
}

#[tokio::test]
async fn a_resource_is_forgotten_by_its_uri() {
    let read = |uri: &str| {
        let params = format!(r#"{{"uri":"{uri}"}}"#);
        call_of("alice", "1", "resources/read", &params)
    };
    let server = Server::new(r#"{"contents":[],"ttlMs":1000,"cacheScope":"private"}"#);
    for uri in ["file:///a", "file:///b"] {
        server.ask(read(uri)).await.expect("an answer");
    }
    server.cache.forget_resource("file:///a");
    server.ask(read("file:///b")).await.expect("an answer");
    assert_eq!(server.asked(), 2);
    server.ask(read("file:///a")).await.expect("an answer");
    assert_eq!(server.asked(), 3);
    server.cache.forget_resources();
    server.ask(read("file:///b")).await.expect("an answer");
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn nothing_waits_for_what_may_not_be_kept() {
    let server = Server::closed(r#"{"tools":[],"ttlMs":0,"cacheScope":"private"}"#);
    let answers = server
        .at_once((0..100).map(|_| list("alice")).collect())
        .await;
    assert_eq!((oks(&answers), server.asked()), (100, 100));
    let before = server.cache.counts();
    join_all((0..100).map(|_| server.ask(list("bob")))).await;
    assert_eq!(server.asked(), 200);
    assert_eq!(
        server.cache.counts(),
        before,
        "it is known by now: none joined"
    );
}

#[tokio::test]
async fn a_call_beyond_those_that_may_wait_goes_its_own_way() {
    let server = Server::closed(r#"{"content":[]}"#);
    let most = flight::WAITING_MAX + 1;
    let calls = (0..most + 3).map(|_| look("alice")).collect();
    let answers = server.at_once(calls).await;
    assert_eq!((oks(&answers), server.asked()), (most + 3, 1 + 3));
}
