//! Whether the member is seen: as a NATS micro service, and in the registry.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Outcome, Report, Stop,
    asking::{SILENCE, Tester, short},
    rules, words,
};
use crate::{
    bus::probe::{Incoming, Next, Outgoing, Probe},
    error::{Error, Kind, case},
    mesh::Mesh,
    name::CallId,
};

/// How long an answer to `$SRV` may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Answers to one `$SRV` request that are read.
const ANSWERS_MAX: usize = 256;

pub(super) async fn check(
    tester: &mut Tester,
    mesh: &Mesh,
    report: &mut Report,
) -> Result<(), Error> {
    let mut services = match Probe::services(&tester.link).await {
        Ok(probe) => Ok(probe),
        Err(error) if error.kind() == Kind::AccessDenied => Err(operators()),
        Err(error) => return Err(error),
    };
    let tools = mesh.list_tools(tester.server.as_str()).await;
    let tools = tools.map(|tools| tools.len()).ok();
    let server = tester.server.clone();
    let ping = said(&mut services, &format!("PING.{server}")).await;
    let shaped = |answers: &Result<Vec<Value>, Stop>, verb| {
        let answers = answers.as_ref().map_err(Stop::again)?;
        answers
            .iter()
            .try_for_each(|say| describes(say, verb, server.as_str()))
    };
    report.add(&rules::PING, shaped(&ping, "ping"));
    let info = said(&mut services, &format!("INFO.{server}")).await;
    report.add(
        &rules::INFO,
        shaped(&info, "info").and_then(|()| endpoints(&info, tools, ENDPOINT)),
    );
    let stats = said(&mut services, &format!("STATS.{server}")).await;
    report.add(
        &rules::STATS,
        shaped(&stats, "stats").and_then(|()| endpoints(&stats, tools, COUNTS)),
    );
    report.add(
        &rules::ONE_INSTANCE,
        one_instance(&mut services, tester, &ping).await,
    );
    report.add(
        &rules::ELSEWHERE,
        elsewhere(tester, services.as_ref().map(drop)).await,
    );
    let entry: Result<Value, Error> = mesh
        .control("server_get", json!({"server": tester.server}))
        .await;
    report.add(&rules::REGISTERED, registered(&entry, healthy));
    report.add(
        &rules::TOOL_COUNT,
        registered(&entry, |entry| counts(entry, tools)),
    );
    Ok(())
}

fn operators() -> Stop {
    Stop::not_applicable("not checked: it needs an operator's token (`--role operator`)")
}

/// What instances say to one `$SRV` request.
async fn said(services: &mut Result<Probe, Stop>, asked: &str) -> Result<Vec<Value>, Stop> {
    let services = services.as_mut().map_err(|stop| stop.again())?;
    let answers = ask(services, asked).await?;
    let read = |answer: &Incoming| {
        serde_json::from_slice(&answer.body)
            .map_err(|error| Stop::fail(format!("`$SRV.{asked}`: the answer is not JSON: {error}")))
    };
    answers.iter().map(read).collect()
}

async fn ask(services: &mut Probe, asked: &str) -> Result<Vec<Incoming>, Stop> {
    let failed = |error: Error| Stop::fail(words(&error));
    let reply = services.subject(&CallId::now().to_string());
    let message = Outgoing {
        subject: format!("$SRV.{asked}"),
        reply: Some(reply.clone()),
        body: Bytes::new(),
        ..Outgoing::default()
    };
    let sent = services.send(message).await.map_err(failed)?;
    let mut answers = Vec::new();
    // After the first one the others are not far.
    let mut until = Instant::now() + ANSWER_MAX;
    while answers.len() < ANSWERS_MAX {
        match services.next(&sent, until).await.map_err(failed)? {
            Next::Message(message) if message.subject == reply => {
                if answers.is_empty() {
                    until = Instant::now() + SILENCE;
                }
                answers.push(message);
            }
            Next::Message(_) => {}
            Next::Denied => return Err(operators()),
            Next::Nobody | Next::Silence => break,
        }
    }
    if answers.is_empty() {
        return Err(Stop::fail(format!("nobody answers `$SRV.{asked}`")));
    }
    Ok(answers)
}

