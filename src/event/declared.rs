//! Which domains and types there are: those of the catalogue, and those that a deployment declares.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use jsonschema::Validator;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Domain, EventType, catalogue,
    envelope::{Event, invalid},
    kind::STREAMS,
};
use crate::error::{Error, Kind, case};

/// Domains that a deployment may declare.
pub const DOMAINS_MAX: usize = 64;

/// What a deployment declares beyond the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Declared {
    /// Further domains; each has a stream of its own.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// The JSON Schemas of the data of further types.
    #[serde(default)]
    pub types: BTreeMap<EventType, Value>,
}

/// What an event may be.
pub struct Types {
    domains: Vec<Domain>,
    schemas: BTreeMap<EventType, Validator>,
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Types")
            .field("domains", &self.domains)
            .field("types", &self.schemas.keys())
            .finish()
    }
}

/// The schemas of the catalogue, made once.
static CATALOGUE: LazyLock<BTreeMap<&'static str, Validator>> = LazyLock::new(|| {
    let validator = |known: catalogue::Known| {
        let made = jsonschema::validator_for(&known.schema);
        (known.name, made.expect("a schema made from a type is one"))
    };
    catalogue::all().into_iter().map(validator).collect()
});

impl Types {
    /// Those of the catalogue, and these.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where a declaration contradicts another, or a schema is none.
    pub fn new(declared: &Declared) -> Result<Self, Error> {
        if declared.domains.len() > DOMAINS_MAX {
            return Err(invalid(format!(
                "{} domains are declared; there can be {DOMAINS_MAX}",
                declared.domains.len()
            )));
        }
        let mut types = Self {
            domains: declared.domains.clone(),
            schemas: BTreeMap::new(),
        };
        for (kind, schema) in &declared.types {
            if CATALOGUE.contains_key(kind.as_str()) {
                return Err(invalid(format!(
                    "`{kind}` has a schema of Weft's own, which can't be replaced"
                )));
            }
            types.stream(kind)?;
            let made = jsonschema::validator_for(schema);
            let made = made.map_err(|error| invalid(format!("the schema of `{kind}`: {error}")))?;
            types.schemas.insert(kind.clone(), made);
        }
        Ok(types)
    }

    /// The stream that keeps events of this type.
    ///
    /// # Errors
    /// `INVALID_PARAMS` (DOMAIN_UNKNOWN) where nobody declared its domain.
    pub fn stream(&self, kind: &EventType) -> Result<String, Error> {
        let domain = kind.domain();
        let own = STREAMS.iter().flat_map(|(_, domains)| domains.iter());
        let declared = self.domains.iter().map(Domain::as_str);
        if own.clone().any(|known| *known == domain)
            || declared.clone().any(|known| known == domain)
        {
            return Ok(Domain::new(domain)
                .map_err(|error| invalid(error.to_string()))?
                .stream());
        }
        let all: Vec<_> = own.copied().chain(declared).collect();
        Err(Error::new(
            Kind::InvalidParams,
            format!(
                "nobody declared the domain `{domain}` of `{kind}`: there are {}. `events.domains` \
                 in weft.yaml declares more",
                all.join(", ")
            ),
        )
        .case(case::DOMAIN_UNKNOWN))
    }

    /// Checks the data of an event against the schema of its type, where it has one.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with the member that does not fit.
    pub fn check(&self, kind: &EventType, event: &Event) -> Result<(), Error> {
        let declared = self.schemas.get(kind);
        let Some(validator) = declared.or_else(|| CATALOGUE.get(kind.as_str())) else {
            return Ok(());
        };
        let data: Value = event.data()?;
        let Err(error) = validator.validate(&data) else {
            return Ok(());
        };
        let path = error.instance_path().to_string();
        let at = path.trim_start_matches('/').replace('/', ".");
        let place = if at.is_empty() {
            "`data`".to_owned()
        } else {
            format!("`data.{at}`")
        };
        // The value itself may be anything, and long.
        let what: String = error.masked().to_string().chars().take(300).collect();
        Err(invalid(format!(
            "{place} of the {kind} `{}`: {what}",
            event.id
        )))
    }
}

impl Default for Types {
    fn default() -> Self {
        Self::new(&Declared::default()).expect("nothing contradicts nothing")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(text: &str) -> EventType {
        EventType::new(text).expect("a type")
    }

    fn order() -> Declared {
        serde_json::from_value(json!({
            "domains": ["order"],
            "types": {"order.placed": {"type": "object", "required": ["total"]}},
        }))
        .expect("a declaration")
    }

    #[test]
    fn a_domain_is_declared_or_refused() {
        let types = Types::new(&order()).expect("types");
        let stream = |text| types.stream(&kind(text));
        assert_eq!(stream("task.other").expect("known"), "WEFT_TASKS");
        assert_eq!(stream("order.placed").expect("declared"), "WEFT_EVT_ORDER");
        let error = stream("invoice.sent").expect_err("unknown");
        assert!(error.to_string().contains("`invoice`"), "{error}");
        assert!(error.to_string().contains("order"), "{error}");
    }

    #[test]
    fn data_is_checked_where_its_type_has_a_schema() {
        let types = Types::new(&order()).expect("types");
        let check = |text: &str, data| types.check(&kind(text), &Event::new(text, data));
        check(
            "task.created",
            json!({"taskId": "t", "title": "T", "more": 1}),
        )
        .expect("good");
        let error = check("task.created", json!({"taskId": 1, "title": "T"})).expect_err("bad");
        assert!(error.to_string().contains("`data.taskId`"), "{error}");
        check("order.placed", json!({"total": 3})).expect("good");
        check("order.placed", json!({})).expect_err("bad");
        check("order.other", json!([1])).expect("anything");
    }

    #[test]
    fn a_declaration_is_checked() {
        let refused = |declared: Value| {
            let declared: Declared = serde_json::from_value(declared).expect("a declaration");
            Types::new(&declared).expect_err("refused").to_string()
        };
        assert!(refused(json!({"types": {"task.created": {}}})).contains("own"));
        assert!(refused(json!({"types": {"order.placed": {}}})).contains("`order`"));
        let bad = json!({"domains": ["order"], "types": {"order.placed": {"type": "strin"}}});
        assert!(refused(bad).contains("schema"));
        let many: Vec<_> = (0..=DOMAINS_MAX).map(|n| format!("d{n}")).collect();
        assert!(refused(json!({"domains": many})).contains("65"));
    }
}
