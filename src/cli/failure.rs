//! What went wrong with a command, said once and in one form: what, where, and what to do.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use weftbus::{
    app::context::ContextError,
    config::Problems,
    error::{Data, Error, Kind},
};

use super::exit::Exit;

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to be told.
    Told(Box<Told>),
    /// Whoever read our output has enough of it: nothing to be told, and nobody to tell.
    Closed,
}

/// A failure with what to do about it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) error: Error,
    /// What to do, where the error does not say so itself.
    pub(crate) hint: Option<String>,
    pub(crate) exit: Exit,
}

/// With `-o json`, the one object on standard error.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ErrorObject {
    /// The number of the kind: one of the thirteen codes of the mesh.
    code: i64,
    /// The name of the kind, or which case of it this is. `USAGE`: the command line is wrong.
    kind: String,
    /// What happened, in a sentence.
    message: String,
    /// What to do, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Where it happened, and what had started.
    data: Data,
}

/// The case of a command line that is wrong.
const USAGE: &str = "USAGE";

impl Failure {
    /// The command was not called as its help says.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::told(
            Error::new(Kind::InvalidParams, message).case(USAGE),
            Exit::Usage,
        )
    }

    /// This machine, or a file on it, does not do what it should.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::from(Error::new(Kind::InternalError, message))
    }

    /// A failure with a status of its own.
    pub(crate) fn told(error: Error, exit: Exit) -> Self {
        Self::Told(Box::new(Told {
            error,
            hint: None,
            exit,
        }))
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: Option<String>) -> Self {
        if let Self::Told(told) = &mut self {
            told.hint = hint.or(told.hint.take());
        }
        self
    }

    /// The error beneath, where there is one.
    pub(crate) fn error(&self) -> Option<&Error> {
        match self {
            Self::Told(told) => Some(&told.error),
            Self::Closed => None,
        }
    }

    /// What the process ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Told(told) => told.exit,
            Self::Closed => Exit::Ok,
        }
    }
}

impl Told {
    /// For people: the sentence, what to do, and where it happened.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.error.to_string()];
        lines.extend(self.hint.clone());
        let context = self.error.context();
        if !context.operation.is_empty() {
            let data = self.error.data();
            let started = match data.started {
                weftbus::error::Started::No => "not started",
                weftbus::error::Started::Maybe => "perhaps started",
                weftbus::error::Started::Yes => "started",
            };
            let mut place = vec![
                data.kind,
                format!("{} on {}", context.operation, context.server_name),
                started.to_owned(),
            ];
            if !context.request_id.is_empty() {
                place.push(format!("correlation {}", context.request_id));
            }
            lines.push(place.join(" · "));
        }
        lines
    }

    /// For programs.
    pub(crate) fn object(&self) -> ErrorObject {
        ErrorObject {
            code: self.error.kind().code(),
            kind: self.error.case_name().to_owned(),
            message: self.error.message().to_owned(),
            hint: self.hint.clone(),
            data: self.error.data(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = Exit::of(&error);
        Self::told(error, exit)
    }
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::Environment(why) => Self::usage(why),
            other => Self::from(Error::from(other)),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::local(format!("the configuration is not right\n\n{problems}\n"))
    }
}

impl From<io::Error> for Failure {
    /// What could not be written to standard output.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::local(format!("standard output: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use weftbus::error::{Context, Started, case};

    use super::*;

    fn lines(failure: Failure) -> String {
        match failure {
            Failure::Told(told) => told.lines().join("\n"),
            Failure::Closed => "closed".into(),
        }
    }

    #[test]
    fn what_where_and_what_to_do() {
        let error = Error::new(Kind::InternalError, "the connection was lost")
            .case(case::CONNECTION_LOST)
            .started(Started::Maybe)
            .located("alice", || Context {
                server_name: "gh".into(),
                operation: "tools/call x".into(),
                request_id: "abc".into(),
                ..Context::default()
            });
        let failure = Failure::from(error).hint(Some("try again".into()));
        insta::assert_snapshot!(lines(failure), @r"
        the connection was lost
        try again
        CONNECTION_LOST · tools/call x on gh · perhaps started · correlation abc
        ");
    }

    #[test]
    fn an_error_object_is_one_of_the_schema() {
        let Failure::Told(told) = Failure::usage("no such flag") else {
            panic!("told");
        };
        let object = serde_json::to_value(told.object()).expect("JSON");
        assert_eq!(object["code"], -32602);
        assert_eq!(object["kind"], "USAGE");
        let schema = schemars::schema_for!(ErrorObject);
        let schema = jsonschema::validator_for(schema.as_value()).expect("a schema");
        assert!(schema.is_valid(&object), "{object}");
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(closed.exit(), Exit::Ok);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit(), Exit::Failed);
    }
}
