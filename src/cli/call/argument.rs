//! The words of `weft call`: which tool, and with which arguments. Pure, but for the files named.

use std::{
    fs,
    io::{self, Read},
};

use serde_json::{Map, Value};

/// Bytes of a file or of standard input at most: what a call may carry by default.
const INPUT_MAX: u64 = 64 * 1024 * 1024;

/// Server, tool, and the words that are left.
///
/// # Errors
/// What is missing.
pub(in crate::cli) fn target(words: &[String]) -> Result<(String, String, &[String]), String> {
    let (first, rest) = words.split_first().ok_or("which tool? give SERVER TOOL")?;
    // A server's name has neither `/` nor `_`, a tool's may: the first one parts them.
    let parted = first.split_once('/').or_else(|| first.split_once("__"));
    if let Some((server, tool)) = parted {
        if server.is_empty() || tool.is_empty() {
            return Err(format!("`{first}` is no SERVER/TOOL"));
        }
        return Ok((server.to_owned(), tool.to_owned(), rest));
    }
    match rest.split_first() {
        Some((tool, rest)) if !tool.contains('=') => Ok((first.clone(), tool.clone(), rest)),
        _ => Err(format!(
            "which tool of `{first}`? `weft tools {first}` lists them"
        )),
    }
}

/// The arguments of the tool: what `--args` says, and over it what the words say.
///
/// # Errors
/// Which word can't be read, and why.
pub(in crate::cli) fn arguments(
    whole: Option<&str>,
    words: &[String],
) -> Result<Map<String, Value>, String> {
    let mut stdin = Stdin::default();
    let mut arguments = match whole {
        Some(whole) => object(whole, &mut stdin)?,
        None => Map::new(),
    };
    let mut own = Map::new();
    for word in words {
        let (key, value) = pair(word, &mut stdin)?;
        if own.insert(key.clone(), value).is_some() {
            return Err(format!("`{key}` is given twice"));
        }
    }
    arguments.append(&mut own);
    Ok(arguments)
}

fn object(whole: &str, stdin: &mut Stdin) -> Result<Map<String, Value>, String> {
    match value("--args", whole, stdin)? {
        (Value::Object(object), _) => Ok(object),
        (other, from) => Err(format!(
            "{from}: a JSON object is needed, not {}",
            kind(&other)
        )),
    }
}

/// The JSON that a flag gives: as it stands, in a file (`@FILE`), or on standard input (`-`).
///
/// # Errors
/// What can't be read, and why.
pub(in crate::cli) fn json(flag: &str, given: &str) -> Result<Value, String> {
    value(flag, given, &mut Stdin::default()).map(|(value, _)| value)
}

fn value(flag: &str, given: &str, stdin: &mut Stdin) -> Result<(Value, String), String> {
    let (text, from) = match (given, given.strip_prefix('@')) {
        ("-", _) => (stdin.read()?, format!("{flag} -")),
        (_, Some(file)) => (read(file, stdin)?, format!("{flag} @{file}")),
        _ => (given.to_owned(), flag.to_owned()),
    };
    let value = serde_json::from_str(&text);
    let value = value.map_err(|error| format!("{from}: no JSON: {error}"))?;
    Ok((value, from))
}

fn pair(word: &str, stdin: &mut Stdin) -> Result<(String, Value), String> {
    let (key, value) = word.split_once('=').ok_or_else(|| {
        format!("`{word}` is no argument: write key=text, key:=json or key=@FILE")
    })?;
    let (key, json) = match key.strip_suffix(':') {
        Some(key) => (key, true),
        None => (key, false),
    };
    if key.is_empty() {
        return Err(format!("`{word}` has no key before the `=`"));
    }
    let text = match value.strip_prefix('@') {
        Some(file) => read(file, stdin).map_err(|why| format!("`{key}`: {why}"))?,
        None => value.to_owned(),
    };
    let value = if json {
        serde_json::from_str(&text).map_err(|error| {
            format!("`{key}:=`: no JSON: {error}; a string is written {key}=text")
        })?
    } else {
        Value::String(text)
    };
    Ok((key.to_owned(), value))
}

/// The text of a file, or of standard input where it is called `-`.
fn read(file: &str, stdin: &mut Stdin) -> Result<String, String> {
    if file == "-" {
        return stdin.read();
    }
    let opened = fs::File::open(file).map_err(|error| format!("{file}: {error}"))?;
    bounded(opened).map_err(|error| format!("{file}: {error}"))
}

