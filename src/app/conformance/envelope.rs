//! Requests and answers: the shape of both, ids, what is refused and what is dropped.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Outcome, Report, Stop,
    asking::{Ask, SILENCE, Tester, short},
    rules,
};
use crate::{
    error::{Error, Kind, case},
    mcp::Method,
    name::header,
};

/// A method that nobody has.
const NO_METHOD: &str = "weft/no-such-method";
/// What ids may be made of.
const IDS: [&str; 3] = [r#""a1""#, "7", r#""größe ✓ \"\\ 日本""#];

pub(super) async fn check(tester: &mut Tester, report: &mut Report) -> Result<(), Error> {
    report.add(&rules::DISCOVER, discover(tester).await);
    report.add(&rules::TOOLS_LIST, tools_list(tester).await);
    report.add(&rules::SHAPE, shape(tester).await);
    let ids = [rules::ID_STRING, rules::ID_NUMBER, rules::ID_UNICODE];
    for (rule, id) in ids.iter().zip(IDS) {
        report.add(rule, comes_back(tester, id).await);
    }
    report.add(&rules::ONE_END, one_end(tester).await);
    let method = Method::new(NO_METHOD).expect("it can stand in a subject");
    let unknown = refused(tester, Ask::new(method), &[Kind::MethodNotFound], &[]).await;
    report.add(&rules::NO_METHOD, unknown);
    let bad = Ask {
        params: json!("text"),
        ..Ask::list()
    };
    let kinds = [Kind::InvalidRequest, Kind::InvalidParams];
    report.add(&rules::BAD_PARAMS, refused(tester, bad, &kinds, &[]).await);
    report.add(&rules::NO_JSON, no_json(tester).await);
    let invalid = [Kind::InvalidRequest];
    let no_id = r#"{"jsonrpc":"2.0","method":"tools/list","params":{}}"#;
    for (rule, body) in [
        (&rules::NO_ID, Bytes::from_static(no_id.as_bytes())),
        (&rules::BATCH, batch()),
    ] {
        let ask = Ask::list().body(body);
        report.add(rule, refused(tester, ask, &invalid, &[]).await);
    }
    report.add(
        &rules::MISMATCH,
        refused(tester, mismatched(), &invalid, &[case::HEADER_MISMATCH]).await,
    );
    report.add(&rules::FOREIGN_REPLY, foreign_reply(tester).await);
    report.add(&rules::NO_REPLY, no_reply(tester).await);
    Ok(())
}

/// A request whose subject says `tools/list`, and whose body says something else.
fn mismatched() -> Ask {
    let body = Ask::new(Method::DISCOVER).request();
    Ask::list().body(body)
}

/// A request that is to be refused with one of these.
pub(super) async fn refused(
    tester: &mut Tester,
    ask: Ask,
    kinds: &[Kind],
    cases: &[&str],
) -> Outcome {
    tester.ask(&ask).await?.refused(kinds, cases)
}

async fn discover(tester: &mut Tester) -> Outcome {
    let result = tester.result(&Ask::new(Method::DISCOVER)).await?;
    let versions = result["supportedVersions"].as_array();
    if versions.is_none_or(Vec::is_empty) {
        return Err(Stop::fail(format!(
            "no `supportedVersions`: {}",
            short(&result)
        )));
    }
    Ok(())
}

async fn tools_list(tester: &mut Tester) -> Outcome {
    let result = tester.result(&Ask::list()).await?;
    let tools = result["tools"].as_array();
    let tools = tools.ok_or_else(|| Stop::fail(format!("no `tools`: {}", short(&result))))?;
    let nameless = tools.iter().find(|tool| !tool["name"].is_string());
    nameless.map_or(Ok(()), |tool| {
        Err(Stop::fail(format!(
            "a tool without a name: {}",
            short(tool)
        )))
    })
}

async fn shape(tester: &mut Tester) -> Outcome {
    let response = tester.ask(&Ask::list()).await?.response()?;
    let either = response.get("result").is_some() != response.get("error").is_some();
    if response["jsonrpc"] != "2.0" || !either {
        return Err(Stop::fail(format!(
            "no JSON-RPC 2.0 response: {}",
            short(&response)
        )));
    }
    Ok(())
}

async fn comes_back(tester: &mut Tester, id: &str) -> Outcome {
    let ask = Ask {
        id: id.to_owned(),
        ..Ask::list()
    };
    let heard = tester.ask(&ask).await?.id()?;
    let heard = heard.ok_or_else(|| Stop::fail(format!("no id; {id} was sent")))?;
    // The same string may be spelt in several ways; a number that is spelt in another one may
    // be another.
    let text = |json: &str| serde_json::from_str::<String>(json).ok();
    let same = heard.get() == id || text(id).is_some_and(|sent| text(heard.get()) == Some(sent));
    if same {
        return Ok(());
    }
    Err(Stop::fail(format!("{id} came back as {}", heard.get())))
}

async fn one_end(tester: &mut Tester) -> Outcome {
    let answer = tester.ask(&Ask::list()).await?;
    let reply = tester.reply(answer.call);
    let rest = tester.probe.rest(SILENCE).await;
    let more = rest
        .iter()
        .filter(|message| message.subject == reply)
        .count();
    if more > 0 {
        return Err(Stop::fail(format!(
            "{more} more messages behind the terminal"
        )));
    }
    Ok(())
}

async fn no_json(tester: &mut Tester) -> Outcome {
    let answer = tester.ask(&Ask::list().body("{not json")).await?;
    answer.refused(&[Kind::ParseError], &[])?;
    match answer.response()?.get("id") {
        Some(Value::Null) => Ok(()),
        Some(id) => Err(Stop::fail(format!("the id is {id}"))),
        None => Err(Stop::fail("it has no id")),
    }
}

fn batch() -> Bytes {
    let one = Ask::list().request();
    let one = String::from_utf8_lossy(&one);
    format!("[{one}]").into()
}

/// Answered under a subject that is none of a call, a server could be made to write anywhere.
async fn foreign_reply(tester: &mut Tester) -> Outcome {
    let ask = Ask::list();
    let mut message = tester.outgoing(&ask);
    message.reply = Some(tester.probe.subject(&format!("{}.no-call", tester.server)));
    let sent = tester.send(message).await?;
    let wrong = tester.probe.rest(SILENCE).await;
    drop(sent);
    if let Some(answer) = wrong
        .iter()
        .find(|message| message.subject.ends_with(".no-call"))
    {
        let what = answer.header(header::FRAME).unwrap_or("a terminal");
        return Err(Stop::fail(format!("it was answered: {what}")));
    }
    Ok(())
}

async fn no_reply(tester: &mut Tester) -> Outcome {
    let mut message = tester.outgoing(&Ask::list());
    message.reply = None;
    let sent = tester.send(message).await?;
    let next = tester.ask(&Ask::list()).await;
    drop(sent);
    next.map(drop)
}
