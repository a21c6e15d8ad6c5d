//! Calls that survive: what becomes of them, and of their effects, when something fails on the way.

mod breaker;
mod cache;
mod flood;
mod keyed;
mod once;
mod stopped;

use std::{collections::BTreeMap, fs, path::PathBuf, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use weftbus::{
    error::Error,
    mesh::{self, Mesh, ToolResult},
};

use crate::stage::{PATIENCE, Process, Stage, descendants, fixture, real};

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

    /// Whoever works here, with other options than usual.
    async fn caller(&self, change: impl FnOnce(&mut mesh::Options)) -> Mesh {
        let context = self.stage.context().expect("a mesh runs here");
        let file = context["tokenFile"].as_str().expect("a token file");
        let token = fs::read_to_string(file).expect("a token");
        let mut options = mesh::Options::new(format!("nats://{}", self.broker()), token);
        change(&mut options);
        Mesh::connect(options).await.expect("let in")
    }

    /// Where the broker listens.
    fn broker(&self) -> String {
        let context = self.stage.context().expect("a mesh runs here");
        let url = context["natsUrl"].as_str().expect("a URL");
        url.trim_start_matches("nats://").to_owned()
    }

    fn effects(&self) -> PathBuf {
        self.stage.path().join("effects")
    }

    /// How often this call had its effect.
    fn effects_of(&self, id: &str) -> usize {
        self.effects_by_call().get(id).copied().unwrap_or_default()
    }

    /// How often each call had its effect.
    fn effects_by_call(&self) -> BTreeMap<String, usize> {
        self.count(|(id, _)| id.to_owned())
    }

    /// How many effects each process of a server had.
    fn charged_by(&self) -> BTreeMap<u32, usize> {
        self.count(|(_, pid)| pid.parse().expect("a process id"))
    }

    fn count<K: Ord>(&self, by: impl Fn((&str, &str)) -> K) -> BTreeMap<K, usize> {
        let text = fs::read_to_string(self.effects()).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for line in text.lines().filter_map(|line| line.split_once(' ')) {
            *counts.entry(by(line)).or_default() += 1;
        }
        counts
    }
}

impl Replica {
    fn pid(&self) -> u32 {
        self.0.id().expect("it was not waited for")
    }

    /// The processes below it.
    fn servers(&self) -> Vec<u32> {
        let all = descendants(self.pid());
        all.into_iter().map(|(pid, _)| pid).collect()
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("it lives");
}

/// A call of `charge`, by this key, once.
async fn charge(by: &Mesh, arguments: Value, key: Option<&str>) -> Result<ToolResult, Error> {
    let mut ask = by.tool("charges", "charge", arguments)?.once();
    if let Some(key) = key {
        ask = ask.with_key(key)?;
    }
    ask.send().await?.tool()
}
