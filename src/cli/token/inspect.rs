//! `weft token inspect`: what the control plane knows of a token.
//!
//! The token itself is not sent: a connect token never stands in a message. Its id is.

use serde_json::json;
use weftbus::{access::exchange::Held, error::Error};

use super::{About, read};
use crate::cli::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft token inspect @alice.token
  weft token issue alice --allow 'call:tools/time/*' --quiet | weft token inspect -";

/// Say what is known of a token
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
pub(super) struct Args {
    /// The token, the file that it is in, or `-` for standard input. Others see what stands on a
    /// command line: prefer a file
    #[arg(value_name = "TOKEN|@FILE|-")]
    token: String,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let held = Held::read(&read(&args.token)?).map_err(Error::from)?;
    joined(to, async |mesh, to| {
        let about: About = mesh
            .control("token_inspect", json!({"jti": held.jti}))
            .await?;
        if to.printer.is_table() {
            to.printer.table(&about.table())?;
        } else {
            to.printer.json(&about)?;
        }
        Ok(Exit::Ok)
    })
    .await
}
