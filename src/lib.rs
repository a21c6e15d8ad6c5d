#![doc = include_str!("../docs/lib.md")]

pub mod access;
pub mod adapter;
pub mod broker;
pub mod bus;
pub mod call;
pub mod child;
pub mod config;
pub mod control;
pub mod error;
pub mod mcp;
pub mod mesh;
pub mod name;
pub mod policy;
pub mod registry;
pub mod spawn;
pub mod telemetry;
