//! A client of 2026-07-28: each request stands alone, and says itself what it needs.

use serde_json::json;

use super::{
    door::Door,
    fault::{self, Answer},
};
use crate::{
    call::Notify,
    error::{Error, Kind},
    mcp::{
        Fault, Method, Request, Response,
        members::Members,
        version::{Era, MESH, META_CLIENT_CAPABILITIES, META_VERSION},
    },
};

/// A revision that is not spoken here (2026-07-28, basic, Error Codes).
const UNSUPPORTED_VERSION: i64 = -32022;

/// What 2026-07-28 removed. Servers of older revisions may still know it; clients of this one
/// don't ask.
const REMOVED: [&str; 7] = [
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "tasks/list",
    "tasks/result",
];

/// Whether 2026-07-28 removed a method.
pub(super) fn is_removed(method: &Method) -> bool {
    REMOVED.contains(&method.as_str())
}

/// What a request says of itself in `_meta`: read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The revision.
    pub version: Option<String>,
    /// Whether it says what its client can do.
    capabilities: bool,
}

impl Stated {
    /// Reads it.
    #[must_use]
    pub fn read(request: &Request) -> Self {
        let meta = request.meta().and_then(Members::read).unwrap_or_default();
        let capabilities = meta.get(META_CLIENT_CAPABILITIES);
        Self {
            version: meta.text(META_VERSION),
            capabilities: capabilities.and_then(Members::read).is_some(),
        }
    }

    /// Whether it is of 2026-07-28 or later.
    #[must_use]
    pub const fn is_modern(&self) -> bool {
        self.version.is_some()
    }

    /// Checks what every request must say.
    ///
    /// # Errors
    /// The answer to one that does not.
    pub fn check(&self, request: &Request) -> Result<(), Answer> {
        let missing = |name: &str| {
            let said = format!("`params._meta` must have `{name}`");
            Answer::refused(-32602, &said, None, request.id())
        };
        let version = self.version.as_deref();
        let version = version.ok_or_else(|| missing(META_VERSION))?;
        if version != MESH {
            let said = format!(
                "`{version}` is not spoken here: ask with {MESH}, or open a session with `initialize`"
            );
            let data = json!({"supported": [MESH], "requested": version});
            let id = request.id();
            return Err(Answer::refused(UNSUPPORTED_VERSION, &said, Some(data), id));
        }
        if !self.capabilities {
            return Err(missing(META_CLIENT_CAPABILITIES));
        }
        Ok(())
    }
}

/// Answers a request that was checked.
pub async fn answer(door: &Door, request: Request, notify: Option<Notify>) -> Answer {
    let (id, method) = (request.id().map(str::to_owned), request.method().clone());
    let refuse = |error: &Error| Answer::of(error, id.as_deref(), Some(&method), Era::Modern);
    if is_removed(&method) {
        return refuse(&Error::new(
            Kind::MethodNotFound,
            format!("`{method}` was removed by {MESH}"),
        ));
    }
    match door.answer(request, notify).await {
        Err(error) => refuse(&error),
        Ok(reply) => {
            let status = if reply.failed {
                own_code(&reply.body)
                    .map_or(fault::OK, |code| fault::carried_status(code, Era::Modern))
            } else {
                fault::OK
            };
            Answer {
                status,
                ..Answer::carried(reply.body)
            }
        }
    }
}

/// The number of an error that a server made itself.
fn own_code(body: &bytes::Bytes) -> Option<i64> {
    let response = Response::parse(body.clone()).ok()?;
    let fault: Fault = serde_json::from_str(response.error()?).ok()?;
    Some(fault.code)
}

/// What a `subscriptions/listen` asks for.
#[derive(Debug)]
pub struct Listen {
    id: String,
    /// Whether changes of the tools are wanted.
    pub tools: bool,
}

impl Listen {
    /// Reads the request.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where it does not say what is wanted.
    pub fn read(request: &Request) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        struct Params {
            notifications: Wanted,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wanted {
            #[serde(default)]
            tools_list_changed: bool,
        }
        let params = request.params().unwrap_or("{}");
        let params: Params = serde_json::from_str(params).map_err(|error| {
            Error::new(
                Kind::InvalidParams,
                format!("`subscriptions/listen`: {error}"),
            )
        })?;
        Ok(Self {
            id: request.id().unwrap_or("null").to_owned(),
            tools: params.notifications.tools_list_changed,
        })
    }

    /// Whether a request is one.
    #[must_use]
    pub fn is(request: &Request) -> bool {
        *request.method() == Method::LISTEN
    }

    /// The first message: what of it is told.
    #[must_use]
    pub fn acknowledged(&self) -> String {
        let told = if self.tools {
            r#"{"toolsListChanged":true}"#
        } else {
            "{}"
        };
        self.message(
            "subscriptions/acknowledged",
            &format!(r#""notifications":{told},"#),
        )
    }

    /// The tools are others than before.
    #[must_use]
    pub fn tools_changed(&self) -> String {
        self.message("tools/list_changed", "")
    }

    /// The answer: nothing more is told.
    #[must_use]
    pub fn ended(&self) -> String {
        let id = &self.id;
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{}}}}}"#,
            self.meta()
        )
    }

    fn message(&self, kind: &str, params: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/{kind}","params":{{{params}"_meta":{}}}}}"#,
            self.meta()
        )
    }

    fn meta(&self) -> String {
        format!(
            r#"{{"io.modelcontextprotocol/subscriptionId":{}}}"#,
            self.id
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn request(text: &str) -> Request {
        Request::parse(text.to_owned().into()).expect("a request")
    }

    #[test]
    fn what_every_request_must_say() {
        let with = |meta: &str| {
            request(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{meta}}}}}"#
            ))
        };
        let good = format!(r#"{{"{META_VERSION}":"{MESH}","{META_CLIENT_CAPABILITIES}":{{}}}}"#);
        let check = |request: &Request| Stated::read(request).check(request);
        check(&with(&good)).expect("the good twin");
        for (meta, code) in [
            ("{}".to_owned(), -32602),
            (format!(r#"{{"{META_VERSION}":"{MESH}"}}"#), -32602),
            (good.replace("{}", "1"), -32602),
            (good.replace(MESH, "2099-01-01"), UNSUPPORTED_VERSION),
        ] {
            let answer = check(&with(&meta)).expect_err(&meta);
            let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(
                (answer.status, &body["error"]["code"]),
                (400, &code.into()),
                "{meta}"
            );
        }
    }

    #[test]
    fn a_subscription_names_itself_in_every_message() {
        let asked = request(
            r#"{"jsonrpc":"2.0","id":"l\"1","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"promptsListChanged":true}}}"#,
        );
        let listen = Listen::read(&asked).expect("read");
        for message in [listen.acknowledged(), listen.tools_changed()] {
            let message: Value = serde_json::from_str(&message).expect("JSON");
            let meta = &message["params"]["_meta"];
            assert_eq!(meta["io.modelcontextprotocol/subscriptionId"], "l\"1");
        }
        let told: Value = serde_json::from_str(&listen.acknowledged()).expect("JSON");
        assert_eq!(
            told["params"]["notifications"],
            serde_json::json!({"toolsListChanged": true})
        );
        let ended: Value = serde_json::from_str(&listen.ended()).expect("JSON");
        assert_eq!(ended["id"], "l\"1");
    }
}
