//! Lines that are no messages: counted, shown now and then, and too much at some point.

use tokio::time::{Duration, Instant};

use crate::{adapter::plain::plain, name::ServerName};

/// How much of a bad line is shown in the log.
const SHOWN_MAX: usize = 200;
/// How many of them a minute.
const SHOWN_A_MINUTE: u32 = 5;

/// Bad lines of this minute.
#[derive(Debug)]
pub(super) struct Trouble {
    limit: u32,
    since: Instant,
    count: u32,
}

/// A server said more garbage in a minute than it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

impl Trouble {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            since: Instant::now(),
            count: 0,
        }
    }

    /// Counts a bad line.
    pub(super) fn add(
        &mut self,
        server: &ServerName,
        line: &[u8],
        why: &str,
    ) -> Result<(), TooMuch> {
        if self.since.elapsed() >= Duration::from_secs(60) {
            self.since = Instant::now();
            self.count = 0;
        }
        self.count += 1;
        if self.count <= SHOWN_A_MINUTE {
            let shown = plain(&line[..line.len().min(SHOWN_MAX)]);
            tracing::warn!(
                %server, why, line = shown, bytes = line.len(),
                "a line on standard output is no MCP message, and was skipped: a server must log to standard error"
            );
        }
        if self.count > self.limit {
            return Err(TooMuch);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_has_its_share() {
        let server = ServerName::new("s").expect("a name");
        let mut trouble = Trouble::new(2);
        for _ in 0..3 {
            assert_eq!(trouble.add(&server, b"x", "no"), Ok(()));
            assert_eq!(trouble.add(&server, b"x", "no"), Ok(()));
            tokio::time::advance(Duration::from_secs(61)).await;
        }
        for fits in [true, true, false] {
            assert_eq!(trouble.add(&server, b"x", "no").is_ok(), fits);
        }
    }
}
