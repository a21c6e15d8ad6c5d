//! `kill -9` of whatever takes part in a call, each time proven to have been in use: what the
//! caller is told, how soon, and what works again.

mod broker;
mod child;
mod control;
mod events;
mod weft;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use weftbus::{error::Error, mesh::Mesh};

use crate::stage::{PATIENCE, fixture, real, servers};

/// `modern`, `legacy` (Python) and their tools.
fn both_eras() -> String {
    let (python, python1) = (real("python"), real("python1"));
    let (modern, legacy) = (fixture("modern.py"), fixture("legacy.py"));
    servers(&[
        ("modern", &python, &[modern.as_os_str()]),
        ("legacy", &python1, &[legacy.as_os_str()]),
    ])
}

/// Calls `echo` until it answers. Until then nothing else may be said than `meanwhile` allows.
async fn answers_again(by: &Mesh, server: &str, meanwhile: fn(&Error) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        match echo(by, server).await {
            Ok(()) => return,
            Err(error) => assert!(meanwhile(&error) && Instant::now() < end, "{error:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn echo(by: &Mesh, server: &str) -> Result<(), Error> {
    let ask = by.tool(server, "echo", json!({"text": "hello"}))?;
    // What is said of one attempt.
    let said = ask.once().send().await?.tool()?;
    assert_eq!(said.text(), "hello");
    Ok(())
}

/// The process of a server, as the registry tells; none while it has none.
async fn process(by: &Mesh, server: &str) -> Option<u32> {
    let question = json!({"server": server});
    let entry: Value = by
        .control("server_get", question)
        .await
        .expect("it is known");
    let pid = entry["instances"][0]["pid"].as_u64()?;
    Some(u32::try_from(pid).expect("a process id"))
}

async fn pid(by: &Mesh, server: &str) -> u32 {
    process(by, server).await.expect("it runs")
}

/// The registry hears of another process soon after it answers.
async fn has_another_process(by: &Mesh, server: &str, than: u32) {
    let end = Instant::now() + PATIENCE;
    while process(by, server).await.is_none_or(|pid| pid == than) {
        assert!(
            Instant::now() < end,
            "{server} still has the process {than}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}
