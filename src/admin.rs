//! What whoever runs a mesh asks of a process: whether it lives, whether it works. A word each, and
//! no token needed: nothing is told that a closed port would not tell.

use std::sync::Arc;

use axum::{Router, http::StatusCode, routing::get};

/// Whether the process works now.
pub type Ready = Arc<dyn Fn() -> bool + Send + Sync>;

/// `/livez` and `/readyz`.
pub fn routes(ready: Ready) -> Router {
    Router::new()
        .route("/livez", get(|| std::future::ready("ok\n")))
        .route(
            "/readyz",
            get(move || std::future::ready(readiness(ready()))),
        )
}

const fn readiness(ready: bool) -> (StatusCode, &'static str) {
    if ready {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}
