//! What must hold for every input that comes from outside, whoever made it.
//!
//! Each function takes any bytes and panics where something does not hold. `make fuzz` looks for
//! such bytes; the tests of the mesh run each of them over what is kept in `corpus/`.

mod config;
mod envelope;
mod header;
mod subject;
mod token;

pub use self::{
    config::config, envelope::envelope, header::header, subject::subject, token::token,
};