/// Standard input, which can be read once.
#[derive(Default)]
pub(in crate::cli) struct Stdin {
    used: bool,
}

impl Stdin {
    pub(in crate::cli) fn read(&mut self) -> Result<String, String> {
        if std::mem::replace(&mut self.used, true) {
            return Err("standard input can be used once".to_owned());
        }
        bounded(io::stdin().lock()).map_err(|error| format!("standard input: {error}"))
    }
}

fn bounded(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(INPUT_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > INPUT_MAX {
        return Err(io::Error::other(format!("more than {INPUT_MAX} bytes")));
    }
    Ok(text)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A `traceparent` of W3C Trace Context, version 00.
pub(in crate::cli) fn traceparent(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    match parts.as_slice() {
        ["00", trace, parent, flags]
            if hex(trace, 32)
                && hex(parent, 16)
                && hex(flags, 2)
                && !zero(trace)
                && !zero(parent) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("write 00-TRACE-PARENT-FLAGS with 32, 16 and 2 lower-case hex digits".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_tool_is_named_in_three_ways() {
        for line in [
            &["a-b", "c_d", "k=v"][..],
            &["a-b/c_d", "k=v"],
            &["a-b__c_d", "k=v"],
        ] {
            let line = words(line);
            let (server, tool, rest) = target(&line).expect("a target");
            assert_eq!((server.as_str(), tool.as_str()), ("a-b", "c_d"));
            assert_eq!(rest, ["k=v"]);
        }
        let line = words(&["a", "b/c"]);
        assert_eq!(target(&line).expect("a target").1, "b/c");
        let line = words(&["a/b__c"]);
        assert_eq!(target(&line).expect("a target").1, "b__c");
    }

    #[test]
    fn a_missing_tool_is_asked_for() {
        for (line, says) in [
            (&["time"][..], "`weft tools time`"),
            (&["time", "k=v"], "`weft tools time`"),
            (&["/x"], "no SERVER/TOOL"),
            (&["x__"], "no SERVER/TOOL"),
        ] {
            let said = target(&words(line)).expect_err("no target");
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn every_form_of_argument_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let (text, json, all) = (
            file("text", "line\nline\n"),
            file("json", "[1]"),
            file("all", r#"{"a": 0, "z": 9}"#),
        );
        let line = words(&[
            "a=text",
            "b=",
            "c==x",
            "d:=20",
            r#"e:=["x", {"y": null}]"#,
            &format!("f=@{text}"),
            &format!("g:=@{json}"),
            "h.i:j=k",
            r#"k:="@at""#,
        ]);
        let read = arguments(Some(&format!("@{all}")), &line).expect("read");
        assert_eq!(
            Value::Object(read),
            json!({
                "a": "text", "z": 9, "b": "", "c": "=x", "d": 20, "e": ["x", {"y": null}],
                "f": "line\nline\n", "g": [1], "h.i:j": "k", "k": "@at",
            })
        );
        assert_eq!(arguments(None, &[]), Ok(Map::new()));
        assert_eq!(
            arguments(Some(r#"{"a":1}"#), &[]).map(Value::Object),
            Ok(json!({"a": 1}))
        );
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        for (whole, line, says) in [
            (None, &["word"][..], "`word` is no argument"),
            (None, &["=x"], "no key"),
            (None, &[":=1"], "no key"),
            (None, &["a=1", "a=2"], "`a` is given twice"),
            (None, &["a:=text"], "written a=text"),
            (None, &["a=@/nowhere/x"], "`a`: /nowhere/x"),
            (Some("[1]"), &[], "not an array"),
            (Some("{"), &[], "--args: no JSON"),
            (Some("@/nowhere/x"), &[], "/nowhere/x"),
        ] {
            let said = arguments(whole, &words(line)).expect_err("wrong");
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn standard_input_is_read_once() {
        let mut stdin = Stdin { used: true };
        let said = pair("a=@-", &mut stdin).expect_err("used");
        assert!(said.contains("once"), "{said}");
    }

    #[test]
    fn a_trace_context_is_checked() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(good).as_deref(), Ok(good));
        for bad in [
            "",
            "00-0-0-0",
            &good.to_uppercase(),
            &good.replace("00-", "01-"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            assert!(traceparent(bad).is_err(), "{bad}");
        }
    }
}
