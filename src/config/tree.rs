//! What a file holds, as a tree in which everything knows its line and column.
//!
//! YAML is read once, without a type in mind. So every later step (duplicates, names, variables,
//! foreign keys, decoding) can say where a thing stands, and text put in for a `${VARIABLE}` can
//! never become structure.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    ops::Range,
};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{
    DefaultMessageFormatter, DuplicateKeyPolicy, Location, MessageFormatter as _,
    NonFiniteFloatPolicy, Spanned,
};

use crate::config::{
    problem::{Problem, Problems},
    source::Source,
};

/// Where something stands: line and column count from 1, `bytes` from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// Characters that belong to it, at least 1.
    pub(crate) width: usize,
    /// The bytes of the text that it was written with.
    pub(crate) bytes: Range<usize>,
}

/// One value of the file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Differs for every node of a tree.
    pub(crate) id: u32,
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing was written.
    Null,
    /// A number or a truth value, as it was spelt: `1.10` stays `1.10` where text is asked for.
    Plain(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file. Keys may repeat until [`Node::take_duplicates`].
    Map(Vec<Pair>),
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) at: At,
    pub(crate) node: Node,
}

/// Deeper files are refused: a configuration has 5 levels, and every walk here is recursive.
const DEPTH_MAX: usize = 32;

/// Bytes of text in a tree at most, with what aliases repeat.
const SCALARS_MAX: usize = 4 * 1024 * 1024;

/// Reads YAML, or JSON, which is a part of it.
pub(crate) fn parse(source: &Source) -> Result<Node, Problem> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: 100_000,
            max_aliases: 1_000,
            max_documents: 1,
            max_total_scalar_bytes: SCALARS_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Spanned<Raw>>(source.text(), options)
        .map(|raw| Node::new(raw, source.text(), &mut 0))
        .map_err(|error| {
            let what = DefaultMessageFormatter.format_message(&error);
            let at = error
                .location()
                .map_or_else(At::default, |place| At::new(&place));
            Problem::new(
                source,
                &at,
                format!("not readable: {}", what.escape_debug()),
            )
        })
}

impl Default for At {
    fn default() -> Self {
        Self {
            line: 1,
            column: 1,
            width: 1,
            bytes: 0..0,
        }
    }
}

impl At {
    fn new(place: &Location) -> Self {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let span = place.span();
        let start = size(span.byte_offset().unwrap_or(0));
        let bytes = start..start.saturating_add(size(span.byte_len().unwrap_or(0)));
        Self {
            line: size(place.line()).max(1),
            column: size(place.column()).max(1),
            width: size(span.len()).max(1),
            bytes,
        }
    }
}

impl Node {
    fn new(raw: Spanned<Raw>, text: &str, next: &mut u32) -> Self {
        let at = At::new(&raw.defined);
        let id = *next;
        *next += 1;
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Plain => Value::Plain(text.get(at.bytes.clone()).unwrap_or_default().to_owned()),
            Raw::Text(words) => Value::Text(words),
            Raw::List(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| Self::new(item, text, next))
                    .collect(),
            ),
            Raw::Map(pairs) => Value::Map(
                pairs
                    .into_iter()
                    .map(|(key, value)| Pair {
                        at: At::new(&key.defined),
                        key: key.value,
                        node: Self::new(value, text, next),
                    })
                    .collect(),
            ),
        };
        Self { id, at, value }
    }

    /// The entries of a mapping; none for anything else.
    pub(crate) fn pairs(&self) -> &[Pair] {
        match &self.value {
            Value::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The entry of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Pair> {
        self.pairs().iter().find(|pair| pair.key == key)
    }

    /// The value below a path of keys.
    pub(crate) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |node, key| Some(&node.get(key)?.node))
    }

    /// Takes an entry out of a mapping.
    pub(crate) fn take(&mut self, key: &str) -> Option<Pair> {
        let Value::Map(pairs) = &mut self.value else {
            return None;
        };
        let found = pairs.iter().position(|pair| pair.key == key)?;
        Some(pairs.remove(found))
    }

    /// Whether one of these nodes stands below the node `id`, which is this one or below it.
    pub(crate) fn holds_one_of(&self, ids: &BTreeSet<u32>, id: u32) -> bool {
        let below: Box<dyn Iterator<Item = &Self>> = match &self.value {
            Value::List(items) => Box::new(items.iter()),
            Value::Map(pairs) => Box::new(pairs.iter().map(|pair| &pair.node)),
            _ => return false,
        };
        // Below the node, every node is looked for.
        below.into_iter().any(|node| {
            if self.id == id {
                ids.contains(&node.id) || node.holds_one_of(ids, node.id)
            } else {
                node.holds_one_of(ids, id)
            }
        })
    }

    /// The text of a scalar, numbers as they were spelt.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What stands here, in the words of an error.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Plain(text) if text.starts_with(['t', 'T', 'f', 'F']) => "a truth value",
            Value::Plain(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Takes out every repeated key, so that the first stands, and tells each.
    pub(crate) fn take_duplicates(&mut self, source: &Source, problems: &mut Problems) {
        match &mut self.value {
            Value::List(items) => {
                for item in items {
                    item.take_duplicates(source, problems);
                }
            }
            Value::Map(pairs) => {
                let mut kept: Vec<Pair> = Vec::with_capacity(pairs.len());
                let mut first = HashMap::new();
                for mut pair in std::mem::take(pairs) {
                    if let Some(before) = first.get(&pair.key) {
                        let what = format!("`{}` is written twice", pair.key.escape_debug());
                        problems.push(Problem::new(source, &pair.at, what).also(
                            "it stands first at",
                            source,
                            before,
                        ));
                        continue;
                    }
                    first.insert(pair.key.clone(), pair.at.clone());
                    pair.node.take_duplicates(source, problems);
                    kept.push(pair);
                }
                *pairs = kept;
            }
            _ => {}
        }
    }
}

/// A value as the parser tells it, before its own spelling is looked up.
enum Raw {
    Null,
    Plain,
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
