//! The JSON-RPC envelope: read in one pass, carried as the bytes that came.
//!
//! A [`Request`] or a [`Response`] is a body and the places in it that somebody may have to know:
//! the id, the method, the name, `_meta`. To change one of them, the body is spliced
//! ([`splice`]); the rest is not touched.

use std::{borrow::Cow, ops::Range, sync::Arc};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    Method,
    head::{RequestHead, ResponseHead},
    members::{self, Members, quoted},
    method::MethodError,
};

/// Why a body is no envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON at all.
    #[error("the body is not JSON: {0}")]
    Json(serde_json::Error),
    /// No text, so not JSON either.
    #[error("the body is not JSON: it is not UTF-8")]
    NotUtf8,
    /// JSON, but not what JSON-RPC 2.0 asks for.
    #[error("the body is no JSON-RPC 2.0 {what}: {why}")]
    Shape {
        /// `request` or `response`.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A request that does not say what it is about, although its method wants it to.
    #[error("the body is no JSON-RPC 2.0 request: `params.{field}` is missing or empty")]
    Nameless {
        /// Its method.
        method: Method,
        /// The member of `params`.
        field: &'static str,
        /// Its id as it was spelt; `None` for a notification.
        id: Option<String>,
    },
    /// A method that can't stand in a subject.
    #[error(transparent)]
    Method(#[from] MethodError),
}

impl EnvelopeError {
    fn from_json(what: &'static str, error: serde_json::Error) -> Self {
        if error.is_data() {
            Self::Shape {
                what,
                why: error.to_string(),
            }
        } else {
            Self::Json(error)
        }
    }

    fn shape(what: &'static str, why: &str) -> Self {
        Self::Shape {
            what,
            why: why.to_owned(),
        }
    }
}

/// A request, or a notification where it has no id.
#[derive(Clone, Debug)]
pub struct Request {
    body: Bytes,
    method: Method,
    name: Option<Name>,
    id: Option<Range<usize>>,
    meta: Option<Range<usize>>,
}

/// The name in a request: where it stands, or what it says where it is spelt with escapes.
#[derive(Clone, Debug)]
enum Name {
    At(Range<usize>),
    Unescaped(Arc<str>),
}

impl Request {
    /// Reads a body.
    ///
    /// # Errors
    /// [`EnvelopeError`]: not JSON, not a request (an array, a missing or doubled member, an id
    /// that is neither a string nor an integer), or a method that can't stand in a subject.
    pub fn parse(body: Bytes) -> Result<Self, EnvelopeError> {
        let at = |part: &str| span(&body, part);
        let (method, name, id, meta) = {
            let text = utf8(&body)?;
            let head: RequestHead<'_> = serde_json::from_str(text)
                .map_err(|error| EnvelopeError::from_json("request", error))?;
            let method = Method::new(&head.method)?;
            let name = match (method.name_field(), head.params.as_ref()) {
                (Some("name"), Some(params)) => params.name.clone(),
                (Some("uri"), Some(params)) => params.uri.clone(),
                (Some(_), Some(params)) => params.task_id.clone(),
                _ => None,
            };
            if let Some(field) = method.name_field()
                && name.as_deref().is_none_or(str::is_empty)
            {
                return Err(EnvelopeError::Nameless {
                    method,
                    field,
                    id: head.id.map(|raw| raw.get().to_owned()),
                });
            }
            let meta = head
                .params
                .as_ref()
                .and_then(|params| params.meta)
                .map(|raw| at(raw.get()));
            (
                method,
                name.map(|name| match name {
                    Cow::Borrowed(plain) => Name::At(at(plain)),
                    Cow::Owned(text) => Name::Unescaped(text.into()),
                }),
                head.id.map(|raw| at(raw.get())),
                meta,
            )
        };
        Ok(Self {
            body,
            method,
            name,
            id,
            meta,
        })
    }

    /// The bytes as they came.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The tool, prompt, URI or task that the request is about, where its method has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_ref().map(|name| match name {
            Name::At(at) => slice(&self.body, at.clone()),
            Name::Unescaped(text) => text,
        })
    }

    /// The id as it was spelt; `None` for a notification.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.clone().map(|at| slice(&self.body, at))
    }

    /// `params` as it was spelt.
    #[must_use]
    pub fn params(&self) -> Option<&str> {
        self.params_span().map(|at| slice(&self.body, at))
    }

    /// `params._meta` as it was spelt.
    #[must_use]
    pub fn meta(&self) -> Option<&str> {
        self.meta.clone().map(|at| slice(&self.body, at))
    }

    /// Where `params._meta` stands in the body.
    #[must_use]
    pub fn meta_span(&self) -> Option<Range<usize>> {
        self.meta.clone()
    }

    /// Where `params` stands in the body. Looked for when asked: the hot path needs it not.
    #[must_use]
    pub fn params_span(&self) -> Option<Range<usize>> {
        #[derive(serde::Deserialize)]
        struct Whole<'a> {
            #[serde(borrow)]
            params: Option<&'a RawValue>,
        }
        let whole: Whole<'_> = serde_json::from_slice(&self.body).ok()?;
        whole.params.map(|raw| span(&self.body, raw.get()))
    }

    /// Where the id stands in the body.
    #[must_use]
    pub fn id_span(&self) -> Option<Range<usize>> {
        self.id.clone()
    }

    /// The same request about another name.
    ///
    /// # Errors
    /// [`EnvelopeError`] where it has no name, or cannot have this one.
    pub fn renamed(&self, name: &str) -> Result<Self, EnvelopeError> {
        let none = || EnvelopeError::shape("request", "it is about nothing that has a name");
        let at = self.name_span().ok_or_else(none)?;
        Self::parse(splice(&self.body, &[(at, &quoted(name))]).into())
    }

    /// Where the name stands in the body, with its quotes.
    pub(super) fn name_span(&self) -> Option<Range<usize>> {
        if let Some(Name::At(at)) = &self.name {
            return Some(at.start - 1..at.end + 1);
        }
        let at = self.params_span()?;
        let params = slice(&self.body, at.clone());
        let spelt = Members::read(params)?.get(self.method.name_field()?)?;
        let inside = members::span(params, spelt);
        Some(at.start + inside.start..at.start + inside.end)
    }
}

