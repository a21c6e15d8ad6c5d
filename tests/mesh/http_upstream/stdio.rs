//! Servers of 2024-11-05 and 2025-03-26 over stdio, the one with batches among them.

use serde_json::{Value, json};
use tower::Service as _;
use weftbus::{
    adapter::{
        Status,
        stdio::{Launch, Options, Upstream},
    },
    call::{Call, CallFuture, Context, Notify},
    mcp::{Request, version::Era},
    name::ServerName,
    spawn::Tasks,
};

use super::{PATIENCE, body, said, tool};
use crate::{
    process::watchdog,
    stage::{fixture, real},
};

fn call(server: &Upstream, request: &Value, notify: Option<Notify>) -> CallFuture {
    let body = serde_json::to_vec(request).expect("JSON");
    let request = Request::parse(body.into()).expect("a request");
    let mut context = Context::new(PATIENCE);
    context.notify = notify;
    let name = ServerName::new("old").expect("a name");
    server.clone().call(Call::new(name, request, context))
}

#[tokio::test]
async fn the_oldest_revisions_are_carried() {
    for (revision, batch) in [
        ("2024-11-05", false),
        ("2025-03-26", false),
        ("2025-03-26", true),
        ("2025-06-18", false),
    ] {
        let what = format!("{revision} {batch}");
        let mut args = vec![fixture("revision.py").into(), revision.into()];
        args.extend(batch.then(|| "--batch".into()));
        let options = Options::new(Launch {
            command: real("python"),
            args,
            ..Launch::default()
        });
        let tasks = Tasks::new();
        let dog = watchdog(&tasks).await;
        let name = ServerName::new("old").expect("a name");
        let server = Upstream::start(name, options, &dog, &tasks);
        let mut status = server.status();
        let up = tokio::time::timeout(PATIENCE, status.wait_for(Status::is_up)).await;
        let status = up.expect("in time").expect("it lives").clone();
        let peer = status.peer.expect("it is open");
        assert_eq!((peer.era, peer.revision.as_str()), (Era::Legacy, revision));
        assert_eq!(status.tools.tools.len(), 2, "{what}");

        let mut echo = tool("echo", json!({"text": "ä"}));
        echo["params"]["_meta"] = json!({"progressToken": "mine"});
        let (notify, mut heard) = Notify::channel();
        let reply = call(&server, &echo, Some(notify)).await.expect("an answer");
        assert_eq!(said(&reply), "ä", "{what}");
        assert_eq!(body(&reply)["id"], "caller's");
        assert_eq!(body(&reply)["result"]["resultType"], "complete");
        let progress = heard.try_next().expect("progress, also out of a batch");
        let progress: Value = serde_json::from_slice(&progress).expect("JSON");
        assert_eq!(progress["params"]["progressToken"], "mine", "{what}");

        // Two answers of one line reach who asked for each.
        let [one, other] = ["one", "other"].map(|text| {
            let pair = tool("pair", json!({"text": text}));
            call(&server, &pair, None)
        });
        let (one, other) = tokio::join!(one, other);
        assert_eq!(said(&one.expect("an answer")), "one", "{what}");
        assert_eq!(said(&other.expect("an answer")), "other", "{what}");
        let dropped = server.status().borrow().dropped;
        assert_eq!((dropped.bad_lines, dropped.answers), (0, 0), "{what}");
        assert!(server.stop().await, "{what}");
    }
}
