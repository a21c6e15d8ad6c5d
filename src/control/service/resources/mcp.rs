//! The same resources as MCP has them: `resources/list`, `resources/read` and the template of
//! ranges, for clients that know nothing of Weft.
//!
//! A message is at most 1 MiB here, so one read gives at most 512 KiB. What is larger is read in
//! ranges: `{uri}#bytes={first}-{last}`, both inclusive as in HTTP; no name has a `#` in it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Desk;
use crate::{
    call::{Call, Principal},
    control::tokens::invalid,
    error::{Error, Kind, case},
    resource::{Content, List, PART_BYTES, Resource},
};

impl Desk {
    /// Answers a request about resources.
    pub(in crate::control::service) async fn resources(&self, call: &Call) -> Result<Value, Error> {
        let principal = call.context.principal.as_deref();
        let by = principal.filter(|by| !by.tokens.is_empty());
        let by = by.ok_or(crate::access::TokenError::Missing)?;
        let params = call.request.params();
        match call.request.method().as_str() {
            "resources/list" => self.mcp_list(by, params).await,
            "resources/templates/list" => Ok(templates()),
            "resources/read" => {
                let what = format!(
                    "read:resources/weft/{}",
                    call.request.name().unwrap_or_default()
                );
                let read = self.mcp_read(by, params);
                self.on_record(call, &what, true, read).await
            }
            other => Err(Error::new(
                Kind::MethodNotFound,
                format!(
                    "{other}: changes of shared resources are told as events \
                     `system.resource.updated`"
                ),
            )),
        }
    }

    async fn mcp_list(&self, by: &Principal, params: Option<&str>) -> Result<Value, Error> {
        #[derive(Default, Deserialize)]
        struct Params {
            cursor: Option<String>,
        }
        let params: Option<Params> = read(params)?;
        let asked = List {
            after: params.unwrap_or_default().cursor,
            prefix: None,
        };
        let page = self.resource_page(by, &asked).await?;
        let resources: Vec<Value> = page.resources.iter().map(shown).collect();
        let mut result = json!({
            "resultType": "complete", "resources": resources,
            "ttlMs": 0, "cacheScope": "private",
        });
        if let Some(next) = page.next {
            result["nextCursor"] = next.into();
        }
        Ok(result)
    }

    async fn mcp_read(&self, by: &Principal, params: Option<&str>) -> Result<Value, Error> {
        #[derive(Deserialize)]
        struct Params {
            uri: String,
        }
        let params: Option<Params> = read(params)?;
        let uri = params
            .ok_or_else(|| invalid("params: `uri` is missing"))?
            .uri;
        let (id, range) = match uri.split_once('#') {
            Some((id, range)) => (id, Some(range_of(range)?)),
            None => (uri.as_str(), None),
        };
        let most = PART_BYTES as u64;
        let asked = range.unwrap_or((0, most));
        let (resource, bytes) = self.read(by, id, asked, None).await?;
        if range.is_none() && resource.size > most {
            return Err(too_large(&resource));
        }
        let mut content = match Content::of(&bytes) {
            Content::Text(text) => json!({"uri": uri, "text": text}),
            Content::Blob(blob) => json!({"uri": uri, "blob": blob}),
        };
        if let Some(kind) = mime(&resource) {
            content["mimeType"] = kind.into();
        }
        Ok(json!({
            "resultType": "complete", "contents": [content], "ttlMs": 0, "cacheScope": "private",
        }))
    }
}

fn read<'a, T: Deserialize<'a>>(params: Option<&'a str>) -> Result<Option<T>, Error> {
    let read = params.map(serde_json::from_str).transpose();
    read.map_err(|error| invalid(format!("params: {error}")))
}

fn mime(resource: &Resource) -> Option<&str> {
    resource.kind.contains('/').then_some(&*resource.kind)
}

fn shown(resource: &Resource) -> Value {
    let mut shown = json!({
        "uri": resource.id, "name": resource.id, "size": resource.size,
        "annotations": {"lastModified": resource.updated_at},
    });
    if let Some(kind) = mime(resource) {
        shown["mimeType"] = kind.into();
    }
    for member in ["title", "description"] {
        if let Some(Value::String(text)) = resource.metadata.get(member) {
            shown[member] = text.as_str().into();
        }
    }
    shown
}

fn templates() -> Value {
    json!({
        "resultType": "complete",
        "resourceTemplates": [{
            "uriTemplate": "{+uri}#bytes={first}-{last}",
            "name": "range",
            "title": "A part of a resource",
            "description": "Bytes `first` to `last` of the resource `uri`, both included, counted from 0; 524288 of them at most.",
        }],
        "ttlMs": 60_000, "cacheScope": "public",
    })
}

/// `bytes=0-99`, as an offset and an end.
fn range_of(text: &str) -> Result<(u64, u64), Error> {
    let bad = || invalid("a part of a resource is `#bytes=0-524287`: 524288 bytes at most");
    let range = text.strip_prefix("bytes=").ok_or_else(bad)?;
    let (first, last) = range.split_once('-').ok_or_else(bad)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_sub(first).ok_or_else(bad)?;
    if length >= PART_BYTES as u64 {
        return Err(bad());
    }
    Ok((first, last.saturating_add(1)))
}

fn too_large(resource: &Resource) -> Error {
    Error::new(
        Kind::InvalidRequest,
        format!(
            "`{0}` has {1} bytes, and one answer at most {PART_BYTES}: read it in parts, \
             `{0}#bytes=0-524287` and so on",
            resource.id, resource.size
        ),
    )
    .case(case::REQUEST_TOO_LARGE)
    .with("limitBytes", PART_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_that_of_http() {
        assert_eq!(range_of("bytes=0-0").expect("one byte"), (0, 1));
        assert_eq!(range_of("bytes=5-524292").expect("the most"), (5, 524_293));
        for bad in [
            "",
            "bytes=",
            "bytes=1",
            "bytes=-1",
            "bytes=2-1",
            "bytes=0-524288",
            "chars=0-1",
            "bytes=a-b",
        ] {
            assert!(range_of(bad).is_err(), "{bad}");
        }
    }
}
