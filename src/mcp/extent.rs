//! How deep and how wide a body may be: looked at byte by byte, without building anything of it.
//!
//! Whoever reads a body into a tree pays for each level with stack and for each member with
//! memory, many times what it took to send them. A body that is small cannot be either, and is not
//! looked at.

use memchr::memchr2;

/// How deep objects and lists may lie in each other, and how many members objects may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Objects and lists in each other, the body itself included.
    pub depth: usize,
    /// Members of all objects together.
    pub keys: usize,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            depth: 64,
            keys: 100_000,
        }
    }
}

/// What is beyond the limits, and which limit that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Beyond {
    /// Too deep.
    #[error(
        "objects and lists of the request lie more than {0} deep in each other (`limits.depth`)"
    )]
    Depth(usize),
    /// Too wide.
    #[error("the objects of the request have more than {0} members (`limits.keys`)")]
    Keys(usize),
}

impl Extent {
    /// Looks at a body, as far as it is within the limits. It need not be JSON: whoever reads it
    /// finds that out.
    ///
    /// # Errors
    /// The first limit that it goes beyond.
    pub fn check(self, body: &[u8]) -> Result<(), Beyond> {
        // Each level takes two bytes at least, `[]`, and each member four, `"":1`.
        if body.len() / 2 <= self.depth && body.len() / 4 <= self.keys {
            return Ok(());
        }
        let (mut at, mut depth, mut keys) = (0, 0_usize, 0_usize);
        while let Some(byte) = body.get(at) {
            at += 1;
            match byte {
                b'"' => at = end_of_string(body, at),
                b'{' | b'[' => {
                    depth += 1;
                    if depth > self.depth {
                        return Err(Beyond::Depth(self.depth));
                    }
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                // Outside of strings, it stands in members alone.
                b':' => {
                    keys += 1;
                    if keys > self.keys {
                        return Err(Beyond::Keys(self.keys));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Behind the string whose text begins at `at`; the end of the body where it does not end.
fn end_of_string(body: &[u8], mut at: usize) -> usize {
    while let Some(found) = body.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if body[at] == b'"' {
            return at + 1;
        }
        // An escape is two bytes at least, and what follows it is no quote and no escape.
        at += 2;
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const SMALL: Extent = Extent { depth: 4, keys: 3 };

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn the_last_that_is_within_and_the_first_that_is_not() {
        for (text, outcome) in [
            (nested(4), Ok(())),
            (nested(5), Err(Beyond::Depth(4))),
            (r#"[{"a":[1]},{"b":[2]},[[[]]]]"#.to_owned(), Ok(())),
            (r#"{"a":1,"b":{"c":2}}"#.to_owned(), Ok(())),
            (
                r#"{"a":1,"b":{"c":2,"d":3}}"#.to_owned(),
                Err(Beyond::Keys(3)),
            ),
            // What stands in strings is text.
            (r#"{"a":"[[[[[[::::::\"[[[[[::::"}"#.to_owned(), Ok(())),
            (r#"{"a":"\\","b":"\\\"[[[[[[","c":1}"#.to_owned(), Ok(())),
            (
                r#"{"\"":"\\","b":[[[[[1]]]]]}"#.to_owned(),
                Err(Beyond::Depth(4)),
            ),
        ] {
            assert_eq!(SMALL.check(text.as_bytes()), outcome, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_ends() {
        for text in [
            "\"aaaaaaaaaaaaaaa",
            "\"aaaaaaaaaaaaaaa\\",
            "]]]]]]]]]]]]]]]}}}}",
        ] {
            assert_eq!(SMALL.check(text.as_bytes()), Ok(()), "{text}");
        }
        let open = "[".repeat(1_000_000);
        assert_eq!(
            Extent::default().check(open.as_bytes()),
            Err(Beyond::Depth(64))
        );
    }

    fn levels(value: &Value) -> usize {
        match value {
            Value::Array(list) => 1 + list.iter().map(levels).max().unwrap_or_default(),
            Value::Object(map) => 1 + map.values().map(levels).max().unwrap_or_default(),
            _ => 0,
        }
    }

    fn members(value: &Value) -> usize {
        match value {
            Value::Array(list) => list.iter().map(members).sum(),
            Value::Object(map) => map.len() + map.values().map(members).sum::<usize>(),
            _ => 0,
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::hash_map(".*", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The limits that a tree of the body would be within, and no others.
        #[test]
        fn it_counts_what_a_tree_would_have(value in any_json(), depth in 0_usize..8, keys in 0_usize..20) {
            let within = levels(&value) <= depth && members(&value) <= keys;
            let text = value.to_string();
            prop_assert_eq!(Extent { depth, keys }.check(text.as_bytes()).is_ok(), within, "{}", text);
        }
    }
}
