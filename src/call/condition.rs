//! Conditions of grants: expressions in CEL (Common Expression Language), as cel.dev defines it.
//!
//! A condition is read and type-checked when the grant is made, so what is stored can be decided.
//! It speaks of `caller`, `action`, `target`, `server`, `tool`, `arguments`, `time` and `claims`,
//! and its result is a boolean. Deciding it has three outcomes: what can't be decided (an argument
//! that is missing or of another type, a name that stands twice) is neither yes nor no, and whoever
//! asks takes that as "may not".

mod check;
mod value;

use std::{fmt, sync::Arc};

use cel::{Context, Program, Value};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::value::read;
use crate::mcp::Request;

/// Bytes of a condition.
pub const BYTES_MAX: usize = 1024;
/// Bytes of arguments that a condition looks at; of larger ones nothing is decided.
const ARGUMENTS_MAX: usize = 256 * 1024;

/// A condition that was read and type-checked.
#[derive(Clone)]
pub struct Condition {
    text: Arc<str>,
    program: Arc<Program>,
    uses: Uses,
}

/// Which facts a condition asks for: the others are not put together.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    arguments: bool,
    claims: bool,
    time: bool,
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Too long.
    #[error("a condition has at most {BYTES_MAX} bytes; this one has {0}")]
    Long(usize),
    /// Not CEL.
    #[error("the condition can't be read: {0}")]
    Syntax(String),
    /// CEL that can't be decided, or is no boolean.
    #[error("the condition does not fit: {0}")]
    Type(String),
}

/// What a condition is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The server; empty where none is called.
    pub server: &'a str,
    /// The tool, the prompt, or the resource's URI.
    pub tool: &'a str,
    /// The arguments of the call.
    pub arguments: Arguments<'a>,
    /// Milliseconds since 1970; by the clock of this machine, where nothing is said.
    pub now_ms: Option<u64>,
}

impl Facts<'_> {
    /// Nothing is called: the identity, the action, the target and the time alone decide.
    pub const NONE: Self = Self {
        server: "",
        tool: "",
        arguments: Arguments::None,
        now_ms: None,
    };
}

/// The arguments of a call, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub enum Arguments<'a> {
    /// Those of this request; looked for when a condition asks for them.
    Of(&'a Request),
    /// This JSON object.
    Json(&'a str),
    /// It has none.
    None,
    /// Nobody called yet: any may come.
    Any,
}

/// Who is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who calls.
    pub caller: &'a str,
    /// What he wants to do: `call`, `read`, …
    pub action: &'a str,
    /// With what: `tools/{server}/{tool}`, in parts.
    pub target: &'a [&'a str],
    /// What his token says of him, a JSON object.
    pub claims: &'a str,
}

/// What came of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// That depends on arguments that are not known yet.
    Depends,
    /// It can't be decided.
    Doubt,
}

