//! An event as it travels: its members, and what each of them may be.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use super::{catalogue::EventData, kind::EventType};
use crate::{
    call::context::Correlation,
    error::{Error, Kind, case},
    name::{Identity, id},
};

/// Bytes of one event. What is larger belongs into a resource, and its name into the event.
pub const BYTES_MAX: usize = 512 * 1024;
/// Bytes of an id.
const ID_MAX: usize = 128;

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What tells it from every other event of its source: 1 to 128 visible ASCII characters, a
    /// UUIDv7 unless something else was given. Of two with the same id within 10 minutes the first
    /// is kept.
    pub id: String,
    /// What happened: `task.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who published it, as the broker vouches for. Set when it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Identity>,
    /// When it happened, RFC 3339.
    pub timestamp: String,
    /// What else there is to say; a JSON value of any kind.
    #[schemars(with = "Value")]
    pub data: Box<RawValue>,
    /// What it is part of: 1 to 64 of `A-Z a-z 0-9 _ - .`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

impl Event {
    /// An event of now, with an id of its own. It is checked when it is published.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "`Event::new(\"task.created\", json!({…}))` reads as it should"
    )]
    pub fn new(kind: impl Into<String>, data: Value) -> Self {
        let data = to_raw_value(&data).expect("a JSON value is JSON");
        Self::made(kind.into(), data)
    }

    /// An event of the catalogue.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the data can't be written as JSON.
    pub fn of<D: EventData>(data: &D) -> Result<Self, Error> {
        let data = to_raw_value(data).map_err(|error| invalid(format!("`data`: {error}")))?;
        Ok(Self::made(D::TYPE.to_owned(), data))
    }

    fn made(kind: String, data: Box<RawValue>) -> Self {
        Self {
            id: id::event(),
            kind,
            source: None,
            timestamp: now(),
            data,
            correlation_id: None,
        }
    }

    /// As part of this.
    #[must_use]
    pub fn correlated(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// With this id: who publishes the same event again gives the same one.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The data as its type.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with the place where it does not fit.
    pub fn data<D: DeserializeOwned>(&self) -> Result<D, Error> {
        serde_json::from_str(self.data.get()).map_err(|error| {
            invalid(format!(
                "`data` of the {} `{}`: {error}",
                self.kind, self.id
            ))
        })
    }

    /// What others read of it without its body, under the names that CloudEvents gives.
    pub(crate) fn cloud_headers(&self, source: &str) -> Vec<(&'static str, String)> {
        // CloudEvents wants `"` and `%` encoded.
        let id = self.id.replace('%', "%25").replace('"', "%22");
        vec![
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", id),
            ("ce-source", source.to_owned()),
            ("ce-type", self.kind.clone()),
            ("ce-time", self.timestamp.clone()),
        ]
    }

    /// Reads what came under this subject's source: it is the broker that vouches for it, so what
    /// the body says of its source counts for nothing.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where it is no event.
    pub fn read(body: &[u8], source: &str) -> Result<Self, Error> {
        let mut event: Self = serde_json::from_slice(body)
            .map_err(|error| invalid(format!("this is no event: {error}")))?;
        event.source = Identity::new(source).ok();
        Ok(event)
    }

    /// Checks it, stamps it with its source, and gives its body.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with the member that is wrong; `ACCESS_DENIED` where it says that somebody
    /// else published it; `INVALID_REQUEST` (REQUEST_TOO_LARGE).
    pub fn stamped(&mut self, source: &Identity) -> Result<Bytes, Error> {
        self.check()?;
        match &self.source {
            Some(said) if said != source => {
                return Err(Error::new(
                    Kind::AccessDenied,
                    format!(
                        "the event `{}` says that `{said}` published it, and you are `{source}`: \
                         leave `source` out, it is set for you",
                        self.id
                    ),
                ));
            }
            Some(_) => {}
            None => self.source = Some(source.clone()),
        }
        let body = serde_json::to_vec(self).expect("an event is JSON");
        if body.len() > BYTES_MAX {
            return Err(Error::new(
                Kind::InvalidRequest,
                format!(
                    "the event `{}` has {} bytes; at most {BYTES_MAX} are taken: put what is large \
                     into a resource, and its name into the event",
                    self.id,
                    body.len()
                ),
            )
            .case(case::REQUEST_TOO_LARGE));
        }
        Ok(body.into())
    }

    fn check(&self) -> Result<(), Error> {
        EventType::new(&self.kind).map_err(|error| invalid(error.to_string()))?;
        let visible = self.id.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || !(1..=ID_MAX).contains(&self.id.len()) {
            return Err(invalid(format!(
                "`id` of an event has 1 to {ID_MAX} visible ASCII characters; this one has {} bytes",
                self.id.len()
            )));
        }
        if DateTime::parse_from_rfc3339(&self.timestamp).is_err() {
            let shown: String = self.timestamp.chars().take(40).collect();
            return Err(invalid(format!(
                "`timestamp` `{shown}` is no time as RFC 3339 has it: 2026-11-22T09:30:00Z"
            )));
        }
        match &self.correlation_id {
            Some(id) if Correlation::given(id).is_none() => Err(invalid(
                "`correlationId` has 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// Now, as an event says it.
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn invalid(message: String) -> Error {
    Error::new(Kind::InvalidParams, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn who(name: &str) -> Identity {
        Identity::new(name).expect("a name")
    }

    #[test]
    fn an_event_is_stamped_with_its_source() {
        let mut event = Event::new("research.completed", json!({"hits": 20}));
        event = event.correlated("c-1").with_id("e1");
        event.timestamp = "2026-11-22T09:30:00.000Z".into();
        let body = event.stamped(&who("alice")).expect("stamped");
        insta::assert_snapshot!(
            String::from_utf8_lossy(&body),
            @r#"{"id":"e1","type":"research.completed","source":"alice","timestamp":"2026-11-22T09:30:00.000Z","data":{"hits":20},"correlationId":"c-1"}"#
        );
        let read = Event::read(&body, "alice").expect("an event");
        assert_eq!(read.data::<Value>().expect("data"), json!({"hits": 20}));
        let forged = Event::read(&body, "mallory").expect("an event");
        assert_eq!(
            forged.source,
            Some(who("mallory")),
            "the subject is the truth"
        );
        let error = event.stamped(&who("bob")).expect_err("another's");
        assert_eq!(error.kind(), Kind::AccessDenied);
    }

    #[test]
    fn each_member_is_checked() {
        let good = || Event::new("task.created", json!({}));
        let refused = |change: fn(&mut Event), word: &str| {
            let mut event = good();
            change(&mut event);
            let error = event.stamped(&who("al")).expect_err(word);
            assert!(error.to_string().contains(word), "{error}");
        };
        good().stamped(&who("al")).expect("the good twin");
        refused(|event| event.kind = "task".into(), "`task`");
        refused(|event| event.kind = "task.*".into(), "`task.*`");
        refused(|event| event.id.clear(), "`id`");
        refused(|event| event.id = "a b".into(), "`id`");
        refused(|event| event.id = "a\r\n".into(), "`id`");
        refused(|event| event.id = "x".repeat(129), "`id`");
        refused(|event| event.timestamp = "yesterday".into(), "`timestamp`");
        refused(
            |event| event.correlation_id = Some("a;b".into()),
            "`correlationId`",
        );
        refused(
            |event| event.data = to_raw_value(&"x".repeat(BYTES_MAX)).expect("JSON"),
            "bytes",
        );
        let mut long = good().with_id("x".repeat(128)).correlated("x".repeat(64));
        long.data = to_raw_value(&"x".repeat(BYTES_MAX - 512)).expect("JSON");
        long.stamped(&who("al")).expect("the twin at every limit");
    }

    #[test]
    fn what_is_no_event_is_told() {
        for bad in ["", "[]", "{}", r#"{"id":"1","type":"task","timestamp":""}"#] {
            assert!(Event::read(bad.as_bytes(), "al").is_err(), "{bad}");
        }
        let more = r#"{"id":"1","type":"a.b","timestamp":"t","data":null,"other":1}"#;
        Event::read(more.as_bytes(), "al").expect("members that nobody knows are passed over");
    }
}
