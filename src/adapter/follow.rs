//! Following what a server has: when its list of tools is read again, how far a reading is, and
//! which changes are told. Pure: it decides, the session acts.

use tokio::{
    sync::oneshot,
    time::{Duration, Instant},
};

use super::status::Changed;
use crate::mcp::tools::{Page, TOOLS_MAX, Tool, ToolList};

/// A list is read, and a change told, at most once in this time; the last one always.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// A list of more pages than this is not read to its end.
const PAGES_MAX: usize = 100;
/// How long after a reading that failed the next one is.
const READ_AGAIN: Duration = Duration::from_secs(30);
/// The longest wait before changes are listened for again.
const LISTEN_WAIT_MAX: Duration = Duration::from_secs(60);

/// A change of the tools.
pub(super) const TOOLS: Changed = Changed {
    kind: "tools/list_changed",
};
/// A change of the prompts.
pub(super) const PROMPTS: Changed = Changed {
    kind: "prompts/list_changed",
};
/// A change of the resources.
pub(super) const RESOURCES: Changed = Changed {
    kind: "resources/list_changed",
};

/// One reading of the list of tools.
#[derive(Debug)]
struct Reading {
    /// The id of the page that is awaited.
    id: u64,
    deadline: Instant,
    pages: usize,
    tools: Vec<Tool>,
}

/// How a reading goes on.
#[derive(Debug)]
pub(super) enum Step {
    /// The next page is at this cursor.
    Next(String),
    /// It is done.
    Done(ToolList),
}

/// Something that happens at most once in [`EVERY`], the last one always.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Pace {
    /// Asks for it: now, or as soon as it may be.
    pub(super) fn ask(&mut self, now: Instant) {
        let earliest = self.last.map_or(now, |last| last + EVERY);
        self.due.get_or_insert(earliest.max(now));
    }

    /// Whether it is to happen now; then it has.
    pub(super) fn happens(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
            self.last = Some(now);
        }
        due
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now < last + EVERY)
    }
}

/// The state of following one process.
#[derive(Debug, Default)]
pub(super) struct Follow {
    /// Whether there is a list of tools.
    has_tools: bool,
    /// Whether it was read, or is being read, for the first time.
    has_begun: bool,
    reading: Option<Reading>,
    tools: Pace,
    prompts: Pace,
    resources: Pace,
    /// Whether the reading that is due or under way answers to a change.
    changed: bool,
    waiters: Vec<oneshot::Sender<()>>,
    listening: Option<u64>,
    listen_due: Option<Instant>,
    listen_failures: u32,
}

impl Follow {
    /// A list has changed.
    pub(super) fn has_changed(&mut self, changed: Changed, now: Instant) {
        match changed {
            TOOLS => {
                self.changed = true;
                self.tools.ask(now);
            }
            PROMPTS => self.prompts.ask(now),
            _ => self.resources.ask(now),
        }
    }

    /// Takes a notification about what the server has; says whether it was one.
    pub(super) fn notified(&mut self, method: &str, now: Instant) -> bool {
        match method {
            "notifications/tools/list_changed" => self.has_changed(TOOLS, now),
            "notifications/prompts/list_changed" => self.has_changed(PROMPTS, now),
            "notifications/resources/list_changed" => self.has_changed(RESOURCES, now),
            "notifications/subscriptions/acknowledged" => self.heard(now),
            _ => return false,
        }
        true
    }

    /// Begins, with a server that has tools to read, or can tell changes, or both. Where it can,
    /// the tools are read when it said so, or soon: so that no change falls in between.
    pub(super) fn begin(&mut self, reads: bool, listens: bool, now: Instant) {
        self.has_tools = reads;
        self.listen_due = listens.then_some(now);
        let wait = if listens { EVERY } else { Duration::ZERO };
        self.tools.due = reads.then_some(now + wait);
    }

    /// The tools could not be read, and are read again in a while.
    pub(super) fn read_later(&mut self, now: Instant) {
        self.tools.due.get_or_insert(now + READ_AGAIN);
    }

