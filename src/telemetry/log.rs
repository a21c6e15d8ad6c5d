//! Log lines: S18 of the description, with the call that a line belongs to.
//!
//! An entry is `{timestamp, level, message, context, serverName}`. Every line that is written
//! while a call is worked on has that call's correlation id, server and operation in `context`:
//! the span of the call holds them, and they are put into words only where a line needs them.

use std::{
    fmt::{self, Write as _},
    io::{IsTerminal as _, Write as _},
};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value as Json};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    EnvFilter, Layer, layer::Context, layer::SubscriberExt as _, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::{call::context::Correlation, name::CallId};

/// Only what is wrong, and the spans of calls with all that stands in them: what measuring runs
/// with, so that it measures what a mesh does.
pub const WITH_SPANS: &str = "warn,weftbus::policy=info";

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What is logged, how, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// `debug`, `info`, `warn`, `error`, or directives such as `info,weftbus::bus=debug`.
    pub level: String,
    /// How lines look; where nothing is said: text at a terminal, JSON elsewhere.
    pub style: Option<Style>,
    /// `serverName` of every entry (`MCP_SERVER_NAME`).
    pub server_name: String,
}

/// Starts logging to standard error, once for the process.
///
/// # Errors
/// A directive that can't be read; logging that was started before.
pub fn init(options: &Options) -> Result<(), String> {
    let filter = EnvFilter::builder()
        .parse(&options.level)
        .map_err(|error| format!("the log level `{}` can't be read: {error}", options.level))?;
    let style = options.style.unwrap_or_else(|| {
        if std::io::stderr().is_terminal() {
            Style::Text
        } else {
            Style::Json
        }
    });
    let lines = Lines {
        style,
        server_name: options.server_name.clone(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|error| error.to_string())
}

/// The layer that keeps the fields of spans, and writes lines.
struct Lines {
    style: Style,
    server_name: String,
}

/// The field of a call's span that holds the call id, as a number. A line shows the correlation
/// id that is made from it, under [`REQUEST_ID`], and never the call id itself.
pub const CALL: &str = "call";
/// The correlation id in a line.
pub const REQUEST_ID: &str = "requestId";

/// The fields of a span or of an event: values, put into words where a line is written.
#[derive(Default)]
struct Fields {
    message: String,
    values: Vec<(&'static str, Value)>,
}

/// One value.
#[derive(Clone)]
enum Value {
    Text(Box<str>),
    Number(serde_json::Number),
    Flag(bool),
    Call(u128),
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a String can't fail.
            write!(self.message, "{value:?}").expect("a String takes everything");
        } else {
            self.put(field, Value::Text(format!("{value:?}").into()));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else if !value.is_empty() {
            self.put(field, Value::Text(value.into()));
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, Value::Call(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Number(value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Number(value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Flag(value));
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.values.push((field.name(), value));
    }

    /// Its values, and those of the spans around it that it does not have itself. A call id is left
    /// out where the line says the correlation id.
    fn around(&mut self, outer: &Self) {
        for (name, value) in &outer.values {
            let said = |known: &&str| known == name || (*name == CALL && **known == *REQUEST_ID);
            if !self.values.iter().any(|(known, _)| said(known)) {
                self.values.push((name, value.clone()));
            }
        }
    }

    fn context(&self) -> Map<String, Json> {
        self.values
            .iter()
            .map(|(name, value)| match value {
                Value::Call(number) => (REQUEST_ID.to_owned(), request_id(*number).into()),
                Value::Text(text) => ((*name).to_owned(), text.as_ref().into()),
                Value::Number(number) => ((*name).to_owned(), number.clone().into()),
                Value::Flag(flag) => ((*name).to_owned(), (*flag).into()),
            })
            .collect()
    }
}

fn request_id(number: u128) -> String {
    CallId::from_u128(number).map_or_else(
        || number.to_string(),
        |call| Correlation::Derived(call).to_string(),
    )
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields {
                values: Vec::with_capacity(4),
                ..Fields::default()
            };
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.around(outer);
            }
        }
        let line = match self.style {
            Style::Json => self.json(event, &fields),
            Style::Text => text(event, &fields),
        };
        // A closed standard error is no reason to fail: there is nobody left to tell.
        drop(std::io::stderr().lock().write_all(line.as_bytes()));
    }
}

impl Lines {
    fn json(&self, event: &Event<'_>, fields: &Fields) -> String {
        let entry = serde_json::json!({
            "timestamp": now(),
            "level": level(*event.metadata().level()),
            "message": fields.message,
            "context": fields.context(),
            "serverName": self.server_name,
        });
        format!("{entry}\n")
    }
}

fn text(event: &Event<'_>, fields: &Fields) -> String {
    let mut line = format!(
        "{} {:5} {}",
        now(),
        level(*event.metadata().level()),
        visible(&fields.message)
    );
    for (name, value) in &fields.context() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned);
        line.extend([" ", name, "=", &visible(&value)]);
    }
    line.push('\n');
    line
}

/// One entry is one line, and no control sequence of somebody else's text reaches a terminal.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escape.into_iter().flatten().chain(plain)
        })
        .collect()
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The description has four levels.
const fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_in_a_text_does_not_make_two_lines() {
        assert_eq!(visible("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
    }
}
