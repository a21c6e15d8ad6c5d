//! Arguments read so strictly that their server can see nothing else in them.
//!
//! What is checked here is carried as it came, and read once more by the server. Where two readers
//! may see two values, a check of one says nothing of the other: a name that stands twice, a number
//! that one of them rounds.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

/// The arguments in `params`; none where they are absent.
///
/// # Errors
/// What is wrong with them, for the caller.
pub(super) fn arguments(params: &str) -> Result<Option<Value>, String> {
    #[derive(Deserialize)]
    struct Params<'a> {
        // One that stands twice is refused.
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    let params: Params<'_> = serde_json::from_str(params).map_err(|error| error.to_string())?;
    let Some(arguments) = params.arguments.map(RawValue::get) else {
        return Ok(None);
    };
    if let Some(number) = rounded(arguments) {
        let shown: String = number.chars().take(40).collect();
        return Err(format!(
            "the number {shown} is larger than an integer may be"
        ));
    }
    let Strict(value) = serde_json::from_str(arguments).map_err(|error| error.to_string())?;
    Ok(Some(value))
}

/// The first integer that does not fit: readers make a float of it, or another number.
fn rounded(json: &str) -> Option<&str> {
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        rest = &rest[at..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = &text[end_of_string(text)..];
            continue;
        }
        let number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let (token, after) = rest.split_at(rest.find(|c| !number(c)).unwrap_or(rest.len()));
        let integer = !token.contains(['.', 'e', 'E']);
        if integer && token.parse::<i64>().is_err() && token.parse::<u64>().is_err() {
            return Some(token);
        }
        rest = after;
    }
    None
}

/// Behind the quote that ends a string.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let quote = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        quote
    });
    end.map_or(text.len(), |at| at + 1)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = all.next_element()? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = all.next_entry::<String, Strict>()? {
            if map.contains_key(&name) {
                let name: String = name.chars().take(40).collect();
                return Err(A::Error::custom(format_args!("{name:?} stands twice")));
            }
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_two_readers_may_read_in_two_ways_is_refused() {
        for (bad, why) in [
            (r#"{"arguments":{"a":1,"a":2}}"#, "stands twice"),
            (
                r#"{"arguments":{"b":[{"a":1,"\u0061":2}]}}"#,
                "stands twice",
            ),
            (r#"{"arguments":{},"arguments":{}}"#, "duplicate"),
            (r#"{"arguments":{"a":18446744073709551617}}"#, "larger"),
            (r#"{"arguments":{"a":-9223372036854775809}}"#, "larger"),
            (
                r#"{"arguments":{"a":"\"1\\","b":99999999999999999999}}"#,
                "larger",
            ),
            (r#"{"arguments":{"a":1e400}}"#, "range"),
        ] {
            let said = arguments(bad).expect_err(bad);
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn everything_else_is_read() {
        let good = r#"{"name":"x","arguments":{"a":[1,-2,1.5e3,18446744073709551615,null,true],
            "b":"99999999999999999999 \"88888888888888888888\\","\u0063":{}}}"#;
        let read = arguments(good).expect("sound").expect("there are some");
        assert_eq!(read["a"], json!([1, -2, 1500.0, u64::MAX, null, true]));
        assert_eq!(read["b"], "99999999999999999999 \"88888888888888888888\\");
        assert_eq!(arguments("{}"), Ok(None));
    }
}
