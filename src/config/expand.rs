//! `${VAR}` and `${VAR:-default}` in values. It works on what was read, not on the text of the
//! file: a value can hold `}` or a newline and still stays one value.

use crate::config::{
    env::Env,
    problem::{Problem, Problems},
    source::Source,
    tree::{Node, Value},
};

/// Why a text could not be expanded. `inner` is what stands between the braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// The variable is not set and has no default.
    Unset { name: String },
    /// Not the name of a variable: `${input:key}`, `${workspaceFolder}` with a dot, `${x%y}`.
    Foreign { inner: String },
    /// `${` without `}`.
    Unclosed,
}

impl Unresolved {
    /// What is wrong and what to do about it.
    pub(crate) fn words(&self) -> (String, String) {
        let escape = "`$${` stands for a literal `${`";
        match self {
            Self::Unset { name } => (
                format!("the variable `{name}` is not set"),
                format!("set it, or write `${{{name}:-default}}`; {escape}"),
            ),
            Self::Foreign { inner } => (
                format!("`${{{}}}` is not a variable", inner.escape_debug()),
                format!("write its value, or `${{NAME}}` for a variable; {escape}"),
            ),
            Self::Unclosed => ("`${` has no `}`".to_owned(), escape.to_owned()),
        }
    }
}

/// Expands every variable of a text. A default serves where the variable is unset or empty, as in
/// a shell; it is taken literally. `$${` gives `${`, and a `$` before anything else is itself.
pub(crate) fn expand(text: &str, env: &Env) -> Result<String, Unresolved> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let close = after.find('}').ok_or(Unresolved::Unclosed)?;
        out.push_str(variable(&after[..close], env)?);
        rest = &after[close + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn variable<'a>(inner: &'a str, env: &'a Env) -> Result<&'a str, Unresolved> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Unresolved::Foreign {
            inner: name.to_owned(),
        });
    }
    match (env.get(name), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default),
        // Set to nothing is a value where no default was asked for.
        (None, None) if env.is_set(name) => Ok(""),
        (None, None) => Err(Unresolved::Unset {
            name: name.to_owned(),
        }),
    }
}

/// Expands every text below a node. `path` is its place in the file.
pub(crate) fn expand_all(
    node: &mut Node,
    path: &str,
    env: &Env,
    (source, problems): (&Source, &mut Problems),
) {
    match &mut node.value {
        Value::Text(text) => match expand(text, env) {
            Ok(expanded) => *text = expanded,
            Err(why) => {
                let (what, help) = why.words();
                let problem = Problem::new(source, &node.at, format!("`{path}`: {what}"));
                problems.push(problem.help(help));
            }
        },
        Value::List(items) => {
            for item in items {
                expand_all(item, path, env, (source, problems));
            }
        }
        Value::Map(pairs) => {
            for pair in pairs {
                let path = format!("{path}.{}", pair.key);
                expand_all(&mut pair.node, &path, env, (source, problems));
            }
        }
        Value::Null | Value::Plain(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env() -> Env {
        [("A", "one"), ("B_2", "}: ${A}"), ("EMPTY", "")]
            .into_iter()
            .collect()
    }

    #[test]
    fn variables_are_expanded_once() {
        for (text, expanded) in [
            ("", ""),
            ("plain $A $", "plain $A $"),
            ("${A}/${A}", "one/one"),
            ("${B_2}", "}: ${A}"),
            ("${NONE:-a b:-c}", "a b:-c"),
            ("${NONE:-}", ""),
            ("${EMPTY:-x}", "x"),
            ("[${EMPTY}]", "[]"),
            ("$${A} $$${A}", "${A} $${A}"),
            ("$$ ${A}", "$$ one"),
        ] {
            assert_eq!(expand(text, &env()).as_deref(), Ok(expanded), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_told() {
        let unset = |name: &str| Unresolved::Unset { name: name.into() };
        let foreign = |inner: &str| Unresolved::Foreign {
            inner: inner.into(),
        };
        for (text, why) in [
            ("x ${NONE}", unset("NONE")),
            ("${input:key}", foreign("input:key")),
            ("${}", foreign("")),
            ("${1}", foreign("1")),
            ("${A", Unresolved::Unclosed),
        ] {
            assert_eq!(expand(text, &env()), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_without_variables_stays_and_escaped_text_comes_back(text in "[^\\$]*") {
            prop_assert_eq!(expand(&text, &Env::default()), Ok(text.clone()));
            let escaped = format!("$${{{text}");
            prop_assert_eq!(expand(&escaped, &Env::default()), Ok(format!("${{{text}")));
        }
    }
}
