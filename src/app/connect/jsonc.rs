//! JSON with comments and trailing commas, with the place of every part: what is changed is cut
//! into the text, and the rest of somebody's file stays as he wrote it.

use std::ops::Range;

use serde_json::{Map, Value};

/// How deep a file may be nested.
const DEPTH_MAX: usize = 64;

/// Why a text is none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct NotJson {
    /// Where it is, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Range<usize>,
    pub(super) value: Value,
    /// What is in it, of an object or an array.
    pub(super) items: Vec<Item>,
    /// Whether a comma stands behind the last one.
    pub(super) trailing_comma: bool,
}

/// A member of an object, or an element of an array, which has no key.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) key: Option<String>,
    /// With the key.
    pub(super) at: Range<usize>,
    pub(super) node: Node,
}

impl Node {
    /// The member of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let mut items = self.items.iter();
        let item = items.find(|item| item.key.as_deref() == Some(name));
        item.map(|item| &item.node)
    }
}

/// Reads a text.
pub(super) fn read(text: &str) -> Result<Node, NotJson> {
    let mut reader = Reader {
        text,
        at: text.len() - text.trim_start_matches('\u{feff}').len(),
    };
    let node = reader.value(0)?;
    match reader.peek()? {
        None => Ok(node),
        Some(_) => Err(reader.wrong("something stands behind the end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, why: &str) -> NotJson {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        NotJson {
            line: before.matches('\n').count() + 1,
            why: why.to_owned(),
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// The next character that is neither a blank nor in a comment.
    fn peek(&mut self) -> Result<Option<char>, NotJson> {
        loop {
            let rest = self.rest();
            let blanks = [' ', '\t', '\r', '\n'];
            self.at += rest.len() - rest.trim_start_matches(blanks).len();
            let rest = self.rest();
            let comment = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                match rest.find("*/") {
                    Some(end) => end + 2,
                    None => return Err(self.wrong("a comment has no end")),
                }
            } else {
                return Ok(rest.chars().next());
            };
            self.at += comment;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, NotJson> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("it is nested too deep"));
        }
        match self.peek()? {
            Some('{') => self.container('}', depth),
            Some('[') => self.container(']', depth),
            Some(_) => self.scalar(),
            None => Err(self.wrong("a value is missing")),
        }
    }

    fn container(&mut self, close: char, depth: usize) -> Result<Node, NotJson> {
        let start = self.at;
        self.at += 1;
        let mut items: Vec<Item> = Vec::new();
        let mut trailing_comma = false;
        loop {
            match self.peek()? {
                Some(c) if c == close => break,
                Some(_) if items.is_empty() || trailing_comma => {}
                Some(_) => return Err(self.wrong("a comma is missing")),
                None => return Err(self.wrong(&format!("`{close}` is missing"))),
            }
            items.push(self.item(close == '}', depth)?);
            trailing_comma = self.peek()? == Some(',');
            self.at += usize::from(trailing_comma);
        }
        self.at += 1;
        Ok(Node {
            at: start..self.at,
            value: whole(&items, close == '}'),
            items,
            trailing_comma,
        })
    }

    fn item(&mut self, member: bool, depth: usize) -> Result<Item, NotJson> {
        let start = self.at;
        let mut key = None;
        if member {
            let Value::String(name) = self.scalar()?.value else {
                return Err(self.wrong("a name in quotes is missing"));
            };
            if self.peek()? != Some(':') {
                return Err(self.wrong("`:` is missing"));
            }
            self.at += 1;
            key = Some(name);
        }
        let node = self.value(depth + 1)?;
        Ok(Item {
            key,
            at: start..node.at.end,
            node,
        })
    }

    /// A string, a number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<Node, NotJson> {
        let rest = self.rest();
        let length = if let Some(text) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = text.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.ok_or_else(|| self.wrong("a text has no end"))? + 2
        } else {
            let ends = |c: char| c.is_whitespace() || ",:]}/".contains(c);
            rest.find(ends).unwrap_or(rest.len())
        };
        let value = serde_json::from_str(&rest[..length])
            .map_err(|_| self.wrong(&format!("`{}` is no JSON", &rest[..length])))?;
        let start = self.at;
        self.at += length;
        Ok(Node {
            at: start..self.at,
            value,
            items: Vec::new(),
            trailing_comma: false,
        })
    }
}

fn whole(items: &[Item], object: bool) -> Value {
    let values = items.iter().map(|item| item.node.value.clone());
    if !object {
        return Value::Array(values.collect());
    }
    let names = items.iter().filter_map(|item| item.key.clone());
    Value::Object(names.zip(values).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_read() {
        let text = "\u{feff}// a\n{ \"a\": [1, /* two */ 2,], // \"b\"\n \"url\": \"http://x//y\\\"\", }\n";
        let node = read(text).expect("it is one");
        assert_eq!(node.value, json!({"a": [1, 2], "url": "http://x//y\""}));
        assert!(node.trailing_comma);
        assert_eq!(
            &text[node.get("a").expect("there").at.clone()],
            "[1, /* two */ 2,]"
        );
    }

    #[test]
    fn what_is_none_says_where() {
        for (text, line, why) in [
            ("", 1, "a value is missing"),
            ("{\n \"a\": 1\n \"b\": 2}", 3, "a comma is missing"),
            ("{\"a\": }", 1, "is no JSON"),
            ("{\n/* x", 2, "a comment has no end"),
            ("{\"a\": 1", 1, "`}` is missing"),
            ("{a: 1}", 1, "is no JSON"),
            ("{} {}", 1, "behind the end"),
            ("\"abc", 1, "a text has no end"),
            (",", 1, "is no JSON"),
        ] {
            let error = read(text).expect_err(text);
            assert!(
                error.line == line && error.why.contains(why),
                "{text}: {error}"
            );
        }
        let deep = "[".repeat(1000);
        assert!(read(&deep).expect_err("deep").why.contains("too deep"));
    }
}
