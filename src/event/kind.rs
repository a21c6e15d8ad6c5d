//! What kind of event: its type, and the domain that the type begins with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::id::checked;

/// A type has so many parts at most.
const PARTS_MAX: usize = 8;
/// And so many bytes.
const BYTES_MAX: usize = 128;
/// A domain has so many bytes at most.
const DOMAIN_MAX: usize = 32;

checked!(
    /// The type of an event: `task.created`.
    EventType,
    "type of an event",
    "a domain (a-z, 0-9, -, a letter first) and 1 to 7 more parts of A-Z, a-z, 0-9, _ and -, with \
     dots between them, 128 bytes at most, such as `task.created`",
    is_type
);

impl EventType {
    /// What it begins with.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

fn is_type(text: &str) -> bool {
    let parts = text.split('.');
    let rest = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        !part.is_empty() && part.bytes().all(allowed)
    };
    text.len() <= BYTES_MAX
        && (2..=PARTS_MAX).contains(&parts.clone().count())
        && parts.clone().next().is_some_and(is_domain)
        && parts.skip(1).all(rest)
}

checked!(
    /// The domain of an event: which stream keeps it.
    Domain,
    "domain",
    "1 to 32 of a-z, 0-9 and -, a letter first",
    is_domain
);

impl Domain {
    /// The stream that keeps its events.
    #[must_use]
    pub fn stream(&self) -> String {
        let known = STREAMS
            .iter()
            .find(|(_, domains)| domains.contains(&&*self.0));
        known.map_or_else(
            || format!("WEFT_EVT_{}", self.0.to_ascii_uppercase()),
            |(stream, _)| (*stream).to_owned(),
        )
    }
}

fn is_domain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=DOMAIN_MAX).contains(&text.len())
        && text.as_bytes()[0].is_ascii_lowercase()
        && text.bytes().all(allowed)
}

/// The streams of the product's own domains; a declared one has a stream of its own.
pub const STREAMS: [(&str, &[&str]); 5] = [
    ("WEFT_TASKS", &["task", "pipeline"]),
    ("WEFT_RESEARCH", &["research"]),
    ("WEFT_SWARM", &["swarm"]),
    ("WEFT_CONTEXT", &["context"]),
    ("WEFT_SYSTEM", &["system", "resource", "server"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_a_domain_and_more() {
        for good in [
            "task.created",
            "a.b",
            "swarm.session.created",
            "my-order.Line_1.x-2",
        ] {
            assert!(EventType::new(good).is_ok(), "{good}");
        }
        let long = format!("task.{}", "x".repeat(124));
        let deep = "a.b.c.d.e.f.g.h.i";
        for bad in [
            "",
            "task",
            ".",
            "task.",
            ".created",
            "task..x",
            "Task.created",
            "1a.b",
            "task.*",
            "task.>",
            "task.a b",
            "task.ä",
            "task.a\r",
            "-a.b",
            &long,
            deep,
        ] {
            assert!(EventType::new(bad).is_err(), "{bad}");
        }
        assert_eq!(
            EventType::new("swarm.session.created")
                .expect("good")
                .domain(),
            "swarm"
        );
    }

    #[test]
    fn every_domain_has_one_stream() {
        let stream = |domain| Domain::new(domain).expect("a domain").stream();
        assert_eq!(stream("pipeline"), "WEFT_TASKS");
        assert_eq!(stream("server"), "WEFT_SYSTEM");
        assert_eq!(stream("my-order"), "WEFT_EVT_MY-ORDER");
        for bad in ["", "Order", "a_b", "9a", "-a", &"a".repeat(33)] {
            assert!(Domain::new(bad).is_err(), "{bad}");
        }
        Domain::new(&"a".repeat(32)).expect("the twin");
    }
}
