//! The tools of `weft`: names, descriptions, schemas, and who may call them.

mod access;
mod events;
mod name;
mod resources;

use jsonschema::Validator;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use name::*;

use super::shapes;
use crate::{
    control::tokens::invalid,
    error::{Error, Kind},
};

/// A tool as `tools/list` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolDefinition {
    /// Its name.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it does.
    pub description: &'static str,
    /// The JSON Schema of its arguments.
    pub input_schema: Value,
    /// The JSON Schema of its result.
    pub output_schema: Value,
    /// What it does to the world.
    pub annotations: Value,
}

/// Every tool, as data.
#[must_use]
pub fn definitions() -> Vec<ToolDefinition> {
    let mut all = access::definitions();
    all.extend(events::of_events());
    all.extend(events::of_durables());
    all.extend(events::of_letters());
    all.extend(resources::definitions());
    all
}

fn define<A: JsonSchema, R: JsonSchema>(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    reads: bool,
) -> ToolDefinition {
    ToolDefinition {
        name,
        title,
        description,
        input_schema: schema::<A>(SchemaSettings::draft2020_12()),
        output_schema: schema::<R>(SchemaSettings::draft2020_12().for_serialize()),
        annotations: json!({"readOnlyHint": reads, "openWorldHint": false}),
    }
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    SchemaGenerator::new(settings)
        .into_root_schema_for::<T>()
        .to_value()
}

/// The tools, with their arguments' validators made once.
#[derive(Debug)]
pub(crate) struct Tools {
    definitions: Vec<ToolDefinition>,
    validators: Vec<Validator>,
}

/// One tool.
#[derive(Debug)]
pub(super) struct Tool<'a> {
    pub(super) name: &'static str,
    validator: &'a Validator,
}

impl Tools {
    pub(crate) fn new() -> Self {
        let definitions = definitions();
        let validator = |tool: &ToolDefinition| {
            jsonschema::validator_for(&tool.input_schema).expect("a schema made from a type is one")
        };
        let validators = definitions.iter().map(validator).collect();
        Self {
            definitions,
            validators,
        }
    }

    pub(super) fn definitions(&self) -> &[ToolDefinition] {
        &self.definitions
    }

    /// The tool of this name, or the nearest one in the error.
    pub(super) fn find(&self, name: &str) -> Result<Tool<'_>, Error> {
        let names = self.definitions.iter().map(|tool| tool.name);
        self.definitions
            .iter()
            .zip(&self.validators)
            .find(|(tool, _)| tool.name == name)
            .map(|(tool, validator)| Tool {
                name: tool.name,
                validator,
            })
            .ok_or_else(|| {
                let hint = nearest(name, names).map(|near| format!("; did you mean `{near}`?"));
                Error::new(
                    Kind::ToolNotFound,
                    format!(
                        "`weft` has no tool `{}`{}",
                        name.chars().take(80).collect::<String>(),
                        hint.unwrap_or_default()
                    ),
                )
            })
    }
}

impl Tool<'_> {
    /// The arguments in `params`, checked.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with the field and what is wrong with it.
    pub(super) fn arguments(&self, params: Option<&str>) -> Result<Value, Error> {
        #[derive(serde::Deserialize)]
        struct Params {
            #[serde(default)]
            arguments: Option<Value>,
        }
        let params: Option<Params> = params
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| invalid(format!("params: {error}")))?;
        let arguments = params
            .and_then(|params| params.arguments)
            .unwrap_or_else(|| json!({}));
        let Err(error) = self.validator.validate(&arguments) else {
            return Ok(arguments);
        };
        let path = error.instance_path().to_string();
        let field = path.trim_start_matches('/').replace('/', ".");
        // The value may be a secret, and this is logged: who sent it knows it.
        let what: String = error.masked().to_string().chars().take(300).collect();
        Err(invalid(if field.is_empty() {
            format!("arguments of `{}`: {what}", self.name)
        } else {
            format!("argument `{field}` of `{}`: {what}", self.name)
        }))
    }
}

/// Arguments as their type, once they were checked.
pub(super) fn typed<T: DeserializeOwned>(arguments: Value) -> Result<T, Error> {
    serde_json::from_value(arguments).map_err(|error| invalid(format!("arguments: {error}")))
}

/// The nearest of `names`, where one is near.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(near, _)| *near > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
