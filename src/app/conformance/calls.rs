//! A tool that may be called: what is said before the answer, and what a cancel does.
//!
//! It is called three times at most: with a progress token; without one, while another caller
//! tries to cancel it; and to be cancelled.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Outcome, Plan, Report, Stop,
    asking::{Answer, Ask, SILENCE, Tester},
    frames, rules,
    stranger::Stranger,
};
use crate::{
    bus::probe::Sent,
    error::Error,
    name::{CallId, header, header::Frame, header::VERSION, subject},
};

/// How long the tool may take.
const CALL_MAX: Duration = Duration::from_secs(120);
/// A call that ends sooner can't be cancelled with certainty.
const LONG: Duration = Duration::from_millis(500);
/// A call that was not acknowledged until then is cancelled all the same.
const ACKNOWLEDGED: Duration = Duration::from_millis(200);
/// What was on its way when the cancel came may still arrive.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// A call takes at most twice as long the second time, and so much more.
const LATER_MAX: Duration = Duration::from_secs(5);
/// How long an answer to a cancelled call is waited for at most.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(super) async fn check(
    tester: &mut Tester,
    plan: &Plan,
    stranger: Result<&Stranger, &Stop>,
    report: &mut Report,
) -> Result<(), Error> {
    let Some((tool, arguments)) = &plan.call else {
        let why = || {
            Stop::not_applicable(
                "not tried: name a tool that may be called (--call TOOL --args JSON)",
            )
        };
        frames::RULES
            .iter()
            .for_each(|rule| report.add(rule, Err(why())));
        report.add(&rules::UNASKED, Err(why()));
        report.add(&rules::CANCELLED, Err(why()));
        report.add(&rules::STRANGERS_CANCEL, Err(why()));
        report.add(&rules::UNKNOWN_CANCEL, unknown_cancel(tester).await);
        return Ok(());
    };
    let mut ask = Ask::tool(tool, arguments);
    ask.within = CALL_MAX;
    let plain = ask.weft(format!("{VERSION};ms={}", CALL_MAX.as_millis()));
    let mut told = plain.clone();
    told.params["_meta"] = json!({"progressToken": frames::TOKEN});
    let first = tester.ask(&told).await;
    frames::check(&first, report);
    let second = again(tester, &plain, &first, stranger).await;
    report.add(&rules::UNASKED, unasked(&first, &second, stranger.is_ok()));
    report.add(&rules::CANCELLED, cancelled(tester, &told, &first).await);
    report.add(
        &rules::STRANGERS_CANCEL,
        stranger_ends_nothing(&first, second, stranger),
    );
    report.add(&rules::UNKNOWN_CANCEL, unknown_cancel(tester).await);
    Ok(())
}

/// The same call under an id of its own.
fn fresh(ask: &Ask) -> Ask {
    Ask {
        call: CallId::now(),
        ..ask.clone()
    }
}

/// The call once more, without a progress token, while a stranger cancels it.
async fn again(
    tester: &mut Tester,
    plain: &Ask,
    first: &Result<Answer, Stop>,
    stranger: Result<&Stranger, &Stop>,
) -> Result<Answer, Stop> {
    let took = first.as_ref().map_err(Stop::again)?.took;
    let mut ask = fresh(plain);
    ask.within = 2 * took + LATER_MAX;
    let sent = tester.send(tester.outgoing(&ask)).await?;
    if let Ok(stranger) = stranger {
        let link = stranger.mesh.link();
        let to = subject::cancel(link.identity(), &tester.server);
        // When it certainly runs, and before it can have ended.
        tokio::time::sleep(ACKNOWLEDGED).await;
        let told = link.publish(to, ask.call.to_string().into()).await;
        told.map_err(|error| Stop::fail(super::words(&error)))?;
    }
    tester.hear(&sent, &ask).await
}

fn unasked(
    first: &Result<Answer, Stop>,
    second: &Result<Answer, Stop>,
    cancelled: bool,
) -> Outcome {
    let first = first.as_ref().map_err(Stop::again)?;
    let second = second.as_ref().map_err(|stop| match stop {
        // What went wrong then is the cancel's affair.
        Stop::Fail(_) if cancelled => Stop::not_applicable("the call was ended by another caller"),
        stop => stop.again(),
    })?;
    match (
        frames::messages(first).len(),
        frames::messages(second).len(),
    ) {
        (_, 1..) => Err(Stop::fail("`msg` frames came without a progress token")),
        (0, 0) => Err(Stop::not_applicable(
            "the tool says nothing before its answer",
        )),
        _ => Ok(()),
    }
}

fn stranger_ends_nothing(
    first: &Result<Answer, Stop>,
    second: Result<Answer, Stop>,
    stranger: Result<&Stranger, &Stop>,
) -> Outcome {
    stranger.map_err(Stop::again)?;
    long(first)?;
    second.map(drop)
}

/// Whether the call takes long enough to be cancelled.
fn long(first: &Result<Answer, Stop>) -> Result<Duration, Stop> {
    let took = first.as_ref().map_err(Stop::again)?.took;
    if took >= LONG {
        return Ok(took);
    }
    Err(Stop::not_applicable(format!(
        "the call ended after {} ms: name a tool, or arguments, that takes at least {} ms",
        took.as_millis(),
        LONG.as_millis()
    )))
}

async fn cancelled(tester: &mut Tester, ask: &Ask, first: &Result<Answer, Stop>) -> Outcome {
    let took = long(first)?;
    let ask = fresh(ask);
    let sent = tester.send(tester.outgoing(&ask)).await?;
    runs(tester, &sent, &ask).await?;
    let to = subject::cancel(tester.link.identity(), &tester.server);
    tester.tell(to, ask.call.to_string()).await?;
    let at = Instant::now();
    let until = at + (took + Duration::from_secs(1)).min(WAIT_MAX);
    while let Some(message) = tester.next(&sent, ask.call, until).await? {
        let after = at.elapsed();
        match message.header(header::FRAME) {
            None => {
                let ms = after.as_millis();
                return Err(Stop::fail(format!(
                    "a terminal came {ms} ms after the cancel"
                )));
            }
            Some(frame) if after > ON_ITS_WAY => {
                let ms = after.as_millis();
                return Err(Stop::fail(format!(
                    "`{frame}` came {ms} ms after the cancel"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Waits until the call is acknowledged, or certainly runs.
async fn runs(tester: &mut Tester, sent: &Sent, ask: &Ask) -> Result<(), Stop> {
    let until = Instant::now() + ACKNOWLEDGED;
    while let Some(message) = tester.next(sent, ask.call, until).await? {
        match message.header(header::FRAME).map(Frame::parse) {
            Some(Some(Frame::Ack)) => return Ok(()),
            Some(_) => {}
            None => {
                return Err(Stop::not_applicable(
                    "the call ended before it was cancelled",
                ));
            }
        }
    }
    Ok(())
}

async fn unknown_cancel(tester: &mut Tester) -> Outcome {
    let to = subject::cancel(tester.link.identity(), &tester.server);
    tester.tell(to.clone(), CallId::now().to_string()).await?;
    tester.tell(to, "no call id \u{0}").await?;
    let next = tester
        .ask(&Ask::list())
        .await
        .map(|answer| answer.response());
    // An answer that came late is not to be taken for another one's.
    drop(tester.probe.rest(SILENCE / 4).await);
    let _: Value = next??;
    Ok(())
}
