//! Secrets: where a file says that they are to be had, and the values once they were fetched.

use std::{borrow::Cow, fmt, path::Path, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::config::{
    env::{Env, HOME, SECRET_MAX},
    source::{self, Source},
};

/// A value that is never printed: its `Debug` is `***`, it has no `Display`, and it is written
/// into no file.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value in.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one who needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The text of a file, without the newline that editors end it with.
    pub(crate) fn from_file(mut text: String) -> Self {
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret is to be had: `{ env: NAME }` or `{ file: PATH }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// The environment variable of this name.
    Env(String),
    /// The text of this file, relative to the configuration file, without one newline at its end.
    File(PathBuf),
}

impl SecretSource {
    /// Fetches it. The error continues the name of the key.
    pub(crate) fn fetch(&self, env: &Env, source: &Source) -> Result<Secret, String> {
        match self {
            Self::Env(name) => env
                .get(name)
                .map(Secret::new)
                .ok_or_else(|| format!("the variable `{}` is not set", name.escape_debug())),
            Self::File(path) => {
                let path = source.path(path, env.get(HOME));
                source::text(&path, SECRET_MAX)
                    .map(Secret::from_file)
                    .map_err(|why| format!("the file {} {why}", path.display()))
            }
        }
    }
}

/// A value that may be a secret: text, or where to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The text itself. `${VAR}` in it is expanded. `config show` prints `***`.
    Text(Secret),
    /// Where it is to be had.
    From(SecretSource),
}

impl Setting {
    pub(crate) fn fetch(&self, env: &Env, source: &Source) -> Result<Secret, String> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::From(place) => place.fetch(env, source),
        }
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(_) => serializer.serialize_str("***"),
            Self::From(place) => place.serialize(serializer),
        }
    }
}

impl JsonSchema for Setting {
    fn schema_name() -> Cow<'static, str> {
        "Setting".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let place = generator.subschema_for::<SecretSource>();
        json_schema!({
            "description": "Text, in which ${VAR} is expanded, or where a secret is to be had.",
            "anyOf": [{ "type": ["string", "number", "boolean"] }, place],
        })
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A hint, not a demand: a number comes as it is spelt, and a mapping comes as one.
        deserializer.deserialize_str(TextOrPlace)
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(TextOrPlace)? {
            Setting::From(place) => Ok(place),
            Setting::Text(_) => Err(de::Error::custom(
                "a secret is not written into this file: write {env: NAME} or {file: PATH}",
            )),
        }
    }
}

struct TextOrPlace;

impl<'de> de::Visitor<'de> for TextOrPlace {
    type Value = Setting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, {env: NAME} or {file: PATH}")
    }

    fn visit_str<E>(self, text: &str) -> Result<Setting, E> {
        Ok(Setting::Text(Secret::new(text)))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Setting, A::Error> {
        let one = "one of {env: NAME} and {file: PATH} was expected here";
        let (key, value) = map
            .next_entry::<String, String>()?
            .ok_or_else(|| de::Error::custom(one))?;
        if map.next_key::<de::IgnoredAny>()?.is_some() {
            return Err(de::Error::custom(one));
        }
        match key.as_str() {
            "env" => Ok(Setting::From(SecretSource::Env(value))),
            "file" => Ok(Setting::From(SecretSource::File(Path::new(&value).into()))),
            other => Err(de::Error::unknown_field(other, &["env", "file"])),
        }
    }
}

/// A URL that may carry `user:password@`: shown without it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// As it was written, with what must not be shown.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// One URL as it may be shown.
    fn shown(url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let Some(at) = authority.rfind('@') else {
            return url.to_owned();
        };
        let separator = if scheme.is_empty() { "" } else { "://" };
        format!("{scheme}{separator}***{}", &rest[at..])
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, url) in self.0.split(',').enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(&Self::shown(url))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_a_secret() {
        let text = Setting::Text(Secret::new("s3cret"));
        let url = Address("nats://u:s3cret@a:4222,s3cret@b,tls://c/p@q".to_owned());
        assert_eq!(format!("{text:?}"), "Text(***)");
        assert_eq!(serde_json::to_string(&text).unwrap(), "\"***\"");
        assert_eq!(url.to_string(), "nats://***@a:4222,***@b,tls://c/p@q");
        assert_eq!(format!("{url:?}"), url.to_string());
    }

    #[test]
    fn one_newline_is_trimmed_from_a_file() {
        for (text, secret) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            (" a ", " a "),
        ] {
            assert_eq!(Secret::from_file(text.to_owned()).reveal(), secret);
        }
    }
}