    /// Somebody wants to know whether the list that is known is the newest.
    pub(super) fn refresh(&mut self, waiter: oneshot::Sender<()>, now: Instant) {
        if self.reading.is_none() && self.tools.is_recent(now) {
            // Dropped: what is known was read just now.
            return;
        }
        if self.reading.is_none() {
            self.tools.ask(now);
        }
        self.waiters.push(waiter);
    }

    /// When there is something to do next.
    pub(super) fn due(&self) -> Option<Instant> {
        let tools = match &self.reading {
            Some(reading) => Some(reading.deadline),
            None => self.tools.due,
        };
        [tools, self.prompts.due, self.resources.due, self.listen_due]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether a reading is to begin now.
    pub(super) fn reads_now(&mut self, now: Instant) -> bool {
        let reads = self.reading.is_none() && self.tools.happens(now);
        if reads && !std::mem::replace(&mut self.has_begun, true) {
            // The first answers to no change: the first change need not wait for it.
            self.tools.last = None;
        }
        reads
    }

    /// The changes that are to be told now, of lists that are not read here.
    pub(super) fn tells_now(&mut self, now: Instant) -> impl Iterator<Item = Changed> + use<> {
        let prompts = self.prompts.happens(now).then_some(PROMPTS);
        let resources = self.resources.happens(now).then_some(RESOURCES);
        prompts.into_iter().chain(resources)
    }

    /// A page was asked for under this id.
    pub(super) fn asked(&mut self, id: u64, deadline: Instant) {
        match &mut self.reading {
            Some(reading) => {
                reading.id = id;
                reading.deadline = deadline;
            }
            None => {
                self.reading = Some(Reading {
                    id,
                    deadline,
                    pages: 0,
                    tools: Vec::new(),
                });
            }
        }
    }

    /// Whether this id is that of the page that is awaited.
    pub(super) fn awaits(&self, id: u64) -> bool {
        self.reading
            .as_ref()
            .is_some_and(|reading| reading.id == id)
    }

    /// Whether the page that is awaited did not come in time.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.reading
            .as_ref()
            .is_some_and(|reading| reading.deadline <= now)
    }

    /// Takes a page; the error says why there is no list.
    pub(super) fn page(&mut self, result: &str) -> Result<Step, String> {
        let page = Page::read(result)?;
        let reading = self.reading.as_mut().ok_or("it was not asked for")?;
        reading.pages += 1;
        reading.tools.extend(page.tools);
        if reading.tools.len() > TOOLS_MAX {
            return Err(format!("it has more than {TOOLS_MAX} tools"));
        }
        match page.next {
            Some(_) if reading.pages == PAGES_MAX => {
                Err(format!("it has more than {PAGES_MAX} pages"))
            }
            Some(cursor) => Ok(Step::Next(cursor)),
            None => Ok(Step::Done(ToolList {
                tools: std::mem::take(&mut reading.tools),
                complete: true,
            })),
        }
    }

    /// The reading is over, well or not. Says whether it answered to a change.
    pub(super) fn end_reading(&mut self) -> bool {
        self.reading = None;
        // A change that came meanwhile has a reading of its own due.
        let again = self.tools.due.is_some();
        std::mem::replace(&mut self.changed, again)
    }

    /// What was read is known now to whoever asks.
    pub(super) fn end_waiting(&mut self) {
        for waiter in self.waiters.drain(..) {
            if waiter.send(()).is_err() {
                tracing::trace!("who waited for the list of tools has gone");
            }
        }
    }

    /// Whether listening is to begin now.
    pub(super) fn listens_now(&mut self, now: Instant) -> bool {
        self.listen_due.take_if(|due| *due <= now).is_some()
    }

    /// Listening was asked for under this id.
    pub(super) fn listening(&mut self, id: u64) {
        self.listening = Some(id);
    }

    /// Listening was accepted: whatever changed before went unheard.
    pub(super) fn heard(&mut self, now: Instant) {
        if self.listen_failures > 0 {
            self.listen_failures = 0;
            self.prompts.ask(now);
            self.resources.ask(now);
        }
        if self.has_tools {
            self.tools.due = Some(now);
        }
    }

