//! W3C trace context, in and out.
//!
//! It travels in the request's `_meta`, unprefixed (`traceparent`, `tracestate`, `baggage`); the
//! body is the truth. Without one nothing travels: the trace id of a call is then the 32 hex
//! digits of its correlation id where that is a UUID, so every hop agrees all the same.

use std::fmt;

use crate::call::Call;

/// `traceparent` of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace: never zero.
    pub trace: u128,
    /// The caller's span: never zero.
    pub parent: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads `00-{32 hex}-{16 hex}-{2 hex}`; later versions may have more behind it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = text.split_at_checked(2)?;
        let hex = |part: &str| {
            let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            part.bytes().all(lower).then_some(())
        };
        hex(version)?;
        let exact = rest.len() == 53 || (version != "00" && rest.as_bytes().get(53) == Some(&b'-'));
        if version == "ff" || !exact {
            return None;
        }
        let mut parts = rest.get(1..53)?.split('-');
        let (trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?);
        if !rest.starts_with('-') || (trace.len(), parent.len(), flags.len()) != (32, 16, 2) {
            return None;
        }
        hex(trace).and(hex(parent)).and(hex(flags))?;
        let parsed = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            parent: u64::from_str_radix(parent, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (parsed.trace != 0 && parsed.parent != 0).then_some(parsed)
    }

    /// The trace context that a call's request carries.
    #[must_use]
    pub fn of(call: &Call) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Meta {
            traceparent: Option<String>,
        }
        // Most calls carry none: look for the word before reading the object.
        let meta = call.request.meta()?;
        if !meta.contains("\"traceparent\"") {
            return None;
        }
        let meta: Meta = serde_json::from_str(meta).ok()?;
        Self::parse(&meta.traceparent?)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents_of_the_recommendation() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = TraceParent::parse(text).expect("a traceparent");
        assert!(read.sampled);
        assert_eq!(read.to_string(), text);
        assert!(TraceParent::parse(&format!("01{}-more", &text[2..])).is_some());
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "ä0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }
}
