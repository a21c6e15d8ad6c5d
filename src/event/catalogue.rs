//! The events that everybody knows: for each type its data, as a Rust type and as a JSON Schema.
//!
//! A schema asks for what must be there and lets pass what else there is: who reads an event may
//! be older than who published it.

pub mod context;
pub mod pipeline;
pub mod research;
pub mod swarm;
pub mod system;
pub mod task;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The data of an event of the catalogue.
pub trait EventData: Serialize + DeserializeOwned + JsonSchema {
    /// The type of the event.
    const TYPE: &'static str;

    /// One as it may come.
    fn example() -> Self;
}

/// A type of the catalogue.
#[derive(Clone, Debug)]
pub struct Known {
    /// `task.created`.
    pub name: &'static str,
    /// The JSON Schema of its data, with an example in it.
    pub schema: Value,
}

/// Every type of the catalogue, in order of their names.
#[must_use]
pub fn all() -> Vec<Known> {
    let mut all = vec![
        known::<context::EntityExtracted>(),
        known::<context::KnowledgeUpdated>(),
        known::<pipeline::Started>(),
        known::<pipeline::StageCompleted>(),
        known::<pipeline::Completed>(),
        known::<pipeline::Failed>(),
        known::<research::Started>(),
        known::<research::Completed>(),
        known::<swarm::SessionCreated>(),
        known::<swarm::WorkerSpawned>(),
        known::<system::HealthCheck>(),
        known::<system::ResourceUpdated>(),
        known::<system::ResourceRegistered>(),
        known::<system::ServerJoined>(),
        known::<system::ServerLeft>(),
        known::<system::ServerChanged>(),
        known::<system::ServerToolsChanged>(),
        known::<task::Created>(),
        known::<task::Completed>(),
        known::<task::Failed>(),
    ];
    all.sort_by_key(|known| known.name);
    all
}

fn known<D: EventData>() -> Known {
    let settings = SchemaSettings::draft2020_12();
    let mut schema = settings.into_generator().into_root_schema_for::<D>();
    let example = serde_json::to_value(D::example()).expect("examples are JSON");
    schema.insert("title".to_owned(), D::TYPE.into());
    schema.insert("examples".to_owned(), vec![example].into());
    Known {
        name: D::TYPE,
        schema: schema.to_value(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;

    #[test]
    fn every_example_keeps_to_its_schema_and_nothing_else_does() {
        for known in all() {
            EventType::new(known.name).expect("a type");
            let validator = jsonschema::validator_for(&known.schema).expect("a schema");
            let example = &known.schema["examples"][0];
            assert!(validator.is_valid(example), "{}", known.name);
            assert!(!validator.is_valid(&Value::Null), "{}", known.name);
            let required = known.schema["required"].as_array().expect("members");
            for member in required.iter().filter_map(Value::as_str) {
                let mut without = example.clone();
                without.as_object_mut().expect("an object").remove(member);
                assert!(!validator.is_valid(&without), "{} {member}", known.name);
            }
            assert!(known.schema["description"].is_string(), "{}", known.name);
        }
    }

    #[test]
    fn the_types_of_the_description_are_there() {
        let names: Vec<_> = all().iter().map(|known| known.name).collect();
        for name in [
            "task.created",
            "task.completed",
            "task.failed",
            "research.started",
            "research.completed",
            "swarm.session.created",
            "swarm.worker.spawned",
            "context.entity.extracted",
            "context.knowledge.updated",
            "system.health.check",
            "system.resource.updated",
            "resource.registered",
            "server.joined",
            "server.left",
            "server.changed",
        ] {
            assert!(names.contains(&name), "{name}");
        }
    }
}
