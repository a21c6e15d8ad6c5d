//! What a call asks for, as a key: two calls with the same key may have the same answer.
//!
//! Where in doubt, two keys differ: that costs a call, the other way round it costs the truth. So
//! members are taken as they are spelt, in their order, known ones and others alike. Left out is
//! what no answer depends on: the id, and in `_meta` what is about the way there ([`UNHEARD`]).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};

use super::Rules;
use crate::{
    call::{Call, Principal},
    mcp::{
        members::{Members, object},
        version::META_LOG_LEVEL,
    },
};

/// Members of `_meta` that say how progress, log messages and traces of a call are named, and
/// nothing of its answer. The client's revision and capabilities are none of them, and neither is
/// its name: servers are told not to go by that, and some do.
const UNHEARD: [&str; 5] = [
    "progressToken",
    "traceparent",
    "tracestate",
    "baggage",
    META_LOG_LEVEL,
];

/// Members of `params` that make a call one of a kind: the answers to what the server asked back
/// (2026-07-28, Caching, Cache Key), and the wish for a task (2025-11-25).
const ONCE: [&str; 3] = ["inputResponses", "requestState", "task"];

/// SHA-256 of something.
pub(super) type Digest = [u8; 32];

/// The kinds of answers, which are forgotten one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Discover,
    Tools,
    Prompts,
    Resources,
    Templates,
    /// What stands in a resource; its name is the URI.
    Read,
    /// What a tool answered; its name is the tool's.
    Tool,
}

impl Part {
    pub(super) const ALL: [Self; 7] = [
        Self::Discover,
        Self::Tools,
        Self::Prompts,
        Self::Resources,
        Self::Templates,
        Self::Read,
        Self::Tool,
    ];

    fn of_list(method: &str) -> Option<Self> {
        Some(match method {
            "server/discover" => Self::Discover,
            "tools/list" => Self::Tools,
            "prompts/list" => Self::Prompts,
            "resources/list" => Self::Resources,
            "resources/templates/list" => Self::Templates,
            "resources/read" => Self::Read,
            _ => return None,
        })
    }
}

/// The place of an answer. In order of what is forgotten together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    part: Part,
    pub(super) name: Arc<str>,
    digest: Digest,
}

/// Those keys of a map that are about this part, and about this name where there is one.
pub(super) fn keys_of<V>(map: &BTreeMap<Key, V>, part: Part, name: Option<&str>) -> Vec<Key> {
    let first = Key {
        part,
        name: name.unwrap_or_default().into(),
        digest: Digest::default(),
    };
    map.range(first..)
        .map(|(key, _)| key)
        .take_while(|key| key.part == part && name.is_none_or(|name| *key.name == *name))
        .cloned()
        .collect()
}

/// What a call asks for, where its answer may be kept.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Where the answer is kept for all; `None` where it never is.
    pub(super) shared: Option<Key>,
    /// Where it is kept for this principal.
    pub(super) own: Key,
    /// The principal: he, who acts for him, and what each of them may do.
    pub(super) scope: Digest,
    /// How long the operator wants it kept, where he said so.
    pub(super) declared: Option<Duration>,
}

impl Asked {
    /// `None` where the answer may not be kept, whatever it says.
    pub(super) fn of(call: &Call, rules: &Rules) -> Option<Self> {
        let method = call.request.method().as_str();
        let list = Part::of_list(method);
        let (part, declared) = match (list, call.tool()) {
            (Some(part), _) => (part, rules.of_method(method)),
            (None, Some(tool)) => (Part::Tool, Some(rules.of_tool(tool)?)),
            (None, None) => return None,
        };
        // Who gave a key of his own counts on what was done under it, and not on what was kept.
        if call.context.key.is_some() || call.request.id().is_none() {
            return None;
        }
        let scope = scope(call.context.principal.as_ref()?);
        let digest = digest(call)?;
        let name: Arc<str> = call.request.name().unwrap_or_default().into();
        let key = |digest| Key {
            part,
            name: Arc::clone(&name),
            digest,
        };
        let mut own = Parts::default();
        own.add(&scope);
        own.add(&digest);
        Some(Self {
            shared: list.map(|_| key(digest)),
            own: key(own.finish()),
            scope,
            declared,
        })
    }
}

/// The request without what no answer depends on; `None` where it is one of a kind.
fn digest(call: &Call) -> Option<Digest> {
    let body = std::str::from_utf8(call.request.body()).ok()?;
    let mut parts = Parts::default();
    parts.add(call.server.as_str().as_bytes());
    parts.add(call.request.method().as_str().as_bytes());
    for (name, value) in &Members::read(body)?.0 {
        match name.as_ref() {
            "jsonrpc" | "id" | "method" => {}
            "params" => add_params(&mut parts, value.get())?,
            name => parts.member("envelope", name, value.get()),
        }
    }
    Some(parts.finish())
}

fn add_params(parts: &mut Parts, params: &str) -> Option<()> {
    let members = Members::read(params)?;
    if ONCE.iter().any(|once| members.has(once)) {
        return None;
    }
    for (name, value) in &members.0 {
        if name != "_meta" {
            parts.member("params", name, value.get());
            continue;
        }
        let Some(meta) = Members::read(value.get()) else {
            parts.member("params", name, value.get());
            continue;
        };
        let heard = meta.0.iter();
        let heard = heard.filter(|(name, _)| !UNHEARD.contains(&name.as_ref()));
        let heard = object(heard.map(|(name, value)| (name.as_ref(), value.get())));
        // None at all, and none that is heard, is the same.
        if heard != "{}" {
            parts.member("params", name, &heard);
        }
    }
    Some(())
}

/// An authorization context (2026-07-28, Caching, Cache Scope). Not the token: one of the same
/// permissions takes its place every few minutes.
fn scope(principal: &Principal) -> Digest {
    let mut parts = Parts::default();
    for (who, may) in principal.chain() {
        parts.add(b"who");
        parts.add(who.as_str().as_bytes());
        for permission in may.to_strings() {
            parts.add(b"may");
            parts.add(permission.as_bytes());
        }
    }
    parts.finish()
}

/// A digest of parts, each with its length before it: `ab` and `c` are not `a` and `bc`.
#[derive(Default)]
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    fn member(&mut self, of: &str, name: &str, value: &str) {
        for part in [of, name, value] {
            self.add(part.as_bytes());
        }
    }

    fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests;
