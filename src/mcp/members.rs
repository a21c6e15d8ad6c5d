//! The members of one JSON object, read without reading into them, and text added at its end.

use std::{borrow::Cow, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of an object in their order: names, and values as they were spelt.
#[derive(Debug, Default)]
pub struct Members<'a>(
    /// Name and value of each.
    pub Vec<(Cow<'a, str>, &'a RawValue)>,
);

impl<'a> Members<'a> {
    /// Reads an object; `None` where the text is anything else.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value of a member as it was spelt; of one that stands twice, the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let mut found = self.0.iter().rev().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.get())
    }

    /// Whether there is a member of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The value of a member that is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)
            .and_then(|raw| serde_json::from_str(raw).ok())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
            type Value = Members<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'a>, M::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}

/// The name of a member, borrowed where it has no escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Where `part`, a slice of `whole`, stands in it.
#[must_use]
pub fn span(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

/// Where members are added to the object `text`, and what has to stand before them: nothing in an
/// empty object, else a comma.
#[must_use]
pub fn end_of(text: &str) -> (usize, &'static str) {
    let inside = text.trim_end().strip_suffix('}').unwrap_or(text);
    let empty = inside.trim_end().ends_with('{');
    (inside.len(), if empty { "" } else { "," })
}

/// An object out of names and values as they are spelt.
#[must_use]
pub fn object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        // Nearly no name needs an escape.
        if name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
        {
            text.extend(["\"", name, "\":"]);
        } else {
            text.extend([&quoted(name), ":"]);
        }
        text.push_str(value);
    }
    text.push('}');
    text
}

/// A string as JSON spells it.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_spelling() {
        let text = r#"{ "a" : 1.0e2 , "\u0062":{"x":[1e400]}, "a":2}"#;
        let read = Members::read(text).expect("an object");
        assert_eq!(read.get("a"), Some("2"));
        assert_eq!(read.get("b"), Some(r#"{"x":[1e400]}"#));
        assert!(!read.has("x"));
        assert_eq!(
            object(read.0.iter().map(|(n, v)| (n.as_ref(), v.get()))),
            r#"{"a":1.0e2,"b":{"x":[1e400]},"a":2}"#
        );
        for other in ["[]", "1", "null", "{", ""] {
            assert!(Members::read(other).is_none(), "{other}");
        }
    }

    #[test]
    fn an_object_is_continued_at_its_end() {
        for (text, at, comma) in [("{}", 1, ""), ("{ }", 2, ""), (r#"{"a":{}}"#, 7, ",")] {
            assert_eq!(end_of(text), (at, comma), "{text}");
        }
    }
}
