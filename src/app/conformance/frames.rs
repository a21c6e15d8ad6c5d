//! What one call said before its answer, frame by frame.

use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    Outcome, Report, Rule, Stop,
    asking::{Answer, short},
    rules,
};
use crate::name::header::{Frame, Terms, WEFT};

/// The progress token of the calls that want to hear.
pub(super) const TOKEN: &str = "conformance-progress";
/// The rules that are seen in one call.
pub(super) const RULES: [Rule; 6] = [
    rules::ACK,
    rules::NUMBERS,
    rules::NOTIFICATIONS,
    rules::COUNT,
    rules::KEEP_ALIVE,
    rules::PARTS,
];

/// A call that took so long must have been acknowledged: 50 ms, looked at every 50 ms, and some.
const ACK_MAX: Duration = Duration::from_millis(250);
/// A call that took so long must have said that it lives.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(17);

/// Adds what these frames show.
pub(super) fn check(answer: &Result<Answer, Stop>, report: &mut Report) {
    let checks: [fn(&Answer) -> Outcome; 6] =
        [ack, numbers, notifications, count, keep_alive, parts];
    for (rule, check) in RULES.iter().zip(checks) {
        let outcome = answer.as_ref().map_err(Stop::again).and_then(check);
        report.add(rule, outcome);
    }
}

/// The `msg` frames, with their numbers.
pub(super) fn messages(answer: &Answer) -> Vec<(u32, Value)> {
    let frames = answer.frames.iter();
    frames
        .filter_map(|(frame, message)| match Frame::parse(frame)? {
            Frame::Message(number) => {
                let body = serde_json::from_slice(&message.body).unwrap_or_default();
                Some((number, body))
            }
            _ => None,
        })
        .collect()
}

fn told(answer: &Answer) -> Result<Vec<(u32, Value)>, Stop> {
    let messages = messages(answer);
    if messages.is_empty() {
        return Err(Stop::not_applicable(
            "the tool says nothing before its answer",
        ));
    }
    Ok(messages)
}

fn terms(header: Option<&str>) -> Result<Terms, Stop> {
    let terms = header.map_or_else(|| Ok(Terms::default()), Terms::parse);
    terms.map_err(|error| Stop::fail(error.to_string()))
}

fn ack(answer: &Answer) -> Outcome {
    let acks = answer.frames.iter().filter(|(frame, _)| frame == "ack");
    let mut instances = acks.map(|(_, message)| terms(message.header(WEFT)));
    match instances.next() {
        Some(terms) => match terms?.instance {
            Some(_) => Ok(()),
            None => Err(Stop::fail(
                "the `ack` does not say which instance it is of (`inst`)",
            )),
        },
        None if answer.took < ACK_MAX => Err(Stop::not_applicable(format!(
            "the call ended after {} ms",
            answer.took.as_millis()
        ))),
        None => Err(Stop::fail(format!(
            "none came in {} ms",
            answer.took.as_millis()
        ))),
    }
}

fn numbers(answer: &Answer) -> Outcome {
    let numbers: Vec<u32> = told(answer)?
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    let right = numbers[0] >= 1 && numbers.is_sorted_by(|one, next| one < next);
    if right {
        return Ok(());
    }
    let shown: Vec<String> = numbers.iter().take(20).map(u32::to_string).collect();
    Err(Stop::fail(format!("they came as {}", shown.join(", "))))
}

fn notifications(answer: &Answer) -> Outcome {
    for (number, said) in told(answer)? {
        let good = said["jsonrpc"] == "2.0" && said["method"].is_string() && said["id"].is_null();
        if !good {
            return Err(Stop::fail(format!(
                "`msg;{number}` is none: {}",
                short(&said)
            )));
        }
        let progress = said["method"] == "notifications/progress";
        if progress && said["params"]["progressToken"] != json!(TOKEN) {
            let token = &said["params"]["progressToken"];
            return Err(Stop::fail(format!("`msg;{number}` has the token {token}")));
        }
    }
    Ok(())
}

fn count(answer: &Answer) -> Outcome {
    let said = terms(answer.terminal.header(WEFT))?.frames.unwrap_or(0);
    let last = messages(answer).last().map_or(0, |(number, _)| *number);
    match (said, last) {
        (0, 0) => told(answer).map(drop),
        (said, last) if said == last => Ok(()),
        (said, last) => Err(Stop::fail(format!(
            "it says {said}, and the last one was {last}"
        ))),
    }
}

fn keep_alive(answer: &Answer) -> Outcome {
    if answer.took < KEEP_ALIVE_MAX {
        return Err(Stop::not_applicable(format!(
            "the call ended after {:.1} s: name one that takes longer than 17 s",
            answer.took.as_secs_f64()
        )));
    }
    if answer.frames.iter().any(|(frame, _)| frame == "ka") {
        return Ok(());
    }
    Err(Stop::fail(format!(
        "none came in {:.0} s",
        answer.took.as_secs_f64()
    )))
}

fn parts(answer: &Answer) -> Outcome {
    let parts = answer
        .frames
        .iter()
        .filter_map(|(frame, message)| match Frame::parse(frame)? {
            Frame::Part(number) => Some((number, message)),
            _ => None,
        });
    let parts: Vec<_> = parts.collect();
    let Some((_, first)) = parts.first() else {
        return Err(Stop::not_applicable("the answer fits into one message"));
    };
    let numbers = parts.iter().map(|(number, _)| *number);
    if !numbers.eq(1..=u32::try_from(parts.len()).unwrap_or(u32::MAX)) {
        return Err(Stop::fail("their numbers have gaps"));
    }
    let announced = terms(first.header(WEFT))?;
    let closed = terms(answer.terminal.header(WEFT))?;
    let whole: Vec<u8> = parts
        .iter()
        .flat_map(|(_, part)| part.body.to_vec())
        .collect();
    if announced.parts != Some((parts.len().try_into().unwrap_or(u32::MAX), whole.len())) {
        return Err(Stop::fail(
            "`part;1` announces another number of parts or bytes than came",
        ));
    }
    if !answer.terminal.body.is_empty() {
        return Err(Stop::fail("the terminal behind the parts has a body"));
    }
    let digest = HEXLOWER.encode(&Sha256::digest(&whole));
    match closed.digest {
        Some(said) if *said == *digest => Ok(()),
        Some(_) => Err(Stop::fail(
            "the digest in the terminal does not match what came",
        )),
        None => Err(Stop::fail("the terminal has no digest (`sha`)")),
    }
}