    /// Whether this id is that of the listening; then it has ended, and begins again in a while.
    pub(super) fn listening_ended(&mut self, id: u64, now: Instant) -> bool {
        let ended = self
            .listening
            .take_if(|listening| *listening == id)
            .is_some();
        if ended {
            let wait = EVERY.saturating_mul(2_u32.saturating_pow(self.listen_failures));
            self.listen_failures = self.listen_failures.saturating_add(1);
            self.listen_due = Some(now + wait.min(LISTEN_WAIT_MAX));
            // Who waited for it to be accepted waits no longer.
            self.tools.due = self.tools.due.map(|due| due.min(now));
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_are_followed_at_once_then_once_a_second_and_the_last_always() {
        let mut follow = Follow {
            has_begun: true,
            ..Follow::default()
        };
        let begin = Instant::now();
        for at in [0, 100, 200] {
            follow.has_changed(TOOLS, begin + Duration::from_millis(at));
            assert_eq!(follow.reads_now(begin + Duration::from_millis(at)), at == 0);
            if at == 0 {
                follow.asked(1, begin + EVERY);
                assert!(follow.awaits(1));
                assert!(matches!(follow.page(r#"{"tools":[]}"#), Ok(Step::Done(_))));
                assert!(follow.end_reading(), "it answered to a change");
            }
        }
        assert_eq!(follow.due(), Some(begin + EVERY));
        assert!(follow.reads_now(begin + EVERY));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_reading_waits_for_the_listening() {
        let now = Instant::now();
        for accepted in [true, false] {
            let mut follow = Follow::default();
            follow.begin(true, true, now);
            assert!(follow.listens_now(now) && !follow.reads_now(now));
            follow.listening(7);
            if accepted {
                follow.heard(now);
            } else {
                assert!(follow.listening_ended(7, now));
            }
            assert!(follow.reads_now(now));
        }
        let mut silent = Follow::default();
        silent.begin(true, true, now);
        assert!(silent.reads_now(now + EVERY), "but not for long");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_without_an_end_is_given_up() {
        let mut follow = Follow::default();
        let now = Instant::now();
        follow.asked(1, now);
        let page = r#"{"tools":[{"name":"a"}],"nextCursor":"again"}"#;
        for _ in 1..PAGES_MAX {
            assert!(matches!(follow.page(page), Ok(Step::Next(_))));
        }
        assert!(follow.page(page).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_what_was_just_read_does_not_wait() {
        let mut follow = Follow::default();
        let now = Instant::now();
        follow.begin(true, false, now);
        assert!(follow.reads_now(now));
        follow.asked(0, now + EVERY);
        follow.end_reading();
        follow.has_changed(TOOLS, now);
        assert!(follow.reads_now(now), "the first change does not wait");
        follow.asked(1, now + EVERY);
        let (waiter, mut done) = oneshot::channel();
        follow.refresh(waiter, now);
        assert!(done.try_recv().is_err(), "a reading is under way");
        assert!(follow.end_reading());
        follow.end_waiting();
        assert!(done.try_recv().is_ok());
        let (waiter, mut done) = oneshot::channel();
        follow.refresh(waiter, now);
        assert_eq!(done.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(follow.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn listening_that_ends_begins_again_ever_later() {
        let mut follow = Follow::default();
        let now = Instant::now();
        follow.begin(true, true, now);
        assert!(follow.listens_now(now) && follow.reads_now(now + EVERY));
        for wait in [1, 2, 4] {
            follow.listening(7);
            assert!(!follow.listening_ended(8, now));
            assert!(follow.listening_ended(7, now));
            assert_eq!(follow.due(), Some(now + Duration::from_secs(wait)));
            assert!(follow.listens_now(now + Duration::from_secs(wait)));
        }
        follow.heard(now);
        assert!(follow.reads_now(now), "what changed meanwhile went unheard");
        assert_eq!(follow.tells_now(now).count(), 2);
    }
}
