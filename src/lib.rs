#![doc = include_str!("../docs/lib.md")]

pub mod call;
pub mod error;
pub mod mcp;
pub mod name;
pub mod spawn;
