//! What the product tells of itself: log lines, metrics, trace context.

pub mod load;
pub mod log;
pub mod metric;
pub mod trace;
