//! Pages of the list of all servers' tools.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::{catalogue::Catalogue, door};
use crate::{
    call::Principal,
    error::{Error, Kind},
    mcp::version,
};

/// How long a page may be taken for right by a client that does not listen for changes.
pub(super) const TTL_MS: u64 = 2000;
/// A page ends with the tool that makes it larger than this, in bytes.
const BYTES: usize = 1024 * 1024;
/// A page has no more tools than this.
const TOOLS: usize = 1000;
/// `_meta` of a list: the servers whose tools are missing in it, and why.
pub(super) const META_UNAVAILABLE: &str = "weftbus/unavailable";

/// Where a page begins: behind the tool of this server and name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    server: String,
    tool: String,
}

/// The cursor of a request, where it has one.
///
/// # Errors
/// `INVALID_PARAMS` where it is none of ours.
pub(super) fn cursor(params: Option<&str>) -> Result<Option<Cursor>, Error> {
    #[derive(Deserialize)]
    struct Params {
        cursor: Option<String>,
    }
    let Some(params) = params else {
        return Ok(None);
    };
    let params: Params = serde_json::from_str(params)
        .map_err(|error| Error::new(Kind::InvalidParams, format!("params: {error}")))?;
    params.cursor.map(|text| Cursor::read(&text)).transpose()
}

impl Cursor {
    fn read(text: &str) -> Result<Self, Error> {
        let read = || {
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (server, tool) = text.split_once('/')?;
            Some(Self {
                server: server.to_owned(),
                tool: tool.to_owned(),
            })
        };
        read().ok_or_else(unknown)
    }

    fn write(server: &str, tool: &str) -> String {
        BASE64URL_NOPAD.encode(format!("{server}/{tool}").as_bytes())
    }
}

fn unknown() -> Error {
    Error::new(
        Kind::InvalidParams,
        "this cursor leads nowhere (any more): list from the beginning",
    )
}

/// The result of `tools/list` from a cursor on.
///
/// # Errors
/// `INVALID_PARAMS` where the tool that the cursor names is gone.
pub(super) fn tools(
    catalogue: &Catalogue,
    may: &Principal,
    from: Option<&Cursor>,
) -> Result<String, Error> {
    let mut all = catalogue.tools(None, may).peekable();
    if let Some(from) = from {
        all.by_ref()
            .find(|(server, tool)| server.as_str() == from.server && tool.name == from.tool)
            .ok_or_else(unknown)?;
    }
    let mut page = String::from(r#"{"resultType":"complete","tools":["#);
    let mut next = None;
    for count in 1.. {
        let Some((server, tool)) = all.next() else {
            break;
        };
        if count > 1 {
            page.push(',');
        }
        page.push_str(&tool.json);
        if (count >= TOOLS || page.len() >= BYTES) && all.peek().is_some() {
            next = Some(Cursor::write(server.as_str(), &tool.name));
            break;
        }
    }
    page.push(']');
    if let Some(next) = next {
        // Base64 needs no escapes.
        page.push_str(&format!(r#","nextCursor":"{next}""#));
    }
    let missing: Vec<_> = catalogue.missing(may).collect();
    let mut meta = serde_json::json!({version::META_SERVER_INFO: door::about_us()});
    if !missing.is_empty() {
        meta[META_UNAVAILABLE] = serde_json::to_value(&missing).unwrap_or_default();
    }
    page.push_str(&format!(
        r#","ttlMs":{TTL_MS},"cacheScope":"private","_meta":{meta}}}"#
    ));
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use serde_json::{Value, value::RawValue};

    use super::*;
    use crate::{
        call::Permissions,
        gateway::catalogue::{Listed, Tool},
        name::{Identity, ServerName},
        registry::State,
    };

    fn catalogue(count: usize) -> Catalogue {
        let server = ServerName::new("gh").expect("a name");
        let tools: Arc<[Tool]> = (0..count)
            .map(|n| {
                let entry = RawValue::from_string(format!(r#"{{"name":"t{n}"}}"#)).expect("JSON");
                Tool::read(&server, &entry).expect("a tool")
            })
            .collect();
        let up = Listed {
            state: State::Healthy,
            problem: None,
            tools,
            said: 0,
        };
        let down = Listed {
            state: State::Unhealthy,
            problem: Some("it ended".into()),
            tools: Arc::default(),
            said: 0,
        };
        let dead = ServerName::new("dead").expect("a name");
        Catalogue::new(BTreeMap::from([(server, up), (dead, down)]))
    }

    fn anybody() -> Principal {
        let alice = Identity::new("alice").expect("a name");
        Principal::new(alice, Permissions::parse(&["*"]).expect("permissions"))
    }

    #[test]
    fn pages_make_up_the_whole_and_say_what_is_missing() {
        let all = catalogue(2 * TOOLS + 1);
        let may = anybody();
        let (mut from, mut names) = (None, Vec::new());
        for left in [true, true, false] {
            let page = tools(&all, &may, from.as_ref()).expect("a page");
            let page: Value = serde_json::from_str(&page).expect("JSON");
            assert_eq!(page["_meta"][META_UNAVAILABLE][0]["server"], "dead");
            let listed = page["tools"].as_array().expect("tools").iter();
            names.extend(listed.map(|tool| tool["name"].as_str().expect("a name").to_owned()));
            assert_eq!(page.get("nextCursor").is_some(), left);
            let params = serde_json::json!({"cursor": page.get("nextCursor")}).to_string();
            from = cursor(Some(&params)).expect("a cursor");
        }
        assert_eq!(names.len(), 2 * TOOLS + 1);
        assert_eq!(names[TOOLS], format!("gh__t{TOOLS}"));
    }

    #[test]
    fn a_cursor_that_leads_nowhere_is_refused() {
        let may = anybody();
        for text in ["", "***", "Z2g", &Cursor::write("gh", "gone")] {
            let params = serde_json::json!({"cursor": text}).to_string();
            let page =
                cursor(Some(&params)).and_then(|from| tools(&catalogue(3), &may, from.as_ref()));
            assert_eq!(page.expect_err(text).kind(), Kind::InvalidParams);
        }
        assert_eq!(cursor(Some(r#"{"cursor":null}"#)).expect("none"), None);
    }
}
