//! The watchdog's own process: reads a pipe to its end, then ends what is still listed.
//!
//! Plain threads and no runtime: it waits in one `read` for all its life, and what it does last
//! must work when nothing else does.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, Read as _, Write},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

use rustix::process::Signal;

use super::READY;
use crate::child::group::Group;

/// No order is longer, in bytes; what is comes in pieces that are no orders.
const ORDER_MAX: u64 = 32;
/// How long the groups have between TERM and KILL.
const GRACE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The whole life of `weft watchdog`: says `ready` on `answers`, reads orders to the end of file
/// (`add GROUP` and `del GROUP`, one a line, anything else ignored), then sends TERM to every
/// group still listed, and KILL to those that are there a second later.
///
/// `main` calls it before anything else, with the standard streams.
pub fn run(mut orders: impl BufRead, mut answers: impl Write) -> ExitCode {
    // A parent that is dead already can't hear it; the end of file follows.
    let heard = answers
        .write_all(READY.as_bytes())
        .and_then(|()| answers.flush());
    let mut groups = BTreeSet::new();
    // A pipe that can't be read is as good as its end.
    let followed = listen(&mut orders, &mut groups);
    end(&groups);
    match heard.and(followed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Follows the orders to their end: `groups` is what is still listed then.
fn listen(orders: &mut impl BufRead, groups: &mut BTreeSet<Group>) -> io::Result<()> {
    let mut order = Vec::new();
    loop {
        order.clear();
        // An interrupted read is tried again by `read_until` itself.
        if orders
            .by_ref()
            .take(ORDER_MAX)
            .read_until(b'\n', &mut order)?
            == 0
        {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&order);
        // A line without its end was cut off by our parent's death: `add 12` may be of `add 1234`.
        let Some((verb, group)) = text
            .strip_suffix('\n')
            .and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        let Ok(group) = group.parse::<Group>() else {
            continue;
        };
        match verb {
            "add" => groups.insert(group),
            "del" => groups.remove(&group),
            _ => continue,
        };
    }
}

/// Ends the groups: asked first, killed after the grace.
fn end(groups: &BTreeSet<Group>) {
    for group in groups {
        group.signal(Signal::TERM);
    }
    let mut left = GRACE;
    while !left.is_zero() && groups.iter().any(|group| group.exists()) {
        sleep(LOOK_EVERY);
        left = left.saturating_sub(LOOK_EVERY);
    }
    for group in groups {
        group.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(mut orders: &[u8]) -> Vec<String> {
        let mut groups = BTreeSet::new();
        listen(&mut orders, &mut groups).expect("memory can be read");
        groups.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn orders_are_followed_and_garbage_is_not() {
        assert_eq!(listed(b"add 70\nadd 71\nadd 70\ndel 70\n"), ["71"]);
        assert_eq!(
            listed(b"del 70\nadd\nadd x\nadd 1\nadd -1\nhello 70\n\n"),
            [""; 0]
        );
        assert_eq!(
            listed(b"add 71\nadd 123"),
            ["71"],
            "an order that was cut off"
        );
        let long = [b"x".repeat(1000), b"\nadd 72\n".to_vec()].concat();
        assert_eq!(listed(&long), ["72"]);
    }

    #[test]
    fn it_says_that_it_listens() {
        let mut said = Vec::new();
        run(&b"del 70\n"[..], &mut said);
        assert_eq!(said, READY.as_bytes());
    }
}
