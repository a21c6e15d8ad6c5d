//! Calls over a real nats-server: answered, refused, cut off, flooded, poisoned.

mod batch;
mod bench;
mod call;
mod drain;
mod frame;
mod garbage;
mod link;
mod outbox;
mod part;
mod plain;
mod queue;
mod token;
