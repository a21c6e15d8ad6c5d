//! `weft schema`: the JSON Schemas of all that Weft reads and prints, made from its types.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;
use weftbus::{app::context::Context, config, error, event};

use super::{
    access, approve, audit, connect, describe, doctor, events,
    exit::Exit,
    failure::{ErrorObject, Failure},
    grant, health,
    invocation::Invocation,
    keys,
    output::table::Table,
    resources, servers, token, tools, version,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft schema
  weft schema config
  weft schema output/servers
  weft schema --write schemas
  weft schema --check schemas";

/// Lines of a difference that are shown for each file.
const SHOWN_MAX: usize = 6;

/// Print, write and check the JSON Schemas of what Weft reads and prints
#[derive(clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_help = "With `-o json` and `-o jsonl` a command prints what `output/COMMAND` describes: a list as an array, or an element of it a line."
)]
pub(super) struct Args {
    /// The schema to print. None: the names of all
    #[arg(value_name = "NAME", conflicts_with_all = ["check", "write"])]
    name: Option<String>,
    /// Compare the files of a folder with what they should be
    #[arg(long, value_name = "DIR", conflicts_with = "write")]
    check: Option<PathBuf>,
    /// Write the files into a folder
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

pub(super) fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let all = all();
    if let Some(folder) = &args.write {
        return write(folder, &all, to);
    }
    if let Some(folder) = &args.check {
        return check(folder, &all, to);
    }
    let Some(name) = &args.name else {
        let names: Vec<&String> = all.keys().collect();
        to.printer.rows(&names, |names| {
            let mut table = Table::new(&["NAME"]);
            names.iter().for_each(|name| table.row([name.as_str()]));
            table
        })?;
        return Ok(Exit::Ok);
    };
    let name = name.trim_end_matches(".json");
    let schema = all.get(name).ok_or_else(|| {
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        let near = config::nearest(name, &names).map(|near| format!("did you mean `{near}`?"));
        Failure::usage(format!(
            "there is no schema `{name}`; `weft schema` lists them"
        ))
        .hint(near)
    })?;
    to.printer.raw(pretty(schema).as_bytes())?;
    Ok(Exit::Ok)
}

/// Every schema, by its file's path without `.json`.
fn all() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, schema: Value| {
        all.insert(name.to_owned(), schema);
    };
    add("config", config::schema().to_value());
    add("error", of::<error::Data>());
    add("context", of::<Context>());
    add("event", of::<event::Event>());
    for known in event::catalogue::all() {
        add(&format!("events/{}", known.name), known.schema);
    }
    for tool in weftbus::app::plane::tools() {
        add(&format!("control/{}", tool.name), tool_schema(&tool));
    }
    add("output/access-check", of::<access::Checked>());
    add("output/bench-call", of::<weftbus::app::bench::Report>());
    add(
        "output/bench-events",
        of::<weftbus::app::bench::events::Report>(),
    );
    add("output/config-check", of::<Vec<super::config::Checked>>());
    add(
        "output/conformance",
        of::<weftbus::app::conformance::Report>(),
    );
    add("output/connect", of::<connect::Shown>());
    add("output/config-nats", of::<Vec<super::config::Key>>());
    add("output/describe", of::<describe::Description>());
    add("output/doctor", of::<Vec<doctor::Check>>());
    add("output/dlq-drop", of::<weftbus::event::LettersDone>());
    add("output/dlq-list", of::<Vec<weftbus::event::LetterEntry>>());
    add("output/dlq-redrive", of::<weftbus::event::LettersDone>());
    add("output/dlq-show", of::<weftbus::event::LetterShown>());
    add("output/error", of::<ErrorObject>());
    add("output/events-publish", of::<events::publish::Stored>());
    add("output/events-replay", of::<events::line::Line>());
    add(
        "output/events-replay-summary",
        of::<events::replay::summary::Summary>(),
    );
    add("output/approve", of::<Vec<approve::Tool>>());
    add("output/audit-tail", of::<audit::Line>());
    add("output/audit-verify", of::<audit::Verified>());
    add("output/events-tail", of::<events::line::Line>());
    add("output/health", of::<health::Health>());
    add("output/resources-list", of::<Vec<resources::Listed>>());
    add("output/resources-read", of::<resources::Got>());
    add(
        "output/resources-register",
        of::<weftbus::resource::Resource>(),
    );
    add("output/resources-remove", of::<resources::Removed>());
    add("output/servers", of::<Vec<servers::Server>>());
    add("output/grant-add", of::<grant::Kept>());
    add("output/grant-list", of::<Vec<grant::Kept>>());
    add("output/grant-remove", of::<grant::Kept>());
    add("output/keys-list", of::<Vec<keys::Key>>());
    add("output/keys-revoke", of::<Vec<keys::Key>>());
    add("output/keys-rotate", of::<Vec<keys::Key>>());
    add("output/token-inspect", of::<token::About>());
    add("output/token-issue", of::<token::Issued>());
    add("output/token-list", of::<Vec<token::About>>());
    add("output/token-revoke", of::<token::Revoked>());
    add("output/token-show", of::<token::Own>());
    add("output/tools", of::<Vec<tools::Tool>>());
    add("output/version", of::<version::Version>());
    all
}

