//! The tools of `weft`: names, descriptions, schemas, and who may call them.

use jsonschema::Validator;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::shapes;
use crate::{
    access::exchange::{Deliver, Exchange, Exchanged},
    control::tokens::invalid,
    error::{Error, Kind},
    event::{
        ConsumerMend, ConsumerMended, ConsumerNamed, ConsumerOpen, ConsumerOpened, ConsumerPage,
        ConsumerRemoved, Declared, LetterGet, LetterList, LetterPage, LetterShown, LettersDone,
        LettersNamed, Open, Opened, ReplayDeliver, ReplayDelivered,
    },
};

/// Gives a call token for the proof of a connect token.
pub const TOKEN_EXCHANGE: &str = "token_exchange";
/// Issues a connect token.
pub const TOKEN_ISSUE: &str = "token_issue";
/// Revokes connect tokens.
pub const TOKEN_REVOKE: &str = "token_revoke";
/// Lists connect tokens.
pub const TOKEN_LIST: &str = "token_list";
/// Shows one connect token.
pub const TOKEN_INSPECT: &str = "token_inspect";
/// Opens a watch on trust snapshots.
pub const TRUST_OPEN: &str = "trust_open";
/// Tells whenever the servers changed.
pub const SERVER_WATCH: &str = "server_watch";
/// Says which domains and types of events are declared.
pub const EVENT_TYPES: &str = "event_types";
/// Has a stream push its events to a reader.
pub const EVENT_OPEN: &str = "event_open";
/// Opens a durable subscription.
pub const CONSUMER_OPEN: &str = "consumer_open";
/// Lists durable subscriptions.
pub const CONSUMER_LIST: &str = "consumer_list";
/// Removes a durable subscription.
pub const CONSUMER_REMOVE: &str = "consumer_remove";
/// Looks for events that no client can read.
pub const CONSUMER_MEND: &str = "consumer_mend";
/// Lists dead letters.
pub const DLQ_LIST: &str = "dlq_list";
/// Shows a dead letter with its event.
pub const DLQ_SHOW: &str = "dlq_show";
/// Delivers the events of dead letters once more.
pub const DLQ_REDRIVE: &str = "dlq_redrive";
/// Drops dead letters.
pub const DLQ_DROP: &str = "dlq_drop";
/// Delivers events to one durable once more.
pub const REPLAY_DELIVER: &str = "replay_deliver";
/// Lists servers.
pub const SERVER_LIST: &str = "server_list";
/// Shows one server.
pub const SERVER_GET: &str = "server_get";
/// Says whether somebody may do something.
pub const ACCESS_CHECK: &str = "access_check";

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
    let mut all = of_access();
    all.extend(of_events());
    all.extend(of_durables());
    all.extend(of_letters());
    all
}

fn of_events() -> Vec<ToolDefinition> {
    vec![
        define::<shapes::Nothing, Declared>(
            EVENT_TYPES,
            "Which events there may be",
            "Lists the domains and the types of events that the deployment declares beyond Weft's own catalogue, each type with the JSON Schema of its data.",
            true,
        ),
        define::<Open, Opened>(
            EVENT_OPEN,
            "Read a stream of events",
            "Has a stream push its events to weft.v1.dlv.{caller}.{deliver}, from where the caller says; one reader a stream. Needs subscribe:events/{source}/{type} for all that is asked for; replay:events/{source}/{type} for a replay.",
            true,
        ),
    ]
}

fn of_durables() -> Vec<ToolDefinition> {
    vec![
        define::<ConsumerOpen, ConsumerOpened>(
            CONSUMER_OPEN,
            "Open a durable subscription",
            "Opens a durable of the caller's, or changes how it hands out its events: pull from each of its streams, on a connection that was made after this. Needs subscribe:events/{source}/{type} for all that is asked for.",
            false,
        ),
        define::<shapes::Nothing, ConsumerPage>(
            CONSUMER_LIST,
            "List durable subscriptions",
            "Lists the caller's durables and how far each is on each stream; everybody's for who has read:mesh/consumers.",
            true,
        ),
        define::<ConsumerNamed, ConsumerRemoved>(
            CONSUMER_REMOVE,
            "Remove a durable subscription",
            "Removes a durable of the caller's. Its place in its streams is lost; the events stay.",
            false,
        ),
        define::<ConsumerMend, ConsumerMended>(
            CONSUMER_MEND,
            "Look for unreadable events",
            "Looks through what a durable was handed and did not answer for events whose headers no client can read. Each becomes a dead letter of the durable. For a reader that lost its connection.",
            false,
        ),
        define::<ReplayDeliver, ReplayDelivered>(
            REPLAY_DELIVER,
            "Deliver events once more",
            "Delivers events to one durable once more, marked as replays, and to no other reader. Needs replay:events/{source}/{type} for each; for another's durable admin:mesh/dlq too.",
            false,
        ),
    ]
}

