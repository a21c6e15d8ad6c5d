//! One decision, and the message that many of them travel in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    error::Error,
    name::{Identity, Instance},
};

/// Characters of a text that somebody else chose.
const TEXT_MAX: usize = 512;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// He may, and it is begun.
    Allowed,
    /// He may not, and nothing was done.
    Refused,
    /// What was allowed before has been done.
    Done,
    /// What was allowed before came to an error.
    Failed,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When, milliseconds since 1970.
    pub at: u64,
    /// What was decided.
    pub decision: Decision,
    /// What was asked for: `call:tools/gh/get_me`, `tools/list`, `connect`.
    pub what: String,
    /// Who asked: the subject of his token, or what the subject of his message says where he had
    /// none; nothing where he said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Who acted for him, the one that called last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<String>,
    /// What ties it to calls, events and logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// By what: his token, or the id of a grant; of a refusal, its error's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The refusal's name: `ACCESS_DENIED`, `TOKEN_EXPIRED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// HMAC-SHA256 of the arguments under the writer's secret, 128 bits of it: equal arguments of
    /// one server's calls have equal ones, and nobody reads them from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// What a tool of the control plane was asked for, as far as that is no secret.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub about: Map<String, Value>,
    /// How many decisions it stands for, where that is more than one: of a refusal that comes again
    /// and again the first ten of a message are written one by one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub times: u64,
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_one(times: &u64) -> bool {
    *times == 1
}

impl Record {
    /// A decision of now.
    #[must_use]
    pub fn new(decision: Decision, what: impl Into<String>) -> Self {
        let now = chrono::Utc::now().timestamp_millis();
        Self {
            at: u64::try_from(now).unwrap_or_default(),
            decision,
            what: short(what.into()),
            who: None,
            actors: Vec::new(),
            correlation_id: None,
            why: None,
            case: None,
            arguments: None,
            about: Map::new(),
            times: 1,
        }
    }

    /// A refusal of now.
    #[must_use]
    pub fn refused(what: impl Into<String>, error: &Error) -> Self {
        Self {
            case: Some(error.case_name().to_owned()),
            why: Some(short(error.message().to_owned())),
            ..Self::new(Decision::Refused, what)
        }
    }

    /// Of this one.
    #[must_use]
    pub fn by(mut self, who: Option<&Identity>) -> Self {
        self.who = who.map(ToString::to_string);
        self
    }

    /// From this host.
    #[must_use]
    pub fn from(mut self, host: &str) -> Self {
        self.about.insert("host".into(), short(host.into()).into());
        self
    }

    /// Whether it says the same as another, but for when and as part of what.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let said = |record: &Self| (record.decision, record.about.is_empty());
        said(self) == said(other)
            && self.what == other.what
            && self.who == other.who
            && self.case == other.case
            && self.actors == other.actors
    }
}

/// A text that is not longer than a record may have it.
fn short(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A message of a writer: what it decided since the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// Who wrote it: the name of a server, `weft`, or a gateway's.
    pub server: String,
    /// Which of its instances.
    pub instance: String,
    /// The message's number among those of this writer, from 1.
    pub number: u64,
    /// SHA-256 of the body of the writer's message before this one, in hex; nothing in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Whether the writer ended with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// The decisions, in their order.
    pub records: Vec<Record>,
}

impl Page {
    /// The first of a writer.
    pub(super) fn first(server: &Identity, instance: &Instance) -> Self {
        Self {
            server: server.to_string(),
            instance: instance.to_string(),
            number: 1,
            previous: None,
            last: false,
            records: Vec::new(),
        }
    }
}

/// The hash by which a message names the one before it.
#[must_use]
pub fn hash(body: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_text_of_somebody_else_is_cut() {
        let error = Error::new(Kind::AccessDenied, "ä".repeat(TEXT_MAX + 1));
        let record = Record::refused("w".repeat(9999), &error);
        let why = record.why.expect("it says why");
        assert_eq!(why.chars().count(), TEXT_MAX + 1);
        assert!(why.ends_with("ä…") && record.what.len() < 600);
    }

    #[test]
    fn a_record_leaves_out_what_it_does_not_say() {
        let mut record = Record::new(Decision::Allowed, "tools/list");
        record.at = 7;
        let text = serde_json::to_string(&record).expect("JSON");
        assert_eq!(text, r#"{"at":7,"decision":"allowed","what":"tools/list"}"#);
        let read: Record = serde_json::from_str(&text).expect("a record");
        assert_eq!(read, record);
    }
}
