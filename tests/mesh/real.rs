//! The five reference servers, unmodified, joined by the `mcp.json` of an MCP client: what they
//! say through Weft is what they say to a client of their own, as JSON.

mod added;
mod direct;
mod http;
mod plan;

use std::{collections::BTreeMap, fs};

use serde_json::{Map, Value, json};
use weftbus::{
    error::{Kind, case},
    mcp::{Method, version::Era},
    mesh::Mesh,
};

use self::{
    direct::{Direct, bare},
    plan::{Plan, Plans},
};
use crate::{
    process::until,
    stage::{PATIENCE, Process, Stage, real, told},
};

/// Answers to compare: the calls of `calls.json`, and one page of tools each.
const ANSWERS: [(&str, usize); 5] = [
    ("mcp-server-git", 26),
    ("mcp-server-time", 5),
    ("server-everything", 25),
    ("server-filesystem", 28),
    ("server-memory", 18),
];
const MISSPELT: &str = "time-misspelt";

/// A mesh with a client's file that names the five, each on a fresh state, and one misspelt.
fn stage(plans: &Plans) -> Stage {
    let stage = Stage::new("{}\n");
    let mut list = Map::new();
    for (name, plan) in &plans.servers {
        let folder = stage.path().join("through-weft").join(name);
        plan.prepare(&folder);
        list.insert(name.clone(), plan.entry(&folder));
    }
    list.insert(
        MISSPELT.into(),
        json!({"command": "mcp-server-tiem", "args": ["--verbose"]}),
    );
    let file = json!({"mcpServers": list}).to_string();
    fs::write(stage.path().join("mcp.json"), file).expect("the folder is ours");
    stage
}

/// What one server said, answer by answer: all pages of its tools, then its calls.
struct Said {
    pages: Vec<Value>,
    answers: Vec<Value>,
    era: Era,
    info: Option<Value>,
}

impl Said {
    fn directly(name: &str, plan: &Plan, stage: &Stage) -> Self {
        let folder = stage.path().join("direct").join(name);
        plan.prepare(&folder);
        let mut server = Direct::open(&plan.entry(&folder));
        let mut pages = Vec::new();
        let mut params = Some(json!({}));
        while let Some(page) = params.take() {
            let page = server.request("tools/list", page);
            params = next(&page);
            pages.push(plan.scrubbed(page, None, &folder));
        }
        let answers = plan.steps(&folder).into_iter().map(|step| {
            let params = json!({"name": step.tool, "arguments": step.arguments});
            let answer = server.request("tools/call", params);
            plan.scrubbed(answer, Some(&step), &folder)
        });
        Self {
            answers: answers.collect(),
            pages,
            era: server.era(),
            info: server.server_info.clone(),
        }
    }

    /// The same through Weft, checked against `direct` and without what the era adds.
    async fn through(by: &Mesh, name: &str, plan: &Plan, stage: &Stage, direct: &Self) -> Self {
        let folder = stage.path().join("through-weft").join(name);
        let mut said = Self {
            pages: Vec::new(),
            answers: Vec::new(),
            era: direct.era,
            info: direct.info.clone(),
        };
        let mut params = Some(json!({}));
        while let Some(page) = params.take() {
            let page = answer(by, name, Method::TOOLS_LIST, page).await;
            params = next(&page);
            let page = plan.scrubbed(page, None, &folder);
            let twin = direct.pages.get(said.pages.len()).unwrap_or(&Value::Null);
            said.pages
                .push(said.lowered(page, twin, &Method::TOOLS_LIST));
        }
        for (step, twin) in plan.steps(&folder).iter().zip(&direct.answers) {
            let params = json!({"name": step.tool, "arguments": step.arguments});
            let found = answer(by, name, Method::TOOLS_CALL, params).await;
            let found = plan.scrubbed(found, Some(step), &folder);
            said.answers
                .push(said.lowered(found, twin, &Method::TOOLS_CALL));
        }
        said
    }

    fn lowered(&self, mut answer: Value, direct: &Value, method: &Method) -> Value {
        if self.era == Era::Legacy {
            let info = self.info.as_ref().expect("a handshake tells it");
            let count = added::taken_out(&mut answer, direct, method, info);
            // A list gains all four; a call gains two, and an error nothing.
            let due = match (answer.get("result"), method.is_cacheable()) {
                (None, _) => 0,
                (_, true) => 4,
                (_, false) => 2,
            };
            assert_eq!(count, due, "{answer}");
        }
        answer
    }
}

fn next(page: &Value) -> Option<Value> {
    let cursor = page["result"].get("nextCursor")?;
    Some(json!({"cursor": cursor}))
}

/// What the server answered through the mesh; the mesh itself has nothing to say.
async fn answer(by: &Mesh, server: &str, method: Method, params: Value) -> Value {
    let said = params.to_string();
    let ask = by.ask(server, method, params).expect("a request");
    let answer = ask.send().await;
    let answer = answer.unwrap_or_else(|error| panic!("{server} {said}: {error:?}"));
    bare(serde_json::from_slice(answer.body()).expect("JSON"))
}

