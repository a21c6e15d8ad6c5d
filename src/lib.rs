#![doc = include_str!("../docs/lib.md")]

pub mod broker;
pub mod bus;
pub mod call;
pub mod child;
pub mod error;
pub mod mcp;
pub mod name;
pub mod spawn;
pub mod telemetry;
