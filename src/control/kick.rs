//! Cutting the connections of a revoked token.
//!
//! The broker is asked which connections there are, page by page, on every one of its nodes; those
//! whose user is named after the token are cut (nats-server 2.15.1 keeps no tags of users that came
//! by the callout, but their names). A client that tries again meets the callout.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::{
    callout,
    connect::{REQUEST_MAX, Wire, unavailable},
};
use crate::error::Error;

const LIST: &str = "$SYS.REQ.SERVER.PING.CONNZ";
/// Connections on one page: with what the broker tells of each, it stays below its own limits.
const PAGE: usize = 256;
/// No broker has more pages: it takes 65,536 connections.
const PAGES_MAX: usize = 256;
/// Nodes answer one by one; after this long a silence there are no more.
const SILENCE: Duration = Duration::from_millis(150);

/// Cuts the connections that were opened with these tokens, and says how many.
///
/// # Errors
/// `SERVER_OVERLOADED` where the broker does not answer: the connections live on until their
/// token ends, but adapters refuse their calls all the same.
pub(super) async fn kick(wire: &Wire, tokens: &[Uuid]) -> Result<usize, Error> {
    let ids: Vec<String> = tokens.iter().map(Uuid::to_string).collect();
    let mut cut = 0;
    for page in 0..PAGES_MAX {
        let (found, more) = list(wire, page * PAGE, &ids).await?;
        for (server, connections) in found {
            for id in connections {
                let body = json!({"cid": id}).to_string();
                let to = format!("$SYS.REQ.SERVER.{server}.KICK");
                let client = wire.client();
                match timeout(REQUEST_MAX, client.request(to, Bytes::from(body))).await {
                    Ok(Ok(_)) => cut += 1,
                    // Gone already, most likely: it has to be gone, not to be told.
                    _ => tracing::debug!(server, id, "a connection could not be cut"),
                }
            }
        }
        if !more {
            break;
        }
    }
    Ok(cut)
}

/// Connections to cut, by the node that has them.
type Found = BTreeMap<String, Vec<u64>>;

/// One page of every node's connections: those of the tokens, and whether there are more.
async fn list(wire: &Wire, offset: usize, ids: &[String]) -> Result<(Found, bool), Error> {
    let failed = || unavailable("the broker does not say which connections there are");
    let client = wire.client();
    let inbox = client.new_inbox();
    let ask = async {
        let mut answers = client
            .subscribe(inbox.clone())
            .await
            .map_err(|_| failed())?;
        let body = json!({"auth": true, "acc": "MESH", "offset": offset, "limit": PAGE});
        client
            .publish_with_reply(LIST, inbox, body.to_string().into())
            .await
            .map_err(|_| failed())?;
        client.flush().await.map_err(|_| failed())?;
        let (mut found, mut more) = (Found::new(), false);
        let mut silent_at = Instant::now() + REQUEST_MAX / 2;
        let mut heard = false;
        while let Ok(Some(answer)) = timeout_at(silent_at, answers.next()).await {
            let Ok(answer) = serde_json::from_slice::<Value>(&answer.payload) else {
                continue;
            };
            heard = true;
            more |= read_page(&answer, ids, &mut found);
            silent_at = Instant::now() + SILENCE;
        }
        if heard {
            Ok((found, more))
        } else {
            Err(failed())
        }
    };
    timeout(REQUEST_MAX * 2, ask).await.map_err(|_| failed())?
}

fn read_page(answer: &Value, ids: &[String], found: &mut Found) -> bool {
    let data = &answer["data"];
    let Some(server) = answer["server"]["id"].as_str() else {
        return false;
    };
    let none = Vec::new();
    let connections = data["connections"].as_array().unwrap_or(&none);
    for connection in connections {
        let token = connection["authorized_user"]
            .as_str()
            .and_then(callout::token_of);
        let revoked = token.is_some_and(|token| ids.iter().any(|id| id == token));
        if let (true, Some(id)) = (revoked, connection["cid"].as_u64()) {
            found.entry(server.to_owned()).or_default().push(id);
        }
    }
    let seen = data["offset"].as_u64().unwrap_or(0) + connections.len() as u64;
    !connections.is_empty() && seen < data["total"].as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_found_by_their_token_alone() {
        let answer = json!({"server": {"id": "N1"}, "data": {"offset": 0, "total": 5, "connections": [
            {"cid": 7, "authorized_user": "alice:a"}, {"cid": 8, "authorized_user": "alice:b"},
            {"cid": 9, "authorized_user": "b"}, {"cid": 10},
        ]}});
        let mut found = Found::new();
        assert!(read_page(&answer, &["b".to_owned()], &mut found));
        assert_eq!(found, Found::from([("N1".to_owned(), vec![8])]));
        let last =
            json!({"server": {"id": "N1"}, "data": {"offset": 5, "total": 5, "connections": []}});
        assert!(!read_page(&last, &[], &mut found));
    }
}