fn failed(answer: &Value) -> bool {
    answer.get("error").is_some() || answer["result"]["isError"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn through_weft_they_say_what_they_say() {
    let plans = Plans::read();
    let stage = stage(&plans);
    let mut counts = BTreeMap::new();
    let up = stage.up().await;
    let caller = stage.caller().await;
    for (name, plan) in &plans.servers {
        let direct = tokio::task::block_in_place(|| Said::directly(name, plan, &stage));
        let weft = Said::through(&caller, name, plan, &stage, &direct).await;
        assert_eq!(weft.pages, direct.pages, "{name}: tools/list");
        let steps = plan.steps(&stage.path());
        assert_eq!(weft.answers.len(), steps.len());
        for (step, (weft, direct)) in steps.iter().zip(weft.answers.iter().zip(&direct.answers)) {
            let call = format!("{name} {} {}", step.tool, step.arguments);
            assert_eq!(weft, direct, "{call}");
            assert_eq!(failed(weft), step.must_fail, "{call}: {weft}");
        }
        let tools = direct
            .pages
            .iter()
            .flat_map(|page| page["result"]["tools"].as_array());
        for tool in tools.flatten() {
            let called = plan.calls.iter().any(|call| tool["name"] == *call.tool);
            assert!(called, "calls.json has no call of {name} {}", tool["name"]);
        }
        eprintln!(
            "{name}: {} answers, {:?}",
            weft.pages.len() + steps.len(),
            direct.era
        );
        counts.insert(name.as_str(), weft.pages.len() + steps.len());
    }
    assert_eq!(counts, BTreeMap::from(ANSWERS));
    what_is_wrong_is_said(&up, &caller).await;
    tokio::task::block_in_place(|| the_command_line_says_so_too(&stage));
    caller.close().await;
    up.stop().await;
}

/// Banner, registry and a call say why the misspelt one is not there.
async fn what_is_wrong_is_said(up: &weftbus::app::up::Up, caller: &Mesh) {
    let rows = up.servers();
    assert_eq!(rows.len(), 6);
    let (bad, good): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.problem.is_some());
    assert!(good.iter().all(|row| row.tools > Some(0)), "{good:?}");
    let [row] = bad[..] else { panic!("{bad:?}") };
    assert_eq!((row.server.as_str(), row.tools), (MISSPELT, None));
    says_what_to_do(row.problem.as_deref().expect("it has one"));

    let listed: Value = caller
        .control("server_list", json!({}))
        .await
        .expect("a list");
    let listed = listed["servers"].as_array().expect("servers");
    assert_eq!(listed.len(), 6);
    for entry in listed {
        let state = if entry["server"] == MISSPELT {
            "unhealthy"
        } else {
            "healthy"
        };
        assert_eq!(entry["state"], state, "{entry}");
    }
    let question = json!({"server": MISSPELT});
    let entry: Value = caller
        .control("server_get", question)
        .await
        .expect("it is known");
    assert_eq!(entry["state"], "unhealthy");
    says_what_to_do(entry["reason"].as_str().expect("a reason"));

    let error = caller
        .call_tool(MISSPELT, "get_current_time", json!({"timezone": "UTC"}))
        .await
        .expect_err("it is not there");
    assert_eq!(told(&error), "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
    says_what_to_do(error.message());
    let error = caller
        .call_tool(
            "mcp-server-tme",
            "get_current_time",
            json!({"timezone": "UTC"}),
        )
        .await
        .expect_err("it is in no file");
    assert_eq!(
        (error.kind(), error.case_name()),
        (Kind::ToolNotFound, case::SERVER_NOT_FOUND)
    );
    assert!(error.message().contains("mcp-server-time"), "{error}");
    for server in good {
        let called = caller
            .call_tool(&server.server, "no_such_tool", json!({}))
            .await;
        let error = called.expect_err("it has no such tool");
        assert_eq!(
            told(&error),
            "TOOL_NOT_FOUND TOOL_NOT_FOUND No",
            "{server:?}"
        );
    }
}

/// `weft servers` and `weft call`, as a person types them.
fn the_command_line_says_so_too(stage: &Stage) {
    let run = |words: &[&str]| {
        let done = stage.weft(words).output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (_, out, _) = run(&["servers", "-o", "json"]);
    let listed: Vec<Value> = serde_json::from_str(&out).expect("a list");
    let bad: Vec<_> = listed
        .iter()
        .filter(|entry| entry["state"] != "healthy")
        .collect();
    let [entry] = bad[..] else { panic!("{out}") };
    assert_eq!(entry["server"], MISSPELT);
    says_what_to_do(entry["reason"].as_str().expect("a reason"));
    let (_, table, _) = run(&["servers"]);
    assert!(table.contains("mcp-server-tiem"), "{table}");
    for (server, tool, argument, exit) in [
        ("mcp-server-time", "get_current_time", "timezone=UTC", 0),
        (MISSPELT, "get_current_time", "timezone=UTC", 4),
        ("nobody", "get_current_time", "timezone=UTC", 4),
        ("mcp-server-time", "no_such_tool", "timezone=UTC", 5),
        ("mcp-server-time", "get_current_time", "zone=UTC", 5),
    ] {
        let (code, out, wrong) = run(&["call", server, tool, argument]);
        assert_eq!(code, Some(exit), "{server} {tool} {argument}: {out}{wrong}");
        if server == MISSPELT {
            says_what_to_do(&wrong);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_banner_says_what_is_wrong() {
    let stage = Stage::new("{}\n");
    let list = json!({
        "time": {"command": real("mcp-server-time"), "args": ["--local-timezone", "UTC"]},
        MISSPELT: {"command": "mcp-server-tiem"},
    });
    let file = json!({"mcpServers": list}).to_string();
    fs::write(stage.path().join("mcp.json"), file).expect("the folder is ours");
    let _process = Process::start(&stage).await;
    until(PATIENCE, "the banner tells of both", || {
        let said = stage.said();
        said.contains("time-misspelt") && said.contains("mcp-server-tiem")
    })
    .await;
    says_what_to_do(&stage.said());
    let caller = stage.caller().await;
    let now = caller.call_tool("time", "get_current_time", json!({"timezone": "UTC"}));
    assert!(!now.await.expect("an answer").is_error());
    caller.close().await;
}

fn says_what_to_do(words: &str) {
    assert!(words.contains("mcp-server-tiem"), "{words}");
    assert!(words.contains("PATH"), "{words}");
}
