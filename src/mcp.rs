//! What of MCP the mesh understands, and what it only carries.
//!
//! The envelope is read, the rest stays the bytes that came: unknown fields, key order and number
//! spelling survive every hop, because nothing is written anew that is only carried.

pub mod canonical;
pub mod envelope;
pub mod extent;
pub mod fault;
pub mod framing;
mod head;
pub mod hidden;
pub mod members;
pub mod meta;
pub mod method;
pub mod tools;
pub mod version;

pub use envelope::{Request, Response};
pub use extent::Extent;
pub use fault::Fault;
pub use method::Method;
