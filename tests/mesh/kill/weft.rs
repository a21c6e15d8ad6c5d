//! Weft itself, in a process of its own.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use weftbus::{
    app::{folder::FolderError, up::StartError},
    error::Started,
};

use super::{both_eras, echo};
use crate::{
    process::{lives, until},
    stage::{PATIENCE, Process, Slow, Stage, fixture, real, servers},
};

/// Everything below a killed mesh is gone so long after it.
const GONE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_killed_mesh() {
    let pids = tempfile::NamedTempFile::new().expect("a file");
    let (script, node) = (fixture("stubborn.sh"), real("node"));
    // A shell with `node … & wait`; both ignore the end of their input and TERM.
    let args = [
        script.as_os_str(),
        node.as_os_str(),
        pids.path().as_os_str(),
    ];
    let stage = Stage::new(&servers(&[("stubborn", Path::new("sh"), &args)]));
    let mut process = Process::start(&stage).await;
    let caller = stage.caller().await;
    let slow = Slow::begin(&stage, &caller, "stubborn", 60.0).await;

    let below = process.descendants();
    let named = |name: &str| below.iter().any(|(_, own)| own == name);
    assert!(
        ["nats-server", "weft", "sh"].into_iter().all(named),
        "{below:?}"
    );
    let told = fs::read_to_string(pids.path()).expect("a shell wrote it");
    let told: Vec<u32> = told
        .split_whitespace()
        .map(|pid| pid.parse().expect("a pid"))
        .collect();
    let [shell, node] = told[..] else {
        panic!("{told:?}")
    };
    assert!(
        [shell, node]
            .iter()
            .all(|pid| below.iter().any(|(own, _)| own == pid)),
        "{below:?}"
    );
    eprintln!("killing the parent of {below:?}");
    assert!(below.iter().all(|(pid, _)| lives(*pid)));
    process.kill();
    until(GONE, "nothing is left", || {
        !below.iter().any(|(pid, _)| lives(*pid))
    })
    .await;
    let error = slow
        .answer
        .await
        .expect("no panic")
        .expect_err("its mesh is gone");
    assert_eq!(error.has_started(), Started::Maybe, "{error:?}");
    assert!(!slow_finished(&stage), "nobody went on with it");
    caller.close().await;
}

fn slow_finished(stage: &Stage) -> bool {
    let mark = stage.path().join("stubborn.mark");
    fs::read_to_string(mark).is_ok_and(|text| text.contains("finished"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_mesh_and_outlives_it() {
    let stage = Stage::new(&both_eras());
    let mut process = Process::start(&stage).await;
    let caller = stage.caller().await;
    let wish = json!({"name": "alice", "permissions": ["call:tools/modern/*"]});
    let issued: Value = caller.control("token_issue", wish).await.expect("a token");
    let alice = issued["token"].as_str().expect("a token");
    let revoked = json!({"name": "bob", "permissions": ["call:tools/modern/*"]});
    let revoked: Value = caller
        .control("token_issue", revoked)
        .await
        .expect("a token");
    let bob = revoked["token"].as_str().expect("a token");
    let jti = json!({"jti": revoked["about"]["jti"]});
    let _: Value = caller.control("token_revoke", jti).await.expect("revoked");

    let refused = stage.start().await.expect_err("it is in use");
    let own = process.pid().to_string();
    let StartError::Folder(FolderError::Locked { pid, .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(*pid, own);
    assert!(refused.to_string().contains(&own), "{refused}");
    assert!(refused.to_string().contains("weft down"), "{refused}");
    let mesh = stage
        .join(alice)
        .await
        .expect("the one that runs is not disturbed");
    echo(&mesh, "modern").await.expect("an answer");
    mesh.close().await;

    let below = process.descendants();
    process.kill();
    // At once: whoever starts it again does not wait for what the watchdog does.
    let up = tokio::time::timeout(PATIENCE, stage.up())
        .await
        .expect("it starts");
    // The old servers have their moment between TERM and KILL, also when the new mesh is faster.
    until(GONE, "nothing is left of the killed one", || {
        !below.iter().any(|(pid, _)| lives(*pid))
    })
    .await;
    let mesh = stage.join(alice).await.expect("the token of before holds");
    echo(&mesh, "modern").await.expect("an answer");
    let refused = stage
        .join(bob)
        .await
        .expect_err("and what was revoked stays so");
    assert_eq!(refused.kind().name(), "AUTHENTICATION_FAILED", "{refused}");
    mesh.close().await;
    caller.close().await;
    up.stop().await;
}
