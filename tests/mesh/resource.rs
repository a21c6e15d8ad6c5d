//! Shared resources on a real broker: contents of every size, who may do what, two at once, and
//! uploads that nobody ends.

mod access;
mod outside;

use serde_json::{Value, json};
use weftbus::{
    control::Issued,
    error::{Error, Kind},
    mesh::Mesh,
    resource::{Act, Draft, Grant, PART_BYTES, Update},
};

use crate::{
    control::{join, kind_of},
    plane::Plane,
    stage::{Process, Stage},
};

/// May write everything, and reads what is his own.
pub(super) const WRITER: &[&str] = &["write:resources/weft/*"];

pub(super) async fn member(plane: &Plane, name: &str, permissions: &[&str]) -> Mesh {
    let issued: Issued = plane.issue(name, permissions).await;
    join(plane, &issued.token).await.expect("let in")
}

pub(super) fn draft(id: &str) -> Draft {
    Draft::new(id, "application/octet-stream")
}

/// Bytes that are no text and repeat nowhere soon.
fn bytes(count: usize) -> Vec<u8> {
    (0..count)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// How many messages of a stream's subject there are.
async fn stored(plane: &Plane, stream: &str, filter: &str) -> u64 {
    let to = format!("$JS.API.STREAM.INFO.{stream}");
    let asked = json!({"subjects_filter": filter}).to_string();
    let answer = plane.keeper.ask(&to, &asked).await.expect("the broker");
    let info: Value = serde_json::from_slice(&answer.payload).expect("JSON");
    let subjects = info["state"]["subjects"].as_object();
    let counts = subjects.into_iter().flat_map(|all| all.values());
    counts.map(|count| count.as_u64().expect("a number")).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_of_every_size_come_back() {
    let plane = Plane::start().await;
    let alice = member(&plane, "alice", WRITER).await.resources();
    let text = "Grüße\n".repeat(3000).into_bytes();
    let sizes = [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 5 << 20];
    let mut contents: Vec<Vec<u8>> = sizes.iter().map(|&size| bytes(size)).collect();
    contents.push(text);
    for (at, content) in contents.iter().enumerate() {
        let id = format!("test://size/{at}");
        let made = alice
            .register(draft(&id), content)
            .await
            .expect("registered");
        assert_eq!(
            (made.size, made.owner.as_str()),
            (content.len() as u64, "alice")
        );
        let (about, read) = alice.read(&id).await.expect("its own");
        assert!(read == *content, "{} bytes", content.len());
        assert_eq!(about, made);
    }
    let listed = alice.list("test://size/").await.expect("a list");
    assert_eq!(listed.len(), contents.len());
    assert!(listed.iter().all(|one| one.content.is_none()));
    for one in listed {
        alice
            .remove(&one.id, Some(one.version))
            .await
            .expect("removed");
    }
    assert_eq!(alice.list("").await.expect("a list"), []);
    let missing = alice.read("test://size/0").await;
    assert_eq!(kind_of(missing).0, Kind::ResourceNotFound);
    let left = stored(&plane, "WEFT_RESOURCE_PARTS", "weft.v1.res.>").await;
    assert_eq!(left, 0, "contents go with their resources");
}

/// The control plane runs in this process: with what the test itself holds, a part at a time too,
/// it would show here if a content were ever whole in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_pass_in_parts() {
    // In a process of its own: what other tests take is not its.
    let stage = Stage::new("servers: {}\n");
    let process = Process::start(&stage).await;
    let caller = stage.caller().await;
    let alice = caller.resources();
    let part = bytes(PART_BYTES);
    let (count, size) = (200_u64, 200 * PART_BYTES as u64);
    let sha256 = {
        use sha2::{Digest as _, Sha256};
        let mut digest = Sha256::new();
        (0..count).for_each(|_| digest.update(&part));
        data_encoding::HEXLOWER.encode(&digest.finalize())
    };
    let before = process.peak();
    let mut upload = alice
        .upload(draft("test://large"), size, sha256)
        .await
        .expect("begun");
    for _ in 0..count {
        upload.append(&part).await.expect("stored");
    }
    upload.commit().await.expect("registered");
    let mut reader = alice.open("test://large").await.expect("its own");
    let mut got = 0;
    while let Some(read) = reader
        .next()
        .await
        .expect("a part, and its digest at the end")
    {
        got += read.len() as u64;
    }
    assert_eq!(got, size);
    let grown = process.peak() - before;
    assert!(grown < size / 4, "{grown} bytes more, of {size}");
    caller.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_one_is_told_that_the_other_was_first() {
    let plane = Plane::start().await;
    let alice = member(&plane, "alice", WRITER).await.resources();
    let first = alice
        .register(draft("test://x"), b"one")
        .await
        .expect("registered");
    let again = alice.register(draft("test://x"), b"two").await;
    assert_eq!(kind_of(again).0, Kind::InvalidRequest);
    let next = |version| Draft {
        version,
        ..draft("test://x")
    };
    let tries = (0..8).map(|n: u8| {
        let alice = alice.clone();
        async move { (n, alice.register(next(first.version), &[n]).await) }
    });
    let done = futures_util::future::join_all(tries).await;
    let (won, lost): (Vec<_>, Vec<_>) = done.into_iter().partition(|(_, done)| done.is_ok());
    assert_eq!(won.len(), 1);
    for (_, lost) in lost {
        assert_eq!(kind_of(lost).0, Kind::InvalidRequest);
    }
    let (about, content) = alice.read("test://x").await.expect("there");
    assert_eq!(content, [won[0].0]);
    assert!(about.version > first.version && about.created_at == first.created_at);
    let late = Update {
        id: about.id.clone(),
        version: Some(first.version),
        ..Update::default()
    };
    assert_eq!(kind_of(alice.update(late).await).0, Kind::InvalidRequest);
    let change = Update {
        id: about.id,
        version: Some(about.version),
        kind: Some("t".to_owned()),
        ..Update::default()
    };
    assert_eq!(alice.update(change).await.expect("the twin").kind, "t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_nothing_before_it_is_committed() {
    let mut plane = Plane::start().await;
    let alice = member(&plane, "alice", WRITER).await;
    let content = bytes(PART_BYTES + 10);
    let sha256 = {
        use sha2::{Digest as _, Sha256};
        data_encoding::HEXLOWER.encode(&Sha256::digest(&content))
    };
    let begin = json!({"resource": draft("test://x"), "size": content.len(), "sha256": sha256});
    let begun: Value = alice
        .control("resource_begin", begin.clone())
        .await
        .expect("begun");
    let upload = &begun["upload"];
    let append = async |mesh: &Mesh, part: u64, bytes: &[u8]| {
        let blob = data_encoding::BASE64.encode(bytes);
        let asked = json!({"upload": upload, "part": part, "blob": blob});
        mesh.control::<Value>("resource_append", asked).await
    };
    let commit = async |mesh: &Mesh| {
        mesh.control::<Value>("resource_commit", json!({"upload": upload}))
            .await
    };
    let (one, two) = content.split_at(PART_BYTES);
    append(&alice, 2, two).await.expect("in any order");
    append(&alice, 2, two).await.expect("and again");
    let mut other = two.to_vec();
    other[0] ^= 1;
    for (part, wrong) in [(2, other.as_slice()), (1, two), (0, one), (3, two)] {
        assert_eq!(
            kind_of(append(&alice, part, wrong).await).0,
            Kind::InvalidParams
        );
    }
    let said = commit(&alice).await.expect_err("a part is missing");
    assert!(said.message().contains("part 1 is missing"), "{said}");
    // The control plane ends in the middle of it: nothing is visible, and it goes on.
    plane.restart().await;
    assert_eq!(alice.resources().list("").await.expect("a list"), []);
    let missing = alice.resources().read("test://x").await;
    assert_eq!(kind_of(missing).0, Kind::ResourceNotFound);
    let bob = member(&plane, "bob", WRITER).await;
    assert_eq!(
        kind_of(append(&bob, 1, one).await).0,
        Kind::ResourceNotFound,
        "hers"
    );
    append(&alice, 1, one).await.expect("the twin");
    assert_eq!(kind_of(commit(&bob).await).0, Kind::ResourceNotFound);
    let made = commit(&alice).await.expect("the twin");
    let again = commit(&alice).await.expect("its answer may be lost");
    assert_eq!(again, made);
    assert!(alice.resources().read("test://x").await.expect("hers").1 == content);
    let mut wrong = begin;
    wrong["resource"]["id"] = "test://y".into();
    wrong["size"] = json!(1);
    let begun: Value = alice.control("resource_begin", wrong).await.expect("begun");
    let asked = json!({"upload": begun["upload"], "part": 1, "blob": "AA=="});
    let _: Value = alice
        .control("resource_append", asked)
        .await
        .expect("stored");
    let asked = json!({"upload": begun["upload"]});
    let said: Result<Value, Error> = alice.control("resource_commit", asked).await;
    assert!(
        said.expect_err("another digest")
            .message()
            .contains("SHA-256")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_one_is_told_once() {
    let plane = Plane::start().await;
    let alice = member(&plane, "alice", WRITER).await.resources();
    let registered = "weft.v1.evt.weft.resource.registered";
    let updated = "weft.v1.evt.weft.system.resource.updated";
    let made = alice
        .register(draft("test://x"), b"one")
        .await
        .expect("registered");
    assert_eq!(stored(&plane, "WEFT_SYSTEM", registered).await, 1);
    assert_eq!(stored(&plane, "WEFT_SYSTEM", updated).await, 0);
    let next = Draft {
        version: made.version,
        ..draft("test://x")
    };
    alice.register(next, b"two").await.expect("replaced");
    assert_eq!(stored(&plane, "WEFT_SYSTEM", registered).await, 1);
    assert_eq!(stored(&plane, "WEFT_SYSTEM", updated).await, 1);
    alice.remove("test://x", None).await.expect("removed");
    assert_eq!(stored(&plane, "WEFT_SYSTEM", updated).await, 2);
    alice
        .register(draft("test://x"), b"three")
        .await
        .expect("its name is free again");
    assert_eq!(stored(&plane, "WEFT_SYSTEM", registered).await, 2);
    let to = "$JS.API.STREAM.MSG.GET.WEFT_SYSTEM";
    let asked = json!({"last_by_subj": registered}).to_string();
    let answer = plane.keeper.ask(to, &asked).await.expect("the broker");
    let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
    let body = answer["message"]["data"].as_str().expect("a body");
    let body = data_encoding::BASE64
        .decode(body.as_bytes())
        .expect("base64");
    let event: Value = serde_json::from_slice(&body).expect("an event");
    assert_eq!(event["source"], "weft");
    let data =
        json!({"resourceId": "test://x", "type": "application/octet-stream", "owner": "alice"});
    assert_eq!(event["data"], data);
}
