//! The product: where everything meets, and in which order it starts and stops.

pub mod bench;
mod broken;
pub mod conformance;
pub mod connect;
pub mod context;
pub mod edge;
pub mod folder;
pub mod keys;
pub mod member;
pub mod plane;
mod reload;
mod roster;
mod seat;
pub mod sidecar;
pub mod tokens;
mod translate;
pub mod up;
