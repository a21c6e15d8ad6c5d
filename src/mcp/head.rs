//! The members of an envelope that somebody has to know, read in one pass.
//!
//! Map visitors and no derived structs: a derived one would take an array for an object, and say
//! nothing of a doubled member that it does not know.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A member that must not come twice.
fn once<T, E: serde::de::Error>(slot: &mut Option<T>, value: T, name: &str) -> Result<(), E> {
    if slot.replace(value).is_some() {
        return Err(E::custom(format_args!("`{name}` stands twice")));
    }
    Ok(())
}

/// What is read of a request.
pub(super) struct RequestHead<'a> {
    pub(super) method: Cow<'a, str>,
    pub(super) id: Option<&'a RawValue>,
    pub(super) params: Option<Params<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for RequestHead<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RequestVisitor(std::marker::PhantomData))
    }
}

struct RequestVisitor<'a>(std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for RequestVisitor<'a> {
    type Value = RequestHead<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `jsonrpc`, `method` and `params`")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RequestHead<'a>, M::Error> {
        let (mut version, mut method, mut id) = (None, None, None);
        let mut params = None;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key.0 {
                "jsonrpc" => once(&mut version, map.next_value::<Text<'de>>()?.0, "jsonrpc")?,
                "method" => once(&mut method, map.next_value::<Text<'de>>()?.0, "method")?,
                "id" => once(&mut id, map.next_value::<&'de RawValue>()?, "id")?,
                "params" => once(&mut params, map.next_value::<Params<'de>>()?, "params")?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        check_version(version.as_deref())?;
        check_id(id)?;
        Ok(RequestHead {
            method: method.ok_or_else(|| M::Error::custom("`method` is missing"))?,
            id,
            params,
        })
    }
}

/// The members of `params` that say where a request goes.
#[derive(Default)]
pub(super) struct Params<'a> {
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) uri: Option<Cow<'a, str>>,
    pub(super) task_id: Option<Cow<'a, str>>,
    pub(super) meta: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Params<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParamsVisitor(std::marker::PhantomData))
    }
}

struct ParamsVisitor<'a>(std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for ParamsVisitor<'a> {
    type Value = Params<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`params` as an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Params<'a>, M::Error> {
        let mut params = Params::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key.0 {
                "name" => once(&mut params.name, map.next_value::<Text<'de>>()?.0, "name")?,
                "uri" => once(&mut params.uri, map.next_value::<Text<'de>>()?.0, "uri")?,
                "taskId" => once(
                    &mut params.task_id,
                    map.next_value::<Text<'de>>()?.0,
                    "taskId",
                )?,
                "_meta" => once(
                    &mut params.meta,
                    map.next_value::<&'de RawValue>()?,
                    "_meta",
                )?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(params)
    }
}

/// What is read of a response.
#[derive(Default)]
pub(super) struct ResponseHead<'a> {
    pub(super) id: Option<&'a RawValue>,
    pub(super) result: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for ResponseHead<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ResponseVisitor(std::marker::PhantomData))
    }
}

struct ResponseVisitor<'a>(std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for ResponseVisitor<'a> {
    type Value = ResponseHead<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `jsonrpc`, `id` and `result` or `error`")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ResponseHead<'a>, M::Error> {
        let mut head = ResponseHead::default();
        let mut version = None;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key.0 {
                "jsonrpc" => once(&mut version, map.next_value::<Text<'de>>()?.0, "jsonrpc")?,
                "id" => once(&mut head.id, map.next_value::<&'de RawValue>()?, "id")?,
                "result" => once(
                    &mut head.result,
                    map.next_value::<&'de RawValue>()?,
                    "result",
                )?,
                "error" => once(&mut head.error, map.next_value::<&'de RawValue>()?, "error")?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        check_version(version.as_deref())?;
        Ok(head)
    }
}

fn check_version<E: serde::de::Error>(version: Option<&str>) -> Result<(), E> {
    match version {
        Some("2.0") => Ok(()),
        Some(other) => Err(E::custom(format_args!(
            "`jsonrpc` is {other:?}, not \"2.0\""
        ))),
        None => Err(E::custom("`jsonrpc` is missing")),
    }
}

/// An id is a string or an integer (2026-07-28, Base protocol); null is none.
fn check_id<E: serde::de::Error>(id: Option<&RawValue>) -> Result<(), E> {
    let Some(id) = id.map(RawValue::get) else {
        return Ok(());
    };
    let digits = id.strip_prefix('-').unwrap_or(id);
    if id.starts_with('"') || digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err(E::custom("`id` is neither a string nor an integer"))
    }
}

/// A string, borrowed where it has no escape.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}
