//! `weft control`: the broker and the control plane, without a server of their own.

use super::{
    config::Files,
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    up::{self, Started},
};

const EXAMPLES: &str = "\
EXAMPLES
  weft control --nats nats://broker.example:4222 --data /srv/mesh
  weft control -c weft.yaml";

const AFTER: &str = "\
An existing broker must know the keys of the data folder: `weft config nats` prints what it needs.
Servers join with `weft adapter`.";

/// Run the control plane alone
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
}

pub(super) async fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let mut options = up::options(&args.files, Started::default(), to)?;
    // It stays without servers, whatever the file says later.
    options.loaded.members.clear();
    options.sources = None;
    up::until_the_end(options, to).await
}
