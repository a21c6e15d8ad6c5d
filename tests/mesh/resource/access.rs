//! Who may do what with a resource, and what who may not is told.

use super::*;

fn shared(id: &str, grants: &[(&str, Act)]) -> Draft {
    let grant = |(who, act): &(&str, Act)| Grant {
        who: (*who).to_owned(),
        may: vec![*act],
    };
    Draft {
        permissions: grants.iter().map(grant).collect(),
        ..draft(id)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_read_and_write() {
    let plane = Plane::start().await;
    let alice = member(&plane, "alice", WRITER).await.resources();
    let lines = [("team-*", Act::Read), ("editor", Act::Write)];
    let made = alice
        .register(shared("test://x", &lines), b"x")
        .await
        .expect("registered");
    let read = "read:resources/weft/test://x";
    let write = "write:resources/weft/test://x";
    let list = "list:resources/weft/test://*";
    let (none, no) = (Some(Kind::ResourceNotFound), Some(Kind::AccessDenied));
    for (who, permissions, reads, writes) in [
        ("alice", vec![], None, None),
        ("team-1", vec![], None, no),
        ("teams", vec![], none, none),
        ("editor", vec![], no, None),
        ("lister", vec![list], no, no),
        ("granted", vec![read], None, no),
        ("beside", vec!["read:resources/weft/test://y"], none, none),
        (
            "other-server",
            vec!["read:resources/other/test://x"],
            none,
            none,
        ),
        ("writer", vec![write], no, None),
        ("both", vec![read, write], None, None),
        ("nobody", vec![], none, none),
        ("root", vec!["*"], None, None),
    ] {
        let mesh = member(&plane, who, &permissions).await.resources();
        let read = mesh.read("test://x").await;
        assert_eq!(read.err().map(|error| error.kind()), reads, "{who} reads");
        let listed = mesh.list("").await.expect("a list").len();
        assert_eq!(listed == 1, reads.is_none(), "{who} lists what he may read");
        let change = Update {
            id: "test://x".to_owned(),
            kind: Some("t".to_owned()),
            ..Update::default()
        };
        let changed = mesh.update(change).await;
        assert_eq!(
            changed.err().map(|error| error.kind()),
            writes,
            "{who} writes"
        );
    }
    let nobody = member(&plane, "nobody", &[]).await.resources();
    let hidden = nobody.read("test://x").await.expect_err("hidden");
    let absent = nobody.read("test://z").await.expect_err("absent");
    let without = |error: &Error| error.message().replace("test://z", "test://x");
    assert_eq!(without(&hidden), without(&absent), "no oracle");
    let hidden = nobody
        .register(draft("test://x"), b"")
        .await
        .expect_err("hidden");
    let absent = nobody
        .register(draft("test://z"), b"")
        .await
        .expect_err("absent");
    assert_eq!(
        (hidden.kind(), absent.kind()),
        (Kind::AccessDenied, Kind::AccessDenied)
    );
    assert_eq!(without(&hidden), without(&absent), "no oracle");
    assert!(made.version > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_write_may_not_say_who_else_may() {
    let plane = Plane::start().await;
    let alice = member(&plane, "alice", WRITER).await.resources();
    let lines = [("editor", Act::Write), ("editor", Act::Read)];
    let made = alice
        .register(shared("test://x", &lines), b"x")
        .await
        .expect("registered");
    let editor = member(&plane, "editor", &[]).await.resources();
    let open = shared("test://x", &[("*", Act::Read)]);
    let wider = Update {
        id: open.id.clone(),
        permissions: Some(open.permissions.clone()),
        ..Update::default()
    };
    assert_eq!(
        kind_of(editor.update(wider.clone()).await).0,
        Kind::AccessDenied
    );
    let widest = Draft {
        version: made.version,
        ..open
    };
    assert_eq!(
        kind_of(editor.register(widest, b"y").await).0,
        Kind::AccessDenied
    );
    let same = Draft {
        version: made.version,
        ..shared("test://x", &lines)
    };
    let replaced = editor.register(same, b"y").await.expect("the twin");
    assert_eq!(replaced.owner.as_str(), "alice", "it stays hers");
    alice.update(wider).await.expect("the twin");
    let nobody = member(&plane, "nobody", &[]).await.resources();
    assert_eq!(nobody.read("test://x").await.expect("for all").1, b"y");
    let nobody_removes = nobody.remove("test://x", None).await;
    assert_eq!(kind_of(nobody_removes).0, Kind::AccessDenied);
    alice.remove("test://x", None).await.expect("the twin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_more_room_than_he_has() {
    let plane = Plane::start().await;
    let alice = member(&plane, "alice", WRITER).await;
    let quota = weftbus::resource::Quota::default();
    let begin = async |mesh: &Mesh, id: &str, size: u64| {
        let asked = json!({"resource": draft(id), "size": size, "sha256": "0".repeat(64)});
        mesh.control::<Value>("resource_begin", asked).await
    };
    let over = begin(&alice, "test://a", quota.bytes + 1)
        .await
        .expect_err("too much");
    assert_eq!(over.kind(), Kind::InvalidRequest);
    assert!(over.message().contains("no room"), "{over}");
    begin(&alice, "test://a", quota.bytes)
        .await
        .expect("the twin");
    let more = begin(&alice, "test://b", 1).await;
    assert_eq!(kind_of(more).0, Kind::InvalidRequest, "open uploads count");
    let bob = member(&plane, "bob", WRITER).await;
    for n in 0..8 {
        begin(&bob, &format!("test://b{n}"), 1)
            .await
            .expect("another's room");
    }
    let ninth = begin(&bob, "test://b8", 1).await.expect_err("too many");
    assert!(ninth.message().contains("open uploads"), "{ninth}");
}

/// A grant at run time gives what a token does not, and takes even from the owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_give_and_take() {
    let plane = Plane::start().await;
    let alice = member(&plane, "alice", WRITER).await.resources();
    let bob = member(&plane, "bob", &[]).await.resources();
    let operator = member(&plane, "root", &["*"]).await;
    let made = alice.register(draft("test://x"), b"x").await;
    made.expect("registered");
    assert!(alice.read("test://x").await.is_ok());
    let hidden = bob.read("test://x").await.expect_err("not his");
    assert_eq!(hidden.kind(), Kind::ResourceNotFound);
    for (who, deny) in [("bob", false), ("alice", true)] {
        let grant = serde_json::json!({
            "who": who, "permission": "read:resources/weft/test://x", "deny": deny,
        });
        let added = operator.control::<serde_json::Value>("grant_add", grant);
        added.await.expect("granted");
    }
    // Snapshots tell it within a second.
    let end = tokio::time::Instant::now() + crate::stage::PATIENCE;
    loop {
        let (his, hers) = (bob.read("test://x").await, alice.read("test://x").await);
        if his.is_ok() && hers.as_ref().is_err_and(|e| e.kind() == Kind::AccessDenied) {
            break;
        }
        assert!(
            tokio::time::Instant::now() < end,
            "{:?} {:?}",
            his.is_ok(),
            hers.err()
        );
    }
}
