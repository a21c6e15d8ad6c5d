//! A fragment cut into the text of a client's file: what is not ours stays byte for byte.

use std::ops::Range;

use serde::Serialize as _;
use serde_json::Value;

use super::jsonc::{self, Node, NotJson};

/// Why a fragment can't be merged safely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The file is no JSON, not even with comments.
    #[error("it is no JSON ({0})")]
    Syntax(#[from] NotJson),
    /// A part of the file is something else than what the client reads there.
    #[error("`{0}` is not what it should be in such a file")]
    Shape(String),
    /// A name stands twice: which one counts is the client's affair.
    #[error("`{0}` stands twice in it")]
    Twice(String),
}

/// One piece of text in place of another.
struct Edit {
    at: Range<usize>,
    text: String,
}

/// A text that is being cut into.
struct Cutter<'a> {
    text: &'a str,
    newline: &'static str,
    /// The blanks of one level.
    unit: String,
    edits: Vec<Edit>,
}

/// The text with the fragment in it; the same text where it is there already.
///
/// # Errors
/// [`MergeError`]: what is there can't be understood.
pub fn merge(text: &str, fragment: &Value) -> Result<String, MergeError> {
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Ok(format!("{fragment:#}\n"));
    }
    let root = jsonc::read(text)?;
    if !root.value.is_object() {
        return Err(MergeError::Shape("the whole".into()));
    }
    let mut cutter = Cutter::new(text, &root);
    for (key, part) in members(fragment) {
        match (member(&root, key)?, part) {
            (None, _) => cutter.add(&root, Some(key), part),
            (Some(list), Value::Object(entries)) if list.value.is_object() => {
                for (name, entry) in entries {
                    cutter.set(list, (key, name), entry)?;
                }
            }
            (Some(list), Value::Array(elements)) if list.value.is_array() => {
                let known = |id: &Value| list.items.iter().any(|item| item.node.value["id"] == *id);
                for element in elements.iter().filter(|element| !known(&element["id"])) {
                    cutter.add(list, None, element);
                }
            }
            _ => return Err(MergeError::Shape(key.to_owned())),
        }
    }
    Ok(cutter.cut())
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(key, value)| (key.as_str(), value))
}

/// The member of this name, which stands there once or not at all.
fn member<'a>(node: &'a Node, name: &str) -> Result<Option<&'a Node>, MergeError> {
    let same = |item: &&jsonc::Item| item.key.as_deref() == Some(name);
    if node.items.iter().filter(same).count() > 1 {
        return Err(MergeError::Twice(name.to_owned()));
    }
    Ok(node.get(name))
}

impl<'a> Cutter<'a> {
    fn new(text: &'a str, root: &Node) -> Self {
        let first = root.items.first().map(|item| item.at.start);
        let first = first.filter(|at| starts_line(text, *at));
        let unit = first
            .map(|at| indent(text, at))
            .filter(|unit| !unit.is_empty());
        Self {
            text,
            newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
            unit: unit.unwrap_or_else(|| "  ".into()),
            edits: Vec::new(),
        }
    }

    /// Makes the member `name` of the list at `key` this entry.
    fn set(
        &mut self,
        list: &Node,
        (key, name): (&str, &str),
        entry: &Value,
    ) -> Result<(), MergeError> {
        let twice = |_| MergeError::Twice(format!("{key}.{name}"));
        match member(list, name).map_err(twice)? {
            None => self.add(list, Some(name), entry),
            Some(there) if there.value == *entry => {}
            Some(there) => {
                let text = self.written(entry, &indent(self.text, there.at.start));
                self.edit(there.at.clone(), text);
            }
        }
        Ok(())
    }

    /// Adds something behind the last one in an object or an array.
    fn add(&mut self, into: &Node, key: Option<&str>, value: &Value) {
        let inside = into.at.start + 1..into.at.end - 1;
        let name = key.map_or_else(String::new, |key| format!("{}: ", Value::from(key)));
        let first = into.items.first();
        let last = into.items.last().map_or(inside.start, |item| item.at.end);
        if first.is_some() && !self.text[inside.clone()].contains('\n') {
            // All in one line: so is what comes.
            let (at, comma) = if into.trailing_comma {
                (inside.end, "")
            } else {
                (last, ",")
            };
            return self.edit(at..at, format!("{comma} {name}{value}"));
        }
        let outer = indent(self.text, into.at.start);
        let inner = match first {
            Some(item) if starts_line(self.text, item.at.start) => indent(self.text, item.at.start),
            _ => format!("{outer}{}", self.unit),
        };
        if first.is_some() && !into.trailing_comma {
            self.edit(last..last, ",".into());
        }
        // Behind what stands there last, comments included, before the blanks in front of the end.
        let end = inside.start + self.text[inside.clone()].trim_end().len();
        let newline = self.newline;
        let added = format!("{newline}{inner}{name}{}", self.written(value, &inner));
        if self.text[end..inside.end].contains('\n') {
            self.edit(end..end, added);
        } else {
            self.edit(end..inside.end, format!("{added}{newline}{outer}"));
        }
    }

    fn edit(&mut self, at: Range<usize>, text: String) {
        self.edits.push(Edit { at, text });
    }

    /// A value over several lines, the later ones at this depth.
    fn written(&self, value: &Value, depth: &str) -> String {
        let mut bytes = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(self.unit.as_bytes());
        let mut writer = serde_json::Serializer::with_formatter(&mut bytes, format);
        value
            .serialize(&mut writer)
            .expect("a JSON value can be written into memory");
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        text.replace('\n', &format!("{}{depth}", self.newline))
    }

    /// From the end on, so that the places before stay where they are.
    fn cut(mut self) -> String {
        // Of two at one place the one that was wanted first comes first.
        self.edits.reverse();
        self.edits
            .sort_by_key(|edit| std::cmp::Reverse(edit.at.start));
        let mut text = self.text.to_owned();
        for edit in self.edits {
            text.replace_range(edit.at, &edit.text);
        }
        text
    }
}

/// The blanks at the beginning of the line.
fn indent(text: &str, at: usize) -> String {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let blank = |c: &char| matches!(c, ' ' | '\t');
    text[start..at].chars().take_while(blank).collect()
}

/// Whether nothing but blanks stands before it in its line.
fn starts_line(text: &str, at: usize) -> bool {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    start > 0 && text[start..at].trim().is_empty()
}

#[cfg(test)]
mod tests;
