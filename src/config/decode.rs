//! From a tree to a type, through serde. It stops at the first mistake of a value, takes that
//! value out and begins again, so that all mistakes of a file are told together.
//!
//! The types need no more than `#[serde(default, deny_unknown_fields)]`: names of keys and the
//! places of mistakes come from here.

use std::{collections::BTreeSet, fmt};

use serde::de::{self, DeserializeOwned, Expected, Unexpected};

use crate::config::{
    later,
    problem::{Problem, Problems, nearest},
    source::Source,
    tree::{At, Node},
    walk::Walk,
};

/// Decodes a tree. `path` is where it hangs in its file (`servers.docs`), for the errors. What is
/// wrong stands in `problems`, and has the default in what is returned.
pub(crate) fn decode<T: DeserializeOwned + Default>(
    node: &Node,
    path: &str,
    source: &Source,
    problems: &mut Problems,
) -> T {
    let mut wrong = BTreeSet::new();
    while !problems.is_full() {
        let mistake = match T::deserialize(Walk::new(node, &wrong)) {
            Ok(value) => return value,
            Err(mistake) => mistake.inside(node),
        };
        let id = mistake.spot.as_ref().map_or(node.id, |spot| spot.0);
        // What is empty because its parts were taken out is not wrong once more.
        if !node.holds_one_of(&wrong, id) {
            problems.push(mistake.problem(path, source));
        }
        // The root cannot be taken out, and what was taken out cannot be wrong again.
        if id == node.id || !wrong.insert(id) {
            break;
        }
    }
    T::default()
}

/// A mistake on its way up: each level adds what it knows.
#[derive(Debug)]
pub(crate) struct Mistake {
    what: What,
    /// The node to take out, and where to point.
    spot: Option<Box<(u32, At)>>,
    /// Keys from the innermost to the outermost.
    path: Vec<String>,
    /// The serde name of the type whose mapping it is.
    section: &'static str,
}

#[derive(Debug)]
enum What {
    Unknown {
        key: String,
        known: &'static [&'static str],
    },
    Type {
        expected: String,
        found: &'static str,
    },
    Wrong {
        message: String,
        help: Option<String>,
    },
}

impl Mistake {
    /// A mistake of a value, not placed yet.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self::new(What::Wrong {
            message: message.into(),
            help: None,
        })
    }

    fn new(what: What) -> Self {
        Self {
            what,
            spot: None,
            path: Vec::new(),
            section: "",
        }
    }

    /// Something else than what was expected.
    pub(crate) fn kind(node: &Node, expected: &str) -> Self {
        Self::new(What::Type {
            expected: expected.to_owned(),
            found: "",
        })
        .inside(node)
    }

    /// Places the mistake in a node, where it has no place yet.
    pub(crate) fn inside(mut self, node: &Node) -> Self {
        if self.spot.is_none() {
            let pair = match &self.what {
                What::Unknown { key, .. } => node.get(key),
                _ => None,
            };
            if let What::Type { found, .. } = &mut self.what {
                *found = node.kind();
            }
            let spot = pair.map_or((node.id, &node.at), |pair| (pair.node.id, &pair.at));
            self.spot = Some(Box::new((spot.0, spot.1.clone())));
        }
        self
    }

    /// Says what type the mapping is of, where the mistake is one of its keys.
    pub(crate) fn of(mut self, section: &'static str) -> Self {
        if self.spot.is_none() {
            self.section = section;
        }
        self
    }

    /// Says which entry of a mapping it is in.
    pub(crate) fn under(mut self, key: &str) -> Self {
        self.path.push(key.to_owned());
        self
    }

    fn problem(self, path: &str, source: &Source) -> Problem {
        let mut keys: Vec<&str> = path.split('.').filter(|key| !key.is_empty()).collect();
        keys.extend(self.path.iter().rev().map(String::as_str));
        let place = keys.join(".");
        let at = self.spot.map_or_else(At::default, |spot| spot.1);
        let tell = |what: String| match place.as_str() {
            "" => Problem::new(source, &at, what),
            place => Problem::new(source, &at, format!("`{place}`: {what}")),
        };
        match self.what {
            What::Type { expected, found } => {
                tell(format!("{expected} was expected here, not {found}"))
            }
            What::Wrong {
                message,
                help: None,
            } => tell(message),
            What::Wrong {
                message,
                help: Some(help),
            } => tell(message).help(help),
            What::Unknown { key, known } => {
                let within = match place.as_str() {
                    "" => String::new(),
                    place => format!(" in `{place}`"),
                };
                if let Some(what) = later::planned(self.section, &key) {
                    let message = format!("`{key}`{within} is not in this version");
                    return Problem::new(source, &at, message).help(format!(
                        "it is for {what}: take it out until a version does that"
                    ));
                }
                let message = format!("unknown key `{}`{within}", key.escape_debug());
                Problem::new(source, &at, message).help(suggestion(&key, known))
            }
        }
    }
}

/// The nearest word, or all that are known.
fn suggestion(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::wrong(message.to_string())
    }

    /// Never says the value: it may be a secret.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(What::Type {
            expected: plain(&expected.to_string()).to_owned(),
            found: "",
        })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::Wrong {
            message: format!(
                "`{}` is not one of {}",
                word.escape_debug(),
                known.join(", ")
            ),
            help: Some(suggestion(word, known)),
        })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::wrong(format!("`{key}` is missing"))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::Unknown {
            key: key.to_owned(),
            known,
        })
    }
}

/// The words of serde in the words of a file.
fn plain(expected: &str) -> &str {
    match expected {
        "a string" => "text",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "u16" | "u32" | "u64" | "usize" => "a whole number",
        words if words.starts_with("struct ") => "a mapping",
        words => words,
    }
}
