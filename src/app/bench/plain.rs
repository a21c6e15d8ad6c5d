//! A nats-server without accounts and permissions: what many have, and the fastest there is.

use std::{net::TcpListener, path::Path, time::Duration};

use tokio::{net::TcpStream, time::Instant};

use crate::{
    broker::{self, Search},
    child::{Child, Escalation, Spec, Stream, Watchdog},
    error::{Error, Kind},
    spawn::Tasks,
};

/// How long it may take to listen.
const READY_MAX: Duration = Duration::from_secs(10);

/// A plain nats-server on a loopback port.
#[derive(Debug)]
pub struct Plain {
    child: Child,
    url: String,
}

impl Plain {
    /// Starts one with its files in `folder`.
    ///
    /// # Errors
    /// No nats-server, or one that does not start.
    pub async fn start(
        search: &Search,
        folder: &Path,
        watchdog: &Watchdog,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let broken = |why: String| Error::new(Kind::InternalError, why);
        let path = search.path_var.as_deref();
        let found = broker::find(None, &search.project_dirs, path)
            .await
            .map_err(|error| broken(error.to_string()))?;
        // Asked for and given back: nats-server takes the number a moment later.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| broken(error.to_string()))?
            .port();
        let store = folder.join("plain").display().to_string();
        let arguments = [
            "-a",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-js",
            "-sd",
            &store,
        ];
        let spec = Spec {
            args: arguments.iter().map(Into::into).collect(),
            stdout: Stream::Null,
            stderr: Stream::Null,
            ..Spec::new(found.path)
        };
        let child =
            Child::spawn(&spec, tasks, watchdog).map_err(|error| broken(error.to_string()))?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if began.elapsed() > READY_MAX {
                return Err(broken("the plain nats-server does not listen".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            child,
            url: format!("nats://127.0.0.1:{port}"),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it.
    pub async fn stop(self) {
        let exit = self.child.stop(Escalation::default()).await;
        tracing::debug!(%exit, "the plain nats-server ended");
    }
}
