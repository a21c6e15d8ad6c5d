//! What the control plane delivers to this member for as long as it asks for it.
//!
//! A tool of `weft` opens a delivery below `weft.v1.dlv.{member}`, and is called again before its
//! lease ends. Something comes every few seconds: after a silence the delivery is opened anew, so
//! a control plane that was started again is found.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::Mesh;
use crate::{access::exchange::Deliver, bus::Deliveries, error::Error};

/// How often the lease is renewed; it lasts 60 s.
const LEASE_EVERY: Duration = Duration::from_secs(20);
/// Something comes every 5 s.
const SILENCE_MAX: Duration = Duration::from_secs(12);
/// How soon an opening that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A delivery that is kept open.
#[derive(Debug)]
pub(super) struct Feed {
    mesh: Mesh,
    tool: &'static str,
    deliveries: Deliveries,
    lease_until: Instant,
}

impl Feed {
    /// Opens it by a tool of the control plane.
    ///
    /// # Errors
    /// What the control plane says, or its silence.
    pub(super) async fn open(mesh: &Mesh, tool: &'static str) -> Result<Self, Error> {
        let deliveries = Deliveries::open(mesh.link()).await?;
        lease(mesh, tool, &deliveries).await?;
        Ok(Self {
            mesh: mesh.clone(),
            tool,
            deliveries,
            lease_until: Instant::now() + LEASE_EVERY,
        })
    }

    /// What is delivered next, however often the delivery has to be opened anew for it.
    pub(super) async fn next(&mut self) -> Bytes {
        loop {
            match timeout(SILENCE_MAX, self.deliveries.next()).await {
                Ok(Some(body)) => {
                    self.renew().await;
                    return body;
                }
                Ok(None) | Err(_) => self.reopen().await,
            }
        }
    }

    async fn renew(&mut self) {
        if Instant::now() < self.lease_until {
            return;
        }
        self.lease_until = Instant::now() + LEASE_EVERY;
        if let Err(error) = lease(&self.mesh, self.tool, &self.deliveries).await {
            // A lease that ends is a silence, and that is mended.
            tracing::warn!(tool = self.tool, %error, "a lease could not be renewed");
        }
    }

    async fn reopen(&mut self) {
        loop {
            match Self::open(&self.mesh, self.tool).await {
                Ok(next) => {
                    *self = next;
                    return;
                }
                Err(error) => {
                    tracing::warn!(tool = self.tool, %error, "nothing is delivered; next try in 1 s");
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn lease(mesh: &Mesh, tool: &str, deliveries: &Deliveries) -> Result<(), Error> {
    let arguments = Deliver {
        deliver: deliveries.number().to_owned(),
    };
    let _opened: serde_json::Value = mesh.control(tool, arguments).await?;
    Ok(())
}