fn of_letters() -> Vec<ToolDefinition> {
    vec![
        define::<LetterList, LetterPage>(
            DLQ_LIST,
            "List dead letters",
            "Lists events that durables gave up, the oldest first: the caller's own durables', everybody's for who has read:mesh/dlq.",
            true,
        ),
        define::<LetterGet, LetterShown>(
            DLQ_SHOW,
            "Show a dead letter",
            "Shows one dead letter, and its event where the caller may see that. Another's needs read:mesh/dlq.",
            true,
        ),
        define::<LettersNamed, LettersDone>(
            DLQ_REDRIVE,
            "Deliver dead letters once more",
            "Delivers the event of each dead letter to its durable once more, and to no other reader; the letter is gone then. Another's needs admin:mesh/dlq.",
            false,
        ),
        define::<LettersNamed, LettersDone>(
            DLQ_DROP,
            "Drop dead letters",
            "Removes dead letters. Their events stay in their streams. Another's needs admin:mesh/dlq.",
            false,
        ),
    ]
}

fn of_access() -> Vec<ToolDefinition> {
    use shapes as s;
    vec![
        define::<Exchange, Exchanged>(
            TOKEN_EXCHANGE,
            "Get a call token",
            "Gives a call token (15 minutes) to who proves that he holds a connect token. Needs no call token.",
            true,
        ),
        define::<s::TokenIssue, s::TokenIssued>(
            TOKEN_ISSUE,
            "Issue a token",
            "Issues a connect token with these permissions. It is shown once. Needs admin:mesh/tokens.",
            false,
        ),
        define::<s::TokenRevoke, s::TokensRevoked>(
            TOKEN_REVOKE,
            "Revoke tokens",
            "Revokes one token, or all of an identity: its connections are cut, its calls refused within a second. Needs admin:mesh/tokens.",
            false,
        ),
        define::<s::TokenList, s::TokenPage>(
            TOKEN_LIST,
            "List tokens",
            "Lists connect tokens, oldest first, never the tokens themselves. Needs admin:mesh/tokens.",
            true,
        ),
        define::<s::TokenInspect, s::About>(
            TOKEN_INSPECT,
            "Show a token",
            "Shows whose a token is, what it permits, until when, and whether it was revoked. Needs admin:mesh/tokens.",
            true,
        ),
        define::<Deliver, s::TrustOpened>(
            TRUST_OPEN,
            "Watch trust",
            "Sends signed snapshots of keys and revocations to weft.v1.dlv.{caller}.{deliver}: at once, at each change, every 5 s. Needs no call token.",
            true,
        ),
        define::<s::Nothing, s::ServerPage>(
            SERVER_LIST,
            "List servers",
            "Lists the servers that the caller's permissions touch, with their state and instances.",
            true,
        ),
        define::<Deliver, s::WatchOpened>(
            SERVER_WATCH,
            "Watch the servers",
            "Says on weft.v1.dlv.{caller}.{deliver} that the servers changed: at once, at each change, and every 5 s. It says no more: server_list has the rest.",
            true,
        ),
        define::<s::ServerGet, s::ServerFound>(
            SERVER_GET,
            "Show a server",
            "Shows one server: state, instances, tools.",
            true,
        ),
        define::<s::AccessCheck, s::AccessChecked>(
            ACCESS_CHECK,
            "Check access",
            "Says whether an identity may do one thing, which permission decides, and whether the broker lets it pass.",
            true,
        ),
    ]
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
        // What is wrong quotes the value where it is short; none of these is a secret but a
        // proof, which is used up by then.
        let what: String = error.to_string().chars().take(300).collect();
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
