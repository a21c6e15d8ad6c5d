//! Calls that survive: what becomes of them, and of their effects, when something fails on the way.

mod breaker;
mod once;

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use serde_json::{Value, json};
use weftbus::{
    error::Error,
    mesh::{Mesh, ToolResult},
};

use crate::stage::{PATIENCE, Process, Stage, fixture, real};

/// A mesh beside which replicas of `charges` run, each in an adapter of its own.
struct Shop {
    stage: Stage,
    _mesh: Process,
    replicas: Vec<Replica>,
}

/// An adapter in a process of its own.
struct Replica(tokio::process::Child);

impl Shop {
    async fn open(replicas: usize) -> Self {
        let stage = Stage::new("servers: {}\n");
        let mesh = Process::start(&stage).await;
        let mut shop = Self {
            stage,
            _mesh: mesh,
            replicas: Vec::new(),
        };
        for _ in 0..replicas {
            shop.add(&[], &[]);
        }
        let caller = shop.stage.caller().await;
        shop.serve(&caller, replicas).await;
        caller.close().await;
        shop
    }

    /// Starts another replica, with more words for the adapter and for the server.
    fn add(&mut self, adapter: &[&str], server: &[&str]) {
        let mut command = self
            .stage
            .weft(&["adapter", "charges", "--idempotent", "refund"]);
        command
            .args(adapter)
            .arg("--")
            .arg(real("python"))
            .arg(fixture("charges.py"))
            .arg(self.effects())
            .args(server)
            .stdin(Stdio::null());
        let child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        self.replicas.push(Replica(child));
    }

    /// Waits until so many of them serve.
    async fn serve(&self, by: &Mesh, count: usize) {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let asked = by.control::<Value>("server_get", json!({"server": "charges"}));
            let serving = asked.await.map_or(0, |entry| {
                let all = entry["instances"].as_array().cloned().unwrap_or_default();
                all.iter().filter(|one| one["state"] == "healthy").count()
            });
            if serving == count {
                return;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "{serving} of {count} serve"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn effects(&self) -> PathBuf {
        self.stage.path().join("effects")
    }

    /// How often this call had its effect.
    fn effects_of(&self, id: &str) -> usize {
        let text = fs::read_to_string(self.effects()).unwrap_or_default();
        text.lines().filter(|line| *line == id).count()
    }
}

impl Replica {
    fn pid(&self) -> u32 {
        self.0.id().expect("it was not waited for")
    }
}

/// A call of `charge`, by this key, once.
async fn charge(by: &Mesh, arguments: Value, key: Option<&str>) -> Result<ToolResult, Error> {
    let mut ask = by.tool("charges", "charge", arguments)?.once();
    if let Some(key) = key {
        ask = ask.with_key(key)?;
    }
    ask.send().await?.tool()
}
