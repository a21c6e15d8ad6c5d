//! Names of streams and buckets. The control plane alone opens them.

/// Issued tokens: who, what, until when, revoked or not.
pub const TOKENS: &str = "WEFT_TOKENS";
/// What is granted and denied beside tokens.
pub const GRANTS: &str = "WEFT_GRANTS";
/// Servers and their instances, as their heartbeats told.
pub const SERVERS: &str = "WEFT_SERVERS";
/// Which tools are approved.
pub const APPROVALS: &str = "WEFT_TOOLS";
/// Calls with an idempotency key, and what came of them.
pub const ONCE: &str = "WEFT_ONCE";
/// Shared resources, all but their contents.
pub const RESOURCES: &str = "WEFT_RESOURCES";
/// The contents of shared resources, in parts.
pub const RESOURCE_PARTS: &str = "WEFT_RESOURCE_PARTS";
/// What the subjects of those begin with; owner, upload and the part's number follow.
pub const RESOURCE_SUBJECTS: &str = "weft.v1.res";

/// What the subjects of all events begin with.
pub const EVENTS: &str = "weft.v1.evt";

/// Events that are delivered once more, to one durable alone.
pub const REPLAYS: &str = "WEFT_REPLAYS";
/// What the subjects of those begin with; the durable's name follows.
pub const REPLAY_SUBJECTS: &str = "weft.v1.rpl";
/// Dead letters.
pub const LETTERS: &str = "WEFT_DLQ";

/// What was decided.
pub const AUDIT: &str = "WEFT_AUDIT";

/// The prefix under which a member reaches the JetStream API: under `$JS.API` the broker itself
/// would answer first, "JetStream not enabled for account".
pub const API_PREFIX: &str = "weft.v1.js";
