//! Publishes events, one a line of standard input, and says of each where it is stored.
//!
//! Who gives an event an `id` may publish it again without harm: for 10 minutes its stream knows
//! it, and keeps one. So what was not reported as stored, for whatever reason, is published again.

use std::io::{Read as _, Write as _, stdin, stdout};

use serde::Deserialize;
use serde_json::{Value, json};
use weftbus::{event::Event, mesh::Mesh};

use crate::{Outcome, tell};

/// An event, as somebody typed it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Given {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    data: Value,
    correlation_id: Option<String>,
}

impl Given {
    fn event(self) -> Event {
        let mut event = Event::new(self.kind, self.data);
        if let Some(id) = self.id {
            event = event.with_id(id);
        }
        if let Some(id) = self.correlation_id {
            event = event.correlated(id);
        }
        event
    }
}

/// All of them, before the first is published.
pub(crate) fn read() -> Result<Vec<Given>, Box<dyn std::error::Error>> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Publishes one after the other. Who has many takes `begin`, and awaits the receipts later: what
/// comes together is stored together.
pub(crate) async fn run(mesh: Mesh, given: Vec<Given>) -> Outcome {
    for event in given.into_iter().map(Given::event) {
        let id = event.id.clone();
        // The library tries again for half a minute, with the same id.
        let published = mesh.events().publish(event).await;
        let stored = published.inspect_err(|_| tell(&format!("not reported as stored: {id}")))?;
        let said = json!({
            "id": stored.id, "duplicate": stored.duplicate,
            "stream": stored.stream, "seq": stored.sequence,
        });
        writeln!(stdout(), "{said}")?;
    }
    mesh.close().await;
    Ok(())
}
