//! The lines that follow from permissions: whom an identity may call, and what it may publish.

use super::{LINES_MAX, Lists};
use crate::{
    call::{Permissions, grant::Rules, permission::Pattern},
    name::{ServerName, token},
};

/// One place of a subject: a token as it is, or any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Any,
    Token(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Any => "*",
            Self::Token(token) => token,
        })
    }
}

/// How coarse the lines are: each step needs fewer of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grain {
    /// Names as they are.
    Exact,
    /// Any name of a server.
    Servers,
    /// Any name of any server.
    All,
}

/// A kind of thing that a server has.
struct Kind {
    /// How its targets begin.
    target: &'static str,
    /// The actions that use one of them.
    uses: &'static [&'static str],
    /// The methods, as in a subject, that use one.
    methods: &'static [&'static str],
    /// The methods that list them.
    lists: &'static [&'static str],
    /// Whether its names are URIs, which stand in a subject as digests.
    is_uri: bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        target: "tools/",
        uses: &["call"],
        methods: &["tools.call"],
        lists: &["tools.list"],
        is_uri: false,
    },
    Kind {
        target: "prompts/",
        // A prompt is called and read: adapters decide which permission they ask for.
        uses: &["call", "read"],
        methods: &["prompts.get"],
        lists: &["prompts.list", "completion.complete"],
        is_uri: false,
    },
    Kind {
        target: "resources/",
        uses: &["read"],
        methods: &["resources.read"],
        lists: RESOURCE_LISTS,
        is_uri: true,
    },
    Kind {
        target: "resources/",
        uses: &["subscribe"],
        methods: &["resources.subscribe", "resources.unsubscribe"],
        lists: RESOURCE_LISTS,
        is_uri: true,
    },
];

const RESOURCE_LISTS: &[&str] = &[
    "resources.list",
    "resources.templates.list",
    "completion.complete",
];

/// Whoever may do one of these to something of a server may ask what there is.
const SEES: [&str; 4] = ["call", "list", "read", "subscribe"];

/// Adds what these permissions allow `me`, exactly where there is room for it.
pub(super) fn add(lists: &mut Lists, me: &str, permissions: &Permissions) {
    for grain in [Grain::Exact, Grain::Servers, Grain::All] {
        let mut more = lists.clone();
        for permission in permissions.iter() {
            let lines = Lines {
                me,
                grain,
                to: &mut more,
            };
            lines.permission(&permission.action, &permission.target);
        }
        if more.len() <= LINES_MAX || grain == Grain::All {
            more.widened = grain != Grain::Exact;
            *lists = more;
            return;
        }
    }
}

/// Takes what is denied at run time, as far as subjects can say it. Adapters decide the rest, but
/// nobody else decides about publishing events: there more is taken rather than less.
pub(super) fn take(lists: &mut Lists, me: &str, rules: &Rules) {
    let mut taken = Lists::default();
    for rule in rules.taken(me) {
        let (action, target) = (&rule.permission.action, &rule.permission.target);
        let mut lines = Lines {
            me,
            grain: Grain::Exact,
            to: &mut taken,
        };
        let is_whole = match target {
            Pattern::All | Pattern::Exact(_) => true,
            Pattern::Prefix(prefix) => prefix.ends_with('/'),
        };
        if is_whole && rule.condition.is_none() {
            lines.uses(action, target);
        }
        if action.matches(&["publish"]) {
            lines.events_denied(target);
        }
    }
    let room = LINES_MAX.saturating_sub(lists.len());
    lists.denied.extend(taken.publish.into_iter().take(room));
}

struct Lines<'a> {
    me: &'a str,
    grain: Grain,
    to: &'a mut Lists,
}