impl Condition {
    /// Reads and type-checks a condition.
    ///
    /// # Errors
    /// [`ConditionError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        if text.len() > BYTES_MAX {
            return Err(ConditionError::Long(text.len()));
        }
        let program = Program::compile(text)
            .map_err(|errors| ConditionError::Syntax(first_line(&errors.to_string())))?;
        check::check(program.expression()).map_err(ConditionError::Type)?;
        let uses = |name| program.references().has_variable(name);
        Ok(Self {
            uses: Uses {
                arguments: uses("arguments"),
                claims: uses("claims"),
                time: uses("time"),
            },
            text: text.into(),
            program: Arc::new(program),
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Decides it.
    #[must_use]
    pub fn decide(&self, asked: Asked<'_>, facts: Facts<'_>) -> Outcome {
        let arguments = match facts.arguments {
            _ if !self.uses.arguments => None,
            Arguments::Any => return Outcome::Depends,
            Arguments::None => Some("{}"),
            Arguments::Json(json) => Some(json),
            Arguments::Of(request) => match of_request(request) {
                Some(json) => Some(json),
                None => return Outcome::Doubt,
            },
        };
        if arguments.is_some_and(|json| json.len() > ARGUMENTS_MAX) {
            return Outcome::Doubt;
        }
        self.evaluate(asked, facts, arguments)
            .unwrap_or(Outcome::Doubt)
    }

    /// `None` where it can't be decided.
    fn evaluate(
        &self,
        asked: Asked<'_>,
        facts: Facts<'_>,
        arguments: Option<&str>,
    ) -> Option<Outcome> {
        let mut context = Context::default();
        for (name, value) in [
            ("caller", asked.caller),
            ("action", asked.action),
            ("server", facts.server),
            ("tool", facts.tool),
        ] {
            context.add_variable_from_value(name, value.to_owned());
        }
        context.add_variable_from_value("target", asked.target.concat());
        if let Some(arguments) = arguments {
            context.add_variable_from_value("arguments", read(arguments)?);
        }
        if self.uses.claims {
            context.add_variable_from_value("claims", read(asked.claims)?);
        }
        if self.uses.time {
            let now = match facts.now_ms {
                Some(ms) => DateTime::from_timestamp_millis(i64::try_from(ms).ok()?)?,
                None => Utc::now(),
            };
            context.add_variable_from_value("time", Value::Timestamp(now.fixed_offset()));
        }
        match self.program.execute(&context).ok()? {
            Value::Bool(true) => Some(Outcome::Holds),
            Value::Bool(false) => Some(Outcome::Fails),
            _ => None,
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

/// `params.arguments`; nothing where it stands twice or is no JSON.
fn of_request(request: &Request) -> Option<&str> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, default)]
        arguments: Option<&'a RawValue>,
    }
    let Some(params) = request.params() else {
        return Some("{}");
    };
    let params: Params<'_> = serde_json::from_str(params).ok()?;
    Some(params.arguments.map_or("{}", RawValue::get))
}

fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(condition: &str, arguments: Arguments<'_>) -> Outcome {
        let asked = Asked {
            caller: "alice",
            action: "call",
            target: &["tools/", "pay", "/", "transfer"],
            claims: r#"{"role":"caller","team":"red"}"#,
        };
        let facts = Facts {
            server: "pay",
            tool: "transfer",
            arguments,
            // 2026-11-23 (a Monday), 10:00 UTC
            now_ms: Some(1_795_428_000_000),
        };
        let condition = Condition::parse(condition).expect(condition);
        condition.decide(asked, facts)
    }

    #[test]
    fn a_condition_is_decided_on_what_is_asked() {
        use Outcome::{Doubt, Fails, Holds};
        let json =
            Arguments::Json(r#"{"amount": 70, "to": "bob", "tags": ["a", "b"], "ok": true}"#);
        for (condition, expected) in [
            ("arguments.amount < 100", Holds),
            ("arguments.amount < 70", Fails),
            ("arguments.amount < 70.5", Holds),
            ("arguments.to == caller", Fails),
            ("arguments.to.startsWith('b') && tool == 'transfer'", Holds),
            ("'a' in arguments.tags && size(arguments.tags) == 2", Holds),
            ("arguments.tags.all(tag, tag != 'c')", Holds),
            ("server == 'pay' && target == 'tools/pay/transfer'", Holds),
            ("action == 'call' && claims.team == 'red'", Holds),
            ("claims.team == 'blue'", Fails),
            ("time < timestamp('2027-01-01T00:00:00Z')", Holds),
            ("time.getHours('Europe/Berlin') == 11", Holds),
            ("time.getDayOfWeek() == 1", Holds),
            ("!has(arguments.secret)", Holds),
            ("arguments.ok == true", Holds),
            // In doubt: what is missing, of another type, or negated and missing.
            ("arguments.limit < 100", Doubt),
            ("!(arguments.limit < 100)", Doubt),
            ("arguments.to < 100", Doubt),
            ("claims.level > 3", Doubt),
            // One side is enough for an `or`.
            ("arguments.limit < 100 || caller == 'alice'", Holds),
        ] {
            assert_eq!(outcome(condition, json), expected, "{condition}");
        }
    }

    #[test]
    fn what_is_not_known_yet_depends() {
        let needs = "arguments.amount < 100";
        assert_eq!(outcome(needs, Arguments::Any), Outcome::Depends);
        assert_eq!(outcome(needs, Arguments::None), Outcome::Doubt);
        assert_eq!(outcome("caller == 'alice'", Arguments::Any), Outcome::Holds);
    }

    #[test]
    fn arguments_that_two_readers_may_read_in_two_ways_are_in_doubt() {
        let limit = "arguments.amount <= 100";
        for (json, expected) in [
            (r#"{"amount": 100}"#, Outcome::Holds),
            (r#"{"amount": 1, "amount": 1000}"#, Outcome::Doubt),
            (r#"{"amount": 1, "\u0061mount": 1000}"#, Outcome::Doubt),
            (r#"{"amount": "100"}"#, Outcome::Doubt),
            (r#"{"amount": 18446744073709551617}"#, Outcome::Fails),
            (r#"{"amount": -9007199254740993}"#, Outcome::Holds),
            (r#"{"amount": null}"#, Outcome::Doubt),
            (r#"{"amount": 1"#, Outcome::Doubt),
            (r#"[{"amount": 1}]"#, Outcome::Doubt),
        ] {
            assert_eq!(outcome(limit, Arguments::Json(json)), expected, "{json}");
        }
        let long = format!(r#"{{"amount": 1, "x": "{}"}}"#, "x".repeat(ARGUMENTS_MAX));
        assert_eq!(outcome(limit, Arguments::Json(&long)), Outcome::Doubt);
    }

    #[test]
    fn what_can_never_be_decided_is_refused_when_it_is_written() {
        for (bad, why) in [
            ("arguments.amount <", "read"),
            ("amount < 100", "amount"),
            ("caller", "boolean"),
            ("arguments.ok", "boolean"),
            ("'1' < 2", "string"),
            ("caller == 1", "string"),
            ("caller && true", "bool"),
            ("time < '2027-01-01'", "timestamp"),
            ("shell('rm')", "shell"),
            (
                "arguments.a.all(x, arguments.b.all(y, x == y))",
                "in another",
            ),
            ("size(time) == 1", "size"),
            ("caller.matches(1)", "matches"),
            ("server[0] == 'x'", "string"),
        ] {
            let said = Condition::parse(bad).expect_err(bad).to_string();
            assert!(said.contains(why), "{bad}: {said}");
        }
        let long = format!("caller == '{}'", "x".repeat(BYTES_MAX));
        assert!(matches!(
            Condition::parse(&long),
            Err(ConditionError::Long(_))
        ));
    }

    proptest! {
        /// Whatever somebody writes, it is read or refused; and what is read is decided.
        #[test]
        fn no_text_brings_it_down(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "arguments", ".a", "caller", "time", "claims", "(", ")", "[", "]", "{", "}", "&&",
                    "||", "!", "==", "<", "in", "+", "-", "*", "/", "%", "?", ":", ",", "1", "0",
                    "-9223372036854775808", "1.5", "'x'", "b'x'", "null", "true", "size", ".all(x, x)",
                    ".exists(x, ", "has(arguments.a)", "timestamp('2027-01-01T00:00:00Z')",
                    "duration('1h')", ".matches('(a+)+$')", ".getHours('Nowhere')", "string(", "int('x')",
                    "\"", "\\u", "é",
                ]),
                0..12,
            ),
            any in "\\PC{0,40}",
        ) {
            for text in [words.join(" "), words.concat(), any] {
                let Ok(condition) = Condition::parse(&text) else {
                    continue;
                };
                let asked = Asked { caller: "a", action: "call", target: &["tools/a/b"], claims: "{}" };
                let facts = Facts {
                    server: "a",
                    tool: "b",
                    arguments: Arguments::Json(r#"{"a": [1, "x", {}]}"#),
                    now_ms: Some(0),
                };
                let _decided = condition.decide(asked, facts);
            }
        }
    }
}
