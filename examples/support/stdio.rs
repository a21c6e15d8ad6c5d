//! One MCP server on stdin and stdout, until stdin closes.
//!
//! stdout belongs to JSON-RPC alone; the log goes to stderr (`RUST_LOG=info` shows more of it).
//! The SDK speaks both eras of the protocol here: `initialize`, and `server/discover` of 2026-07-28.

use std::error::Error;

use rmcp::{
    ServerHandler, ServiceExt as _, service::ServerInitializeError, transport::stdio_pipes,
};
use tracing_subscriber::EnvFilter;

/// Serves until the client closes stdin; calls in flight are answered first.
///
/// # Errors
///
/// The first message was none that opens a session, or stdout broke.
pub(crate) async fn serve<S: ServerHandler>(server: S) -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let running = match server.serve(stdio_pipes()).await {
        Ok(running) => running,
        // Closed before a word was said: a client that changed its mind, not a failure.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(fault) => return Err(fault.into()),
    };
    running.waiting().await?;
    Ok(())
}
