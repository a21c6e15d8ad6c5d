//! What runs against real processes: children, the watchdog, nats-server, real MCP servers.

mod broker;
mod bus;
mod child;
mod cli;
mod compose;
mod conformance;
mod connect;
mod control;
mod gateway;
mod http_upstream;
mod identity;
mod kill;
mod large;
mod native;
mod plane;
mod process;
mod protocol;
mod readme;
mod real;
mod roles;
mod server;
mod stage;
mod stdio;
mod up;
mod upkeep;
