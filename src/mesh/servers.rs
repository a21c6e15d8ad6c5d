//! The servers that this member may see, kept up to date.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::sync::watch;

use super::{Mesh, feed::Feed};
use crate::{
    error::Error,
    registry::Entry,
    spawn::{Failure, Tasks},
};

/// How long a list that could not be read stays as it is.
const AGAIN: Duration = Duration::from_secs(1);

/// The servers, and how each of them is.
pub type Servers = Arc<[Entry]>;

#[derive(Deserialize)]
struct Page {
    servers: Vec<Entry>,
}

/// The list of now, and each that follows until the tasks are stopped.
pub(super) async fn follow(mesh: &Mesh, tasks: &Tasks) -> Result<watch::Receiver<Servers>, Error> {
    let mut feed = Feed::open(mesh, "server_watch").await?;
    let (told, servers) = watch::channel(read(mesh).await?);
    let (mesh, stop) = (mesh.clone(), tasks.stopping());
    tasks.spawn("servers", Failure::Logged, async move {
        let keep = async {
            loop {
                feed.next().await;
                match read(&mesh).await {
                    Ok(now) => told.send_if_modified(|before| {
                        let changed = *before != now;
                        *before = now;
                        changed
                    }),
                    Err(error) => {
                        tracing::warn!(%error, "the list of servers could not be read");
                        tokio::time::sleep(AGAIN).await;
                        false
                    }
                };
            }
        };
        tokio::select! { () = stop.cancelled() => {}, () = keep => {} }
    });
    Ok(servers)
}

async fn read(mesh: &Mesh) -> Result<Servers, Error> {
    let page: Page = mesh.control("server_list", serde_json::json!({})).await?;
    Ok(page.servers.into())
}
