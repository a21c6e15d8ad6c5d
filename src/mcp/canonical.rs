//! JSON in one spelling: members sorted, no blanks, texts respelt. What says the same is the same
//! text, so that it has the same digest. Numbers stand as they were spelt.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use super::members::{Members, quoted};

/// Any JSON value.
#[must_use]
pub fn value(text: &str) -> Cow<'_, str> {
    respelt(text, 0)
}

/// An object of these members.
pub fn object<'a>(members: impl Iterator<Item = (Cow<'a, str>, &'a str)>) -> String {
    object_at(members, 0)
}

/// Deeper than this nothing is sorted any more: the text stands as it was spelt.
const DEPTH_MAX: usize = 100;

fn respelt(text: &str, depth: usize) -> Cow<'_, str> {
    if depth == DEPTH_MAX {
        return Cow::Borrowed(text);
    }
    match text.as_bytes().first() {
        Some(b'{') => Members::read(text).map_or(Cow::Borrowed(text), |members| {
            let members = members.0.into_iter().map(|(name, raw)| (name, raw.get()));
            Cow::Owned(object_at(members, depth))
        }),
        Some(b'[') => {
            serde_json::from_str::<Vec<&RawValue>>(text).map_or(Cow::Borrowed(text), |elements| {
                let elements = elements.iter().map(|raw| respelt(raw.get(), depth + 1));
                Cow::Owned(format!("[{}]", elements.collect::<Vec<_>>().join(",")))
            })
        }
        // Respelt, so that an escape is no difference.
        Some(b'"') => serde_json::from_str::<String>(text)
            .map_or(Cow::Borrowed(text), |said| Cow::Owned(quoted(&said))),
        _ => Cow::Borrowed(text),
    }
}

fn object_at<'a>(members: impl Iterator<Item = (Cow<'a, str>, &'a str)>, depth: usize) -> String {
    let sorted: BTreeMap<Cow<'a, str>, &'a str> = members.collect();
    let members = sorted
        .into_iter()
        .map(|(name, raw)| format!("{}:{}", quoted(&name), respelt(raw, depth + 1)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_is_the_same() {
        let one = value(r#"{"b": [1, {"d":2,"c":"\u0061"}], "a": null}"#);
        assert_eq!(one, r#"{"a":null,"b":[1,{"c":"a","d":2}]}"#);
        assert_eq!(value(&one), one);
        assert_ne!(value("1.0"), value("1"));
    }
}
