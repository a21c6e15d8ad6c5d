//! Names of streams and buckets. The control plane alone opens them.

/// Issued tokens: who, what, until when, revoked or not.
pub const TOKENS: &str = "WEFT_TOKENS";
/// Servers and their instances, as their heartbeats told.
pub const SERVERS: &str = "WEFT_SERVERS";

/// What the subjects of all events begin with.
pub const EVENTS: &str = "weft.v1.evt";

/// Events that are delivered once more, to one durable alone.
pub const REPLAYS: &str = "WEFT_REPLAYS";
/// What the subjects of those begin with; the durable's name follows.
pub const REPLAY_SUBJECTS: &str = "weft.v1.rpl";
/// Dead letters.
pub const LETTERS: &str = "WEFT_DLQ";

/// The prefix under which a member reaches the JetStream API: under `$JS.API` the broker itself
/// would answer first, "JetStream not enabled for account".
pub const API_PREFIX: &str = "weft.v1.js";