/// A tool of the control plane: its arguments and its result.
fn tool_schema(tool: &weftbus::app::plane::ToolDefinition) -> Value {
    // Each part is a document of its own, so that the references in it are its own as well.
    let part = |schema: &Value, name: &str| {
        let mut schema = schema.clone();
        schema["$id"] = format!("weft:control/{}/{name}", tool.name).into();
        schema
    };
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": tool.name,
        "description": tool.description,
        "type": "object",
        "required": ["arguments", "result"],
        "properties": {
            "arguments": part(&tool.input_schema, "arguments"),
            "result": part(&tool.output_schema, "result"),
        },
    })
}

/// The schema of what a type is written as (draft 2020-12).
fn of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// As it stands in a file.
pub(super) fn pretty(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("{}: {error}", path.display()))
}

fn write(
    folder: &Path,
    all: &BTreeMap<String, Value>,
    to: &mut Invocation,
) -> Result<Exit, Failure> {
    for (name, schema) in all {
        let path = path_of(folder, name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        fs::write(&path, pretty(schema)).map_err(|error| failed(&path, &error))?;
    }
    to.printer.say(format!(
        "{} schemas written into {}",
        all.len(),
        folder.display()
    ));
    for path in superfluous(folder, all)? {
        to.printer.warn(format!(
            "{} belongs to no schema: remove it",
            path.display()
        ));
    }
    Ok(Exit::Ok)
}

fn check(
    folder: &Path,
    all: &BTreeMap<String, Value>,
    to: &mut Invocation,
) -> Result<Exit, Failure> {
    let mut wrong = Vec::new();
    for (name, schema) in all {
        let path = path_of(folder, name);
        match fs::read_to_string(&path) {
            Ok(text) if text == pretty(schema) => {}
            Ok(text) => wrong.push(format!(
                "{} is not what it should be:\n{}",
                path.display(),
                difference(&text, &pretty(schema))
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                wrong.push(format!("{} is missing", path.display()));
            }
            Err(error) => return Err(failed(&path, &error)),
        }
    }
    for path in superfluous(folder, all)? {
        wrong.push(format!("{} belongs to no schema", path.display()));
    }
    if wrong.is_empty() {
        to.printer.say(format!(
            "{} schemas in {} are right",
            all.len(),
            folder.display()
        ));
        return Ok(Exit::Ok);
    }
    let fix = format!(
        "`weft schema --write {}` writes them anew",
        folder.display()
    );
    Err(Failure::local(wrong.join("\n")).hint(Some(fix)))
}

/// The lines that only one of the two has.
fn difference(is: &str, should: &str) -> String {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (is.lines().collect(), should.lines().collect());
    let gone = is.lines().filter(|line| !new.contains(line));
    let come = should.lines().filter(|line| !old.contains(line));
    let mut lines: Vec<String> = gone
        .map(|line| format!("  - {}", line.trim()))
        .chain(come.map(|line| format!("  + {}", line.trim())))
        .collect();
    if lines.is_empty() {
        return "  the same lines in another order".to_owned();
    }
    let more = lines.len().saturating_sub(SHOWN_MAX);
    lines.truncate(SHOWN_MAX);
    if more > 0 {
        lines.push(format!("  … and {more} more lines"));
    }
    lines.join("\n")
}

/// JSON files of the folder that are no schema of ours. A folder that is not there has none.
fn superfluous(folder: &Path, all: &BTreeMap<String, Value>) -> Result<Vec<PathBuf>, Failure> {
    let known: BTreeSet<PathBuf> = all.keys().map(|name| path_of(folder, name)).collect();
    let mut folders: BTreeSet<PathBuf> = known
        .iter()
        .filter_map(|path| path.parent().map(Path::to_owned))
        .collect();
    folders.insert(folder.to_owned());
    let mut found = BTreeSet::new();
    for folder in folders {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&folder, &error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| failed(&folder, &error))?.path();
            let json = path.extension().is_some_and(|end| end == "json");
            if json && !known.contains(&path) {
                found.insert(path);
            }
        }
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use weftbus::config::Env;

    use super::*;
    use crate::cli::output::{Format, tests::printer};

    fn checked(folder: &Path) -> Result<Exit, String> {
        let (printer, _, _) = printer(Format::Table, false);
        let mut to = Invocation::new(printer, Env::default(), Default::default());
        check(folder, &all(), &mut to).map_err(|failure| match failure {
            Failure::Told(told) => told.lines().join("\n"),
            Failure::Closed => "closed".into(),
        })
    }

    #[test]
    fn what_was_written_is_right_and_every_drift_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        let (printer, _, _) = printer(Format::Table, false);
        let mut to = Invocation::new(printer, Env::default(), Default::default());
        write(dir, &all(), &mut to).expect("written");
        assert_eq!(checked(dir), Ok(Exit::Ok));

        let context = dir.join("context.json");
        let text = fs::read_to_string(&context).expect("there");
        fs::write(&context, text.replace("natsUrl", "natsURL")).expect("written");
        fs::remove_file(dir.join("output/servers.json")).expect("there");
        fs::write(dir.join("output/other.json"), "{}").expect("written");
        let said = checked(dir).expect_err("drifted");
        for part in [
            "context.json is not what it should be",
            "- \"natsURL\"",
            "+ \"natsUrl\"",
            "servers.json is missing",
            "other.json belongs to no schema",
            "--write",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn every_schema_is_one() {
        for (name, schema) in all() {
            assert!(
                jsonschema::meta::is_valid(&schema),
                "{name} is no JSON Schema"
            );
        }
    }

    #[test]
    fn the_folder_of_this_repository_is_right() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        assert_eq!(checked(&folder), Ok(Exit::Ok));
    }
}
