//! Several calls that came in one message: of one caller, to one tool.
//!
//! From here on each is a call like any other, with its own place, time, answer and end: a slow one
//! holds none of the others up.

use std::fmt;

use async_nats::Subject;
use bytes::Bytes;
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{super::Reach, Accepted};
use crate::{
    error::{Error, Kind, case},
    name::{CallId, header::Terms},
};

impl Accepted {
    /// The calls in it. What can't be read is refused as each of them.
    pub(in crate::bus::serve) fn split(mut self, reach: Reach) -> Vec<Self> {
        let batch = self
            .terms
            .as_mut()
            .ok()
            .and_then(|terms| terms.batch.take());
        let Some(calls) = batch else {
            return vec![self];
        };
        if reach == Reach::Imported {
            // The broker knows one place for an answer.
            self.terms = Err(wrong("calls that come through an import come one by one"));
            return vec![self];
        }
        let bodies = self.terms.as_ref().map_err(|_| String::new());
        let bodies = bodies.and_then(|terms| self.bodies(terms, calls.len()));
        let one = |(at, (id, left)): (usize, &(CallId, _))| Self {
            id: *id,
            caller: self.caller.clone(),
            reply: reply_of(&self.reply, *id),
            began: self.began,
            subject: self.subject.clone(),
            terms: match (&self.terms, &bodies) {
                (Ok(terms), Ok(_)) => Ok(Terms {
                    remaining: Some(*left),
                    ..terms.clone()
                }),
                (_, said) => Err(wrong(said.as_ref().err().map_or("", String::as_str))),
            },
            credential: self.credential.clone(),
            body: bodies
                .as_ref()
                .map_or_else(|_| Bytes::new(), |all| all[at].clone()),
            timed: self.timed,
        };
        calls.iter().enumerate().map(one).collect()
    }

    /// The bodies of so many calls, each in memory of its own: one that waits keeps no other.
    fn bodies(&self, terms: &Terms, count: usize) -> Result<Vec<Bytes>, String> {
        if terms.parts.is_some() || terms.key.is_some() {
            return Err("calls with a key, or in parts, come one by one".to_owned());
        }
        let mut reader = serde_json::Deserializer::from_slice(&self.body);
        let bodies = reader.deserialize_seq(Bodies(count));
        let bodies = bodies.and_then(|bodies| reader.end().map(|()| bodies));
        bodies.map_err(|error| format!("the body is no array of {count} requests: {error}"))
    }
}

/// Where the call of this id is answered: beside the one that the message names.
fn reply_of(reply: &Subject, call: CallId) -> Subject {
    let before = reply.rsplit_once('.').map_or("", |(before, _)| before);
    format!("{before}.{call}").into()
}

fn wrong(said: &str) -> Error {
    Error::new(Kind::InvalidRequest, said.to_owned()).case(case::HEADER_MISMATCH)
}

/// An array of just so many: what is beyond is not read.
struct Bodies(usize);

impl<'de> Visitor<'de> for Bodies {
    type Value = Vec<Bytes>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {}", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<Bytes>, A::Error> {
        let mut bodies = Vec::with_capacity(self.0);
        while bodies.len() < self.0
            && let Some(body) = array.next_element::<&'de RawValue>()?
        {
            bodies.push(Bytes::copy_from_slice(body.get().as_bytes()));
        }
        // Of one that is too long the next element is the mistake: `deserialize_seq` says so.
        if bodies.len() == self.0 {
            Ok(bodies)
        } else {
            Err(A::Error::invalid_length(bodies.len(), &self))
        }
    }
}
