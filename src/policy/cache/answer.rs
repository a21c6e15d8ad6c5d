//! An answer: whether it may be kept and for whom, and how another is given it.

use std::{ops::Range, time::Duration};

use bytes::Bytes;

use super::{Rules, TTL_MAX, key::Asked};
use crate::{
    call::Reply,
    mcp::{
        Response,
        envelope::splice,
        members::{Members, span},
    },
};

/// An answer, and the places in it that are another asker's own.
#[derive(Debug)]
pub(super) struct Answer {
    body: Bytes,
    id: Range<usize>,
    /// Where `ttlMs` stands, and what it says.
    ttl: Option<(Range<usize>, u64)>,
    failed: bool,
}

/// What may be done with an answer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may be kept so long, for everybody or for the same principal.
    Keep(Answer, Duration, Scope),
    /// The server says that it went wrong: so it did for all that wait for the same.
    Failed(Answer),
    /// It is for who asked, and nobody else.
    Alone,
}

/// For whom an answer may be kept (2026-07-28, Caching, Cache Scope).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Public,
    Private,
}

impl Answer {
    /// The answer for a request with this id, so long after it came.
    pub(super) fn reply(&self, id: &str, age: Duration) -> Reply {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let left = self.ttl.as_ref().filter(|_| age > 0);
        let left = left.map(|(at, ttl)| (at.clone(), ttl.saturating_sub(age).to_string()));
        let mut edits = vec![(self.id.clone(), id)];
        edits.extend(left.iter().map(|(at, left)| (at.clone(), left.as_str())));
        edits.sort_by_key(|(at, _)| at.start);
        Reply {
            body: splice(&self.body, &edits).into(),
            failed: self.failed,
        }
    }

    /// Bytes of it.
    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    /// The same in memory of its own: what it was cut out of may be much larger.
    pub(super) fn kept(&self) -> Self {
        Self {
            body: Bytes::copy_from_slice(&self.body),
            id: self.id.clone(),
            ttl: self.ttl.clone(),
            failed: self.failed,
        }
    }
}

/// Reads what came on a call.
pub(super) fn read(reply: &Reply, asked: &Asked, rules: &Rules) -> Verdict {
    judge(reply, asked, rules).unwrap_or(Verdict::Alone)
}

/// `None` where it is for who asked alone.
fn judge(reply: &Reply, asked: &Asked, rules: &Rules) -> Option<Verdict> {
    let response = Response::parse(reply.body.clone()).ok()?;
    let mut answer = Answer {
        body: reply.body.clone(),
        id: response.id_span()?,
        ttl: None,
        failed: reply.failed,
    };
    let Some((result, at)) = response.result().zip(response.result_span()) else {
        return Some(Verdict::Failed(answer));
    };
    let members = Members::read(result)?;
    let says = |name: &str| once(&members, name);
    // Absent is `complete` (2026-07-28, Responses); anything else has something to follow.
    if says("resultType")?.is_some_and(|kind| !is_text(kind, "complete")) {
        return None;
    }
    // The handles of tasks, of 2025-11-25 and of 2026-07-28.
    if members.has("task") || members.has("taskId") {
        return None;
    }
    if reply.failed || says("isError")?.is_some_and(|error| error != "false") {
        return Some(Verdict::Failed(answer));
    }
    if asked.shared.is_none() {
        let ttl = bounded(asked.declared?)?;
        return Some(Verdict::Keep(answer, ttl, Scope::Private));
    }
    let written = says("ttlMs")?;
    let ttl_ms = written.and_then(whole).filter(|ms| *ms > 0);
    answer.ttl = written.zip(ttl_ms).map(|(written, ms)| {
        let within = span(result, written);
        (at.start + within.start..at.start + within.end, ms)
    });
    let scope = says("cacheScope")?.and_then(|scope| {
        let named = [("public", Scope::Public), ("private", Scope::Private)];
        let mut named = named.into_iter();
        named.find_map(|(name, found)| is_text(scope, name).then_some(found))
    });
    let most = asked.declared.unwrap_or(rules.ttl);
    let ttl = match (ttl_ms, scope) {
        (Some(ms), Some(_)) => most.min(Duration::from_millis(ms)),
        // It does not say, or says that it may not: then the operator must.
        _ => asked.declared?,
    };
    let scope = scope.unwrap_or(Scope::Private);
    Some(Verdict::Keep(answer, bounded(ttl)?, scope))
}

/// A time to live within its bounds; `None` where there is none.
fn bounded(ttl: Duration) -> Option<Duration> {
    (!ttl.is_zero()).then(|| ttl.min(TTL_MAX))
}

/// What a member says, where there is one; outer `None` where it stands twice: another reader
/// might go by the other one.
fn once<'a>(members: &Members<'a>, name: &str) -> Option<Option<&'a str>> {
    let mut found = members.0.iter().filter(|(key, _)| key == name);
    let first = found.next().map(|(_, value)| value.get());
    found.next().is_none().then_some(first)
}

fn is_text(written: &str, text: &str) -> bool {
    serde_json::from_str::<String>(written).is_ok_and(|said| said == text)
}

/// A whole number, however it is spelt: `1e3` is one.
fn whole(written: &str) -> Option<u64> {
    if let Ok(number) = serde_json::from_str(written) {
        return Some(number);
    }
    let number: f64 = serde_json::from_str(written).ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, positive, and far from where it would be cut off"
    )]
    let whole = (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64);
    whole
}

#[cfg(test)]
mod tests;
