//! Protocol revisions and the members of `_meta` that the modern ones need.

/// The revision that the mesh speaks.
pub const MESH: &str = "2026-07-28";

/// The newest revision that opens with `initialize`: what an adapter asks an older server for.
pub const LEGACY_NEWEST: &str = "2025-11-25";

/// The revisions that open with `initialize`, newest first.
pub const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// `_meta`: the revision of one request.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta`: what the client of one request can do.
pub const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta`: what the client of one request calls itself.
pub const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// `_meta` of a result: what the server calls itself.
pub const META_SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// `_meta` of a request: from which level on its log messages are wanted.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// The two families of revisions (2026-07-28, Versioning).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28 and later: each request stands alone.
    Modern,
    /// Until 2025-11-25: a session that `initialize` opened.
    Legacy,
}
