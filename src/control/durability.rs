//! When the broker has what it acknowledges on its disk, as it says itself.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::connect::{REQUEST_MAX, Wire, unavailable};
use crate::error::Error;

/// What a server says of its streams.
const ASK: &str = "$SYS.REQ.SERVER.PING.JSZ";

/// When a message that was acknowledged is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Durability {
    /// Before it is acknowledged.
    pub always: bool,
    /// Where that is not so: after this time at the latest, nanoseconds.
    pub interval_ns: u64,
}

/// Asks the broker; of several servers the first that answers.
pub(super) async fn durability(wire: &Wire) -> Result<Durability, Error> {
    let failed = || unavailable("the broker does not say when it writes to its disk");
    let client = wire.client();
    let asked = timeout(REQUEST_MAX, client.request(ASK, "{}".into())).await;
    let answer = asked.map_err(|_| failed())?;
    let answer = answer.map_err(|error| failed().source(error))?;
    let said: Value =
        serde_json::from_slice(&answer.payload).map_err(|error| failed().source(error))?;
    let config = &said["data"]["config"];
    if !config.is_object() {
        return Err(failed());
    }
    Ok(Durability {
        always: config["sync_always"].as_bool().unwrap_or_default(),
        interval_ns: config["sync_interval"].as_u64().unwrap_or_default(),
    })
}