impl Lines<'_> {
    fn permission(mut self, action: &Pattern, target: &Pattern) {
        if (action, target) == (&Pattern::All, &Pattern::All) {
            return self.everything();
        }
        self.uses(action, target);
        for kind in &KINDS {
            let Some((server, _)) = places(target, kind) else {
                continue;
            };
            let server = self.at_most(Grain::Servers, server);
            if SEES.iter().any(|one| action.matches(&[one])) {
                self.list_of(kind, &server);
            }
        }
        if action.matches(&["publish"]) {
            self.events(target);
        }
        if action.matches(&["replay"]) && reaches_events(target) {
            // Events that are told again go to himself, below his own deliveries.
            self.publish("dlv", ">");
        }
    }

    /// What is called, read and subscribed to.
    fn uses(&mut self, action: &Pattern, target: &Pattern) {
        for kind in &KINDS {
            if !kind.uses.iter().any(|one| action.matches(&[one])) {
                continue;
            }
            if let Some((server, name)) = places(target, kind) {
                let server = self.at_most(Grain::Servers, server);
                let name = self.at_most(Grain::Exact, name);
                self.use_of(kind, &server, &name);
            }
        }
    }

    /// Events of his own that he may not publish. A name that is cut short takes the whole of it.
    fn events_denied(&mut self, target: &Pattern) {
        let text = match target {
            Pattern::All => "",
            Pattern::Prefix(text) | Pattern::Exact(text) => text.as_str(),
        };
        let kind = match text
            .strip_prefix("events/")
            .map(|rest| rest.split_once('/'))
        {
            _ if "events/".starts_with(text) => "",
            Some(Some((source, kind))) if source == self.me || source == "*" => kind,
            Some(None) if self.me.starts_with(&text["events/".len()..]) => "",
            _ => return,
        };
        if let Pattern::Exact(_) = target {
            return self.publish("evt", kind);
        }
        let whole = kind.rsplit_once('.').map(|(whole, _)| format!("{whole}.>"));
        self.publish("evt", whole.as_deref().unwrap_or(">"));
    }

    /// The place, or any where the grain is too coarse for it.
    fn at_most(&self, finest: Grain, place: Place) -> Place {
        if self.grain > finest {
            Place::Any
        } else {
            place
        }
    }

    fn publish(&mut self, kind: &str, rest: &str) {
        let line = format!("weft.v1.{kind}.{}.{rest}", self.me);
        self.to.publish.insert(line);
    }

    fn everything(&mut self) {
        for kind in ["req", "ins", "ctl", "wrk", "evt", "dlv"] {
            self.publish(kind, ">");
        }
        self.to.subscribe.insert("weft.v1.ntf.>".to_owned());
    }

    fn use_of(&mut self, kind: &Kind, server: &Place, name: &Place) {
        for method in kind.methods {
            self.publish("req", &format!("{server}.{method}.{name}"));
            self.publish("ins", &format!("{server}.*.{method}.{name}"));
        }
        if kind.target == "tools/" {
            self.publish("wrk", &format!("{server}.{name}"));
        }
    }

    /// What goes with every server that one may see anything of.
    fn list_of(&mut self, kind: &Kind, server: &Place) {
        for method in kind.lists.iter().chain(&["server.discover"]) {
            self.publish("req", &format!("{server}.{method}._"));
        }
        self.publish("ctl", &format!("{server}.cancel"));
        self.to.subscribe.insert(format!("weft.v1.ntf.{server}.>"));
    }

    /// `events/{source}/{type}`: the source is always oneself.
    fn events(&mut self, target: &Pattern) {
        let tail = match target {
            Pattern::All => Some(">".to_owned()),
            Pattern::Exact(exact) => exact
                .strip_prefix("events/")
                .and_then(|rest| rest.split_once('/'))
                .filter(|(source, kind)| *source == self.me && kind.split('.').all(is_plain))
                .map(|(_, kind)| kind.to_owned()),
            Pattern::Prefix(prefix) => self.events_below(prefix),
        };
        if let Some(tail) = tail {
            let all = self.grain > Grain::Exact;
            self.publish("evt", if all { ">" } else { &tail });
        }
    }

    fn events_below(&self, prefix: &str) -> Option<String> {
        if "events/".starts_with(prefix) {
            return Some(">".to_owned());
        }
        let rest = prefix.strip_prefix("events/")?;
        let Some((source, kind)) = rest.split_once('/') else {
            return self.me.starts_with(rest).then(|| ">".to_owned());
        };
        if source != self.me {
            return None;
        }
        // A token that is cut short can't stand in a subject: the whole ones before it do.
        match kind.rsplit_once('.') {
            None => Some(">".to_owned()),
            Some((whole, _)) if whole.split('.').all(is_plain) => Some(format!("{whole}.>")),
            Some(_) => None,
        }
    }
}

/// Whether a target means some event.
fn reaches_events(target: &Pattern) -> bool {
    match target {
        Pattern::All => true,
        Pattern::Exact(exact) => exact.starts_with("events/"),
        Pattern::Prefix(prefix) => {
            prefix.starts_with("events/") || "events/".starts_with(prefix.as_str())
        }
    }
}

/// The server and the name that a target means, each exactly or any; `None` where it means
/// nothing of this kind.
fn places(target: &Pattern, kind: &Kind) -> Option<(Place, Place)> {
    let server = |name: &str| {
        let name = ServerName::new(name).ok()?;
        Some(Place::Token(name.as_str().to_owned()))
    };
    match target {
        Pattern::All => Some((Place::Any, Place::Any)),
        Pattern::Exact(exact) => {
            let (name, thing) = exact.strip_prefix(kind.target)?.split_once('/')?;
            let thing = if kind.is_uri || thing.is_empty() {
                (!thing.is_empty()).then_some(Place::Any)?
            } else {
                Place::Token(token::encode(thing).into_owned())
            };
            Some((server(name)?, thing))
        }
        Pattern::Prefix(prefix) if kind.target.starts_with(prefix.as_str()) => {
            Some((Place::Any, Place::Any))
        }
        Pattern::Prefix(prefix) => match prefix.strip_prefix(kind.target)?.split_once('/') {
            None => Some((Place::Any, Place::Any)),
            Some((name, _)) => Some((server(name)?, Place::Any)),
        },
    }
}

fn is_plain(token: &str) -> bool {
    !token.is_empty()
        && token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests;
