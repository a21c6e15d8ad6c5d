//! What an error says: its headers, and the members of `error.data`.

use serde_json::Value;

use super::{
    Outcome, Report, Stop,
    asking::{Answer, Ask, Proof, Tester, short},
    rules,
};
use crate::{
    call::context::Correlation,
    error::{Data, Error, Started},
    name::header::{SERVICE_ERROR, SERVICE_ERROR_CODE, VERSION},
};

/// A correlation id of ours.
const GIVEN: &str = "conformance-7";

pub(super) async fn check(tester: &mut Tester, report: &mut Report) -> Result<(), Error> {
    // A request that is right in all but the token, so all that an error says of it is known.
    let refused = || Ask::list().proof(Proof::None);
    let answer = tester.ask(&refused()).await;
    let given = tester
        .ask(&refused().weft(format!("{VERSION};corr={GIVEN}")))
        .await;
    report.add(&rules::DATA, of(&answer, data));
    report.add(&rules::STARTED, of(&answer, started));
    report.add(&rules::SERVICE_HEADERS, of(&answer, headers));
    report.add(&rules::ERROR_ID, of(&answer, id));
    report.add(&rules::DERIVED, of(&answer, derived));
    report.add(&rules::GIVEN, of(&given, |given| request_id(given, GIVEN)));
    Ok(())
}

/// The check of an answer, where there is one.
fn of(answer: &Result<Answer, Stop>, check: impl FnOnce(&Answer) -> Outcome) -> Outcome {
    check(answer.as_ref().map_err(Stop::again)?)
}

fn data(answer: &Answer) -> Outcome {
    let error = answer.error()?;
    let data: Data = serde_json::from_value(error["data"].clone())
        .map_err(|why| Stop::fail(format!("{why}: {}", short(&error["data"]))))?;
    if Some(data.weft_code) != error["code"].as_i64() {
        return Err(Stop::fail(format!("`weftCode` is {}", data.weft_code)));
    }
    if chrono::DateTime::parse_from_rfc3339(&data.timestamp).is_err() {
        return Err(Stop::fail(format!("`timestamp` is {}", data.timestamp)));
    }
    Ok(())
}

fn started(answer: &Answer) -> Outcome {
    let said = answer.error()?["data"]["started"].clone();
    let no = serde_json::to_value(Started::No).unwrap_or_default();
    // What is missing is told of `data` as a whole.
    match said {
        said if said == no => Ok(()),
        Value::Null => Err(Stop::not_applicable("the error has no `data`")),
        other => Err(Stop::fail(format!("`started` is {other}"))),
    }
}

fn headers(answer: &Answer) -> Outcome {
    let code = answer.error()?["code"]
        .as_i64()
        .map(|code| code.to_string());
    let said = answer.terminal.header(SERVICE_ERROR_CODE).map(str::trim);
    if said != code.as_deref() {
        let said = said.unwrap_or("missing");
        return Err(Stop::fail(format!("`{SERVICE_ERROR_CODE}` is {said}")));
    }
    match answer.terminal.header(SERVICE_ERROR) {
        Some(sentence) if !sentence.trim().is_empty() => Ok(()),
        _ => Err(Stop::fail(format!("`{SERVICE_ERROR}` is missing"))),
    }
}

fn id(answer: &Answer) -> Outcome {
    // The body could be read; so its id is that of the request.
    let sent = Ask::list().id;
    match answer.id()? {
        Some(id) if id.get() == sent => Ok(()),
        Some(id) => Err(Stop::fail(format!("{sent} came back as {}", id.get()))),
        None => Err(Stop::fail("it has no id")),
    }
}

fn derived(answer: &Answer) -> Outcome {
    request_id(answer, &Correlation::Derived(answer.call).to_string())
}

fn request_id(answer: &Answer, right: &str) -> Outcome {
    match &answer.error()?["data"]["context"]["requestId"] {
        said if said == right => Ok(()),
        Value::Null => Err(Stop::not_applicable("the error has no `context.requestId`")),
        said => Err(Stop::fail(format!(
            "`context.requestId` is {said}, not \"{right}\""
        ))),
    }
}
