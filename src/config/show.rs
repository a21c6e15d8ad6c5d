//! The configuration as it is in force, for `weft config show`: with where each part comes from,
//! and without a secret.

use serde_json::{Value, json};

use crate::config::{Loaded, broker::Broker};

/// The effective configuration:
/// `{"config": {servers, nats, policy, limits}, "broker": {…}, "data": PATH, "origin": {…}}`.
/// `config` is as written, before `${VAR}` is expanded; secrets and literal values of `env` and
/// `headers` are `***`. `origin` says of each block where it comes from.
#[must_use]
pub fn show(loaded: &Loaded) -> Value {
    let config = serde_json::to_value(&loaded.config)
        .expect("a configuration has text keys and no value that JSON does not have");
    let names =
        |origins: &[super::Origin]| -> Value { origins.iter().map(ToString::to_string).collect() };
    json!({
        "config": config,
        "broker": broker(&loaded.broker),
        "data": loaded.data,
        "origin": {
            "servers": names(&loaded.origin.servers),
            "nats": loaded.origin.nats.to_string(),
            "policy": loaded.origin.policy.to_string(),
            "limits": loaded.origin.limits.to_string(),
            "gateway": loaded.origin.gateway.to_string(),
            "data": loaded.origin.data.to_string(),
        },
    })
}

fn broker(broker: &Broker) -> Value {
    match broker {
        Broker::Managed { server } => json!({ "kind": "managed", "server": server }),
        Broker::Existing {
            urls,
            credentials,
            tls,
        } => json!({
            "kind": "existing",
            "urls": urls,
            "credentials": credentials.to_string(),
            "tls": { "ca": tls.ca, "cert": tls.cert, "key": tls.key },
        }),
    }
}