/// What every answer says (NATS ADR-32).
fn describes(say: &Value, verb: &str, server: &str) -> Outcome {
    let kind = format!("io.nats.micro.v1.{verb}_response");
    if say["type"] != kind {
        return Err(Stop::fail(format!(
            "`type` is {}, not \"{kind}\"",
            say["type"]
        )));
    }
    if say["name"] != server {
        return Err(Stop::fail(format!("`name` is {}", say["name"])));
    }
    let text = |member: &str| say[member].as_str().is_some_and(|text| !text.is_empty());
    if let Some(missing) = ["id", "version"].into_iter().find(|member| !text(member)) {
        return Err(Stop::fail(format!(
            "`{missing}` is missing: {}",
            short(say)
        )));
    }
    let texts = say["metadata"]
        .as_object()
        .map(|all| all.values().all(Value::is_string));
    match (texts, &say["metadata"]["weft.tools"]) {
        (Some(true), Value::String(_)) => Ok(()),
        _ => Err(Stop::fail(
            "`metadata` has no `weft.tools`, or values that are no text",
        )),
    }
}

/// What an endpoint of INFO says, and one of STATS.
const ENDPOINT: &[&str] = &[
    "/name",
    "/subject",
    "/queue_group",
    "/metadata/tool",
    "/metadata/digest",
];
const COUNTS: &[&str] = &[
    "/name",
    "/subject",
    "/num_requests",
    "/num_errors",
    "/processing_time",
    "/average_processing_time",
];
/// Endpoints that one answer names at most.
const ENDPOINTS_MAX: usize = 500;

fn endpoints(
    answers: &Result<Vec<Value>, Stop>,
    tools: Option<usize>,
    members: &[&str],
) -> Outcome {
    for say in answers.as_ref().map_err(Stop::again)? {
        let endpoints = say["endpoints"].as_array();
        let endpoints = endpoints.ok_or_else(|| Stop::fail("`endpoints` is missing"))?;
        let due = tools.map(|tools| tools.min(ENDPOINTS_MAX));
        if due.is_some_and(|due| due != endpoints.len()) {
            let (due, is) = (due.unwrap_or_default(), endpoints.len());
            return Err(Stop::fail(format!(
                "{is} endpoints, and `tools/list` has {due} tools"
            )));
        }
        for endpoint in endpoints {
            let missing = members.iter().find(|member| {
                let value = endpoint.pointer(member);
                !value.is_some_and(|value| value.is_string() || value.is_number())
            });
            if let Some(missing) = missing {
                return Err(Stop::fail(format!(
                    "an endpoint has no `{}`: {}",
                    &missing[1..],
                    short(endpoint)
                )));
            }
        }
    }
    Ok(())
}

async fn one_instance(
    services: &mut Result<Probe, Stop>,
    tester: &Tester,
    ping: &Result<Vec<Value>, Stop>,
) -> Outcome {
    let ping = ping.as_ref().map_err(Stop::again)?;
    let id = ping[0]["id"].as_str().unwrap_or("_");
    let answers = said(services, &format!("PING.{}.{id}", tester.server)).await?;
    match &answers[..] {
        [one] if one["id"] == id => Ok(()),
        [one] => Err(Stop::fail(format!("the instance {} answers", one["id"]))),
        more => Err(Stop::fail(format!("{} instances answer", more.len()))),
    }
}

/// A request whose answer is wanted where a call is answered: there a server may publish.
async fn elsewhere(tester: &mut Tester, may: Result<(), &Stop>) -> Outcome {
    may.map_err(Stop::again)?;
    let reply = tester.reply(CallId::now());
    let message = Outgoing {
        subject: format!("$SRV.PING.{}", tester.server),
        reply: Some(reply.clone()),
        ..Outgoing::default()
    };
    let sent = tester.send(message).await?;
    let rest = tester.probe.rest(SILENCE).await;
    drop(sent);
    if rest.iter().any(|message| message.subject == reply) {
        return Err(Stop::fail("it was answered on a reply subject of a call"));
    }
    Ok(())
}

/// What the registry knows; a server that publishes no heartbeats is none of its.
fn registered(entry: &Result<Value, Error>, check: impl FnOnce(&Value) -> Outcome) -> Outcome {
    match entry {
        Ok(entry) => check(entry),
        Err(error) if error.is_case(case::SERVER_NOT_FOUND) => Err(Stop::not_applicable(
            "it publishes no heartbeats, so the registry does not know it",
        )),
        Err(error) => Err(Stop::not_applicable(format!(
            "the registry says: {}",
            words(error)
        ))),
    }
}

fn healthy(entry: &Value) -> Outcome {
    if entry["state"] == "healthy" {
        return Ok(());
    }
    let reason = entry["reason"].as_str().unwrap_or("it does not say why");
    Err(Stop::fail(format!("it is {}: {reason}", entry["state"])))
}

fn counts(entry: &Value, tools: Option<usize>) -> Outcome {
    let Some(tools) = tools else {
        return Err(Stop::not_applicable("`tools/list` can't be read"));
    };
    if entry["tools"] == json!(tools) {
        return Ok(());
    }
    Err(Stop::fail(format!(
        "they count {}, and `tools/list` has {tools}",
        entry["tools"]
    )))
}
