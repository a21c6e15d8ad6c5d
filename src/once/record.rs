//! What is written down of a call with a key.

use bytes::Bytes;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::{
    mcp::{Fault, canonical},
    name::{Identity, ServerName, store},
};

/// An answer of more bytes than this is not kept: that the call ended is.
pub(super) const ANSWER_MAX: usize = 512 * 1024;

/// Which call it is: a caller, a server, a tool, and what he calls it.
#[derive(Clone, Debug)]
pub struct Key {
    pub(super) subject: String,
    /// Of its arguments: another call can't have the same key.
    pub(super) digest: String,
}

impl Key {
    /// `arguments` is what stands under that name in `params`, if anything does.
    #[must_use]
    pub fn new(
        (caller, server): (&Identity, &ServerName),
        tool: &str,
        key: &str,
        arguments: Option<&str>,
    ) -> Self {
        let mut who = Sha256::new();
        for part in [caller.as_str(), server.as_str(), tool, key] {
            // The length first, so that no two run together into one.
            who.update(part.len().to_be_bytes());
            who.update(part);
        }
        let who = BASE32_NOPAD.encode(&who.finalize()[..16]).to_lowercase();
        let said = canonical::value(arguments.unwrap_or("{}"));
        Self {
            subject: format!("$KV.{}.{server}.{who}", store::ONCE),
            digest: HEXLOWER.encode(&Sha256::digest(said.as_bytes())[..16]),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// An answer: a JSON-RPC response, and whether it is an error.
    Answer {
        /// The response.
        body: Bytes,
        /// Whether it says an error.
        failed: bool,
    },
    /// An answer of so many bytes, which was not kept.
    Large(usize),
    /// An error of the mesh.
    Error(Fault),
}

/// The record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// Whose claim it is: made anew for each run.
    pub(super) run: String,
    pub(super) digest: String,
    /// When the run must have ended, milliseconds since 1970.
    pub(super) until: u64,
    pub(super) state: State,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// It runs.
    Runs,
    /// It never began: another one may.
    Free,
    Answer {
        body: Box<RawValue>,
        failed: bool,
    },
    Large {
        bytes: usize,
    },
    Error {
        fault: Fault,
    },
}

impl State {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Large(bytes) => Self::Large { bytes: *bytes },
            Outcome::Error(fault) => Self::Error {
                fault: fault.clone(),
            },
            Outcome::Answer { body, failed } => {
                let bytes = body.len();
                let kept = (bytes <= ANSWER_MAX).then(|| serde_json::from_slice(body).ok());
                match kept.flatten() {
                    Some(body) => Self::Answer {
                        body,
                        failed: *failed,
                    },
                    None => Self::Large { bytes },
                }
            }
        }
    }

    pub(super) fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Runs | Self::Free => None,
            Self::Large { bytes } => Some(Outcome::Large(bytes)),
            Self::Error { fault } => Some(Outcome::Error(fault)),
            Self::Answer { body, failed } => Some(Outcome::Answer {
                body: Bytes::from(String::from(Box::<str>::from(body))),
                failed,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(caller: &str, tool: &str, key: &str, arguments: Option<&str>) -> Key {
        let caller = Identity::new(caller).expect("a name");
        let server = ServerName::new("gh").expect("a name");
        Key::new((&caller, &server), tool, key, arguments)
    }

    #[test]
    fn a_key_is_one_callers_and_one_tools() {
        let one = key("alice", "pay", "k", None);
        assert!(
            one.subject.starts_with("$KV.WEFT_ONCE.gh."),
            "{}",
            one.subject
        );
        assert_eq!(one.subject, key("alice", "pay", "k", None).subject);
        for other in [
            key("bob", "pay", "k", None),
            key("alice", "payk", "", None),
            key("alice", "pay", "l", None),
            key("alicep", "ay", "k", None),
        ] {
            assert_ne!(one.subject, other.subject);
        }
    }

    #[test]
    fn arguments_that_say_the_same_are_the_same() {
        let digest = |arguments| key("alice", "pay", "k", arguments).digest;
        assert_eq!(digest(None), digest(Some("{ }")));
        assert_eq!(
            digest(Some(r#"{"a":1,"b":2}"#)),
            digest(Some(r#"{ "b":2, "a":1 }"#))
        );
        assert_ne!(digest(Some(r#"{"a":1}"#)), digest(Some(r#"{"a":2}"#)));
    }

    #[test]
    fn an_outcome_comes_back_to_the_byte() {
        let body =
            Bytes::from_static(br#"{"jsonrpc":"2.0","id":7,"result":{"n":1e400,"a":[ 1 ]}}"#);
        let outcome = Outcome::Answer {
            body: body.clone(),
            failed: false,
        };
        let written = serde_json::to_vec(&State::of(&outcome)).expect("JSON");
        let read: State = serde_json::from_slice(&written).expect("a state");
        match read.outcome() {
            Some(Outcome::Answer { body: back, failed }) => {
                assert_eq!((back, failed), (body, false))
            }
            other => panic!("{other:?}"),
        }
        let large = Outcome::Answer {
            body: Bytes::from(vec![b'1'; ANSWER_MAX + 1]),
            failed: false,
        };
        assert!(matches!(State::of(&large), State::Large { bytes } if bytes > ANSWER_MAX));
    }
}
