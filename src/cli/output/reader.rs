//! Whether somebody still reads standard output: a command that waits for news would else write to
//! nobody only when there are some.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::FileTypeExt as _,
    },
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(100);

/// Standard output, where that is a pipe.
pub(super) fn pipe() -> Option<OwnedFd> {
    let own = io::stdout().as_fd().try_clone_to_owned().ok()?;
    let file = File::from(own);
    let is_pipe = file.metadata().ok()?.file_type().is_fifo();
    is_pipe.then(|| file.into())
}

/// Resolves when nobody reads this pipe any more.
pub(super) async fn gone(pipe: OwnedFd) {
    let mut look = interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if is_closed(&pipe) {
            return;
        }
    }
}

fn is_closed(pipe: &OwnedFd) -> bool {
    // An error is told whether one asks for it or not; a zero time-out waits for nothing.
    let mut asked = [PollFd::new(pipe, PollFlags::empty())];
    let told = poll(&mut asked, Some(&Timespec::default()));
    let closed = PollFlags::ERR | PollFlags::HUP;
    told.is_ok() && asked[0].revents().intersects(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_closed_when_its_reader_is_gone() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let writer = OwnedFd::from(writer);
        assert!(!is_closed(&writer));
        drop(reader);
        assert!(is_closed(&writer));
    }
}