/// A response: a result or an error.
#[derive(Clone, Debug)]
pub struct Response {
    body: Bytes,
    id: Option<Range<usize>>,
    part: Part,
}

#[derive(Clone, Debug)]
enum Part {
    Result(Range<usize>),
    Error(Range<usize>),
}

impl Response {
    /// Reads a body.
    ///
    /// # Errors
    /// [`EnvelopeError`]: not JSON, or neither a result nor an error, or both.
    pub fn parse(body: Bytes) -> Result<Self, EnvelopeError> {
        let (id, part) = {
            let text = utf8(&body)?;
            let head: ResponseHead<'_> = serde_json::from_str(text)
                .map_err(|error| EnvelopeError::from_json("response", error))?;
            let at = |raw: &RawValue| span(&body, raw.get());
            let part = match (head.result, head.error) {
                (Some(result), None) => Part::Result(at(result)),
                (None, Some(error)) => Part::Error(at(error)),
                (Some(_), Some(_)) => {
                    return Err(EnvelopeError::shape("response", "both result and error"));
                }
                (None, None) => {
                    return Err(EnvelopeError::shape("response", "neither result nor error"));
                }
            };
            (head.id.map(at), part)
        };
        Ok(Self { body, id, part })
    }

    /// The bytes as they came.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Gives the bytes away.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// The id as it was spelt.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.clone().map(|at| slice(&self.body, at))
    }

    /// The result as it was spelt; `None` for an error.
    #[must_use]
    pub fn result(&self) -> Option<&str> {
        match &self.part {
            Part::Result(at) => Some(slice(&self.body, at.clone())),
            Part::Error(_) => None,
        }
    }

    /// The error as it was spelt; `None` for a result.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match &self.part {
            Part::Error(at) => Some(slice(&self.body, at.clone())),
            Part::Result(_) => None,
        }
    }

    /// Where the result stands in the body; `None` for an error.
    #[must_use]
    pub fn result_span(&self) -> Option<Range<usize>> {
        match &self.part {
            Part::Result(at) => Some(at.clone()),
            Part::Error(_) => None,
        }
    }

    /// Where the id stands in the body.
    #[must_use]
    pub fn id_span(&self) -> Option<Range<usize>> {
        self.id.clone()
    }
}

/// The body with some places replaced. The edits stand in ascending order and do not overlap.
#[must_use]
pub fn splice(body: &[u8], edits: &[(Range<usize>, &str)]) -> Vec<u8> {
    let more: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + more + 1);
    let mut from = 0;
    for (at, text) in edits {
        out.extend_from_slice(&body[from..at.start]);
        out.extend_from_slice(text.as_bytes());
        from = at.end;
    }
    out.extend_from_slice(&body[from..]);
    out
}

fn utf8(body: &[u8]) -> Result<&str, EnvelopeError> {
    std::str::from_utf8(body).map_err(|_| EnvelopeError::NotUtf8)
}

/// Where `part`, a slice of `body`, stands in it.
fn span(body: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - body.as_ptr() as usize;
    start..start + part.len()
}

fn slice(body: &[u8], at: Range<usize>) -> &str {
    std::str::from_utf8(&body[at]).expect("the whole body was checked to be UTF-8")
}

#[cfg(test)]
mod tests;
