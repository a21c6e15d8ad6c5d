//! How large a pool may be, how long a call waits for it, and whether its members are spread or
//! kept apart.

use std::time::Duration;

/// Members that a pool may have at most.
pub const MEMBERS_MAX: usize = 64;
/// Calls that one member may take at once at most: as many as a server may have under way.
pub const CALLS_MAX: usize = 65_536;
/// Calls that may wait for a place at most.
pub const WAITING_MAX: usize = 4096;
/// The shortest and the longest time after which an unused member is closed.
pub const IDLE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(86_400));
/// The longest wait for a place.
pub const WAIT_MAX: Duration = Duration::from_secs(600);

/// How many processes, or sessions, of one server there are, and who may use which. What is out
/// of its bounds counts as the nearest bound.
///
/// Unless somebody says otherwise, one member takes 256 calls at once, which is what a server
/// takes by itself: an MCP server may keep state in its process, and who runs it has to say that
/// calls may be spread (a smaller [`Options::calls`]) or that each caller has a process of his own
/// ([`Pin::Caller`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Members at most, 1 to [`MEMBERS_MAX`]; those that are being ended are among them.
    pub max: usize,
    /// Members that are kept, used or not, 1 to `max`.
    pub min: usize,
    /// Calls that one member takes at once, 1 to [`CALLS_MAX`]. Beyond what the server takes by
    /// itself (`limits.in_flight` of its own options) it changes nothing.
    pub calls: usize,
    /// A member beyond `min` that nobody used for so long is closed; with [`Pin::Caller`] so is
    /// any whose caller did not call for so long. Within [`IDLE`].
    pub idle: Duration,
    /// How long a call waits for a place, up to [`WAIT_MAX`], and never beyond its own deadline.
    pub wait: Duration,
    /// Calls that wait at most, up to [`WAITING_MAX`]; one more is refused at once.
    pub waiting: usize,
    /// Whether a member belongs to one caller.
    pub pin: Pin,
}

/// Who may use which member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// Anybody any: for servers that keep nothing between two calls, or nothing that differs.
    #[default]
    None,
    /// All calls of a caller go to one member, and nobody else's ever do: for servers that keep
    /// state between calls.
    ///
    /// - A caller is who the verified token names, together with whoever acts for him: what an
    ///   agent does for Alice, Alice alone does not see, nor another agent of hers. A call that
    ///   nobody vouches for is refused (`AUTHENTICATION_FAILED`).
    /// - A member has one caller in its life. When he did not call for [`Options::idle`], or its
    ///   process ended, it is let go and another one started in its place where `min` asks for it;
    ///   his next call gets a member that is fresh, and **what the old one kept is lost**.
    /// - So there are no more callers at a time than `max`. One more waits until a member is idle,
    ///   and is refused when that takes longer than [`Options::wait`].
    /// - It is the member that is kept apart. What a server keeps outside of it (files, a database,
    ///   behind a URL anything that does not hang on the MCP session) its callers share.
    Caller,
}

/// 1 to 10 members of 256 calls, idle after a minute; 256 calls wait, 5 s at most; nobody is pinned.
impl Default for Options {
    fn default() -> Self {
        Self {
            max: 10,
            min: 1,
            calls: 256,
            idle: Duration::from_secs(60),
            wait: Duration::from_secs(5),
            waiting: 256,
            pin: Pin::None,
        }
    }
}

impl Options {
    /// One member for everything, for ever: what the server takes by itself is all that is taken.
    #[must_use]
    pub fn one() -> Self {
        Self {
            max: 1,
            calls: CALLS_MAX,
            ..Self::default()
        }
    }

    /// The same within its bounds.
    #[must_use]
    pub(super) fn bounded(self) -> Self {
        let max = self.max.clamp(1, MEMBERS_MAX);
        Self {
            max,
            min: self.min.clamp(1, max),
            calls: self.calls.clamp(1, CALLS_MAX),
            idle: self.idle.clamp(IDLE.0, IDLE.1),
            wait: self.wait.min(WAIT_MAX),
            waiting: self.waiting.min(WAITING_MAX),
            pin: self.pin,
        }
    }
}

/// How full a pool is, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Members, those that start, are down or are being ended among them.
    pub members: usize,
    /// Members that take calls.
    pub up: usize,
    /// Members with a call under way.
    pub busy: usize,
    /// Calls under way.
    pub calls: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept_and_the_usual_is_within_them() {
        assert_eq!(Options::default().bounded(), Options::default());
        assert_eq!(Options::one().bounded(), Options::one());
        let day = Duration::from_secs(86_400);
        let beyond = Options {
            max: 1000,
            min: 0,
            calls: usize::MAX,
            idle: Duration::ZERO,
            wait: day,
            waiting: usize::MAX,
            pin: Pin::Caller,
        };
        let within = beyond.bounded();
        assert_eq!((within.max, within.min), (MEMBERS_MAX, 1));
        assert_eq!((within.calls, within.waiting), (CALLS_MAX, WAITING_MAX));
        assert_eq!((within.idle, within.wait), (IDLE.0, WAIT_MAX));
        let few = Options {
            max: 2,
            min: 7,
            ..Options::default()
        };
        assert_eq!(few.bounded().min, 2);
    }
}
