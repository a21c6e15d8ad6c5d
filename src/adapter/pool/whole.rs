//! How a pool fares as a whole, out of how its members do. Pure.

use std::sync::Arc;

use tokio::time::Instant;

use crate::adapter::status::{Dropped, State, Status};

/// One member, as it is now.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: u64,
    pub(super) status: Status,
    /// Whether it counts among those that are kept: one that is being ended only leaves its counts.
    pub(super) is_kept: bool,
    /// Whether it is being ended: then what it says of itself is no news.
    pub(super) is_ending: bool,
    /// Since when it is up.
    pub(super) up: Instant,
    /// Starts of another member in its place.
    pub(super) replaced: u64,
}

/// What members left behind that are gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    pub(super) restarts: u64,
    pub(super) dropped: Dropped,
}

/// What the pool knows beyond its members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    pub(super) min: usize,
    /// Whether calls may be taken.
    pub(super) serves: bool,
    /// The member whose list of tools was shown before.
    pub(super) lead: Option<u64>,
}

impl Past {
    /// Adds what a member counted.
    pub(super) fn add(&mut self, part: &Part) {
        self.restarts += part.status.restarts + part.replaced;
        let (all, own) = (&mut self.dropped, part.status.dropped);
        all.bad_lines += own.bad_lines;
        all.long_lines += own.long_lines;
        all.answers += own.answers;
        all.notifications += own.notifications;
        all.log_lines += own.log_lines;
    }
}

/// The status of the whole, and the member that leads it: the one of whom tools and what the
/// server says of itself are shown. All are one program, and the one that came up last tells what
/// that is now: where it was changed on the disk meanwhile, nobody is shown the old one.
pub(super) fn compose(
    before: &Status,
    parts: &[Part],
    mut past: Past,
    pool: Pool,
) -> (Status, Option<u64>) {
    parts.iter().for_each(|part| past.add(part));
    let kept = || parts.iter().filter(|part| part.is_kept);
    let up = || kept().filter(|part| part.status.is_up());
    let serving = up().count();
    let lead = up().max_by_key(|part| (part.status.state == State::Healthy, part.up));
    let shown = lead.or_else(|| kept().find(|part| part.status.peer.is_some()));
    let mut whole = before.clone();
    if let Some(shown) = shown {
        whole.peer.clone_from(&shown.status.peer);
        whole.tools = Arc::clone(&shown.status.tools);
    }
    whole.pid = up().chain(kept()).find_map(|part| part.status.pid);
    whole.restarts = past.restarts;
    whole.dropped = past.dropped;
    whole.turn(state(kept().map(|part| part.status.state), serving, pool));
    whole.last_error = match whole.state {
        State::Healthy => None,
        state => why(before, parts).or_else(|| {
            let few = format!(
                "{serving} of the {} processes that there are to be are up, and the others are \
                 being started",
                pool.min
            );
            (state == State::Degraded).then_some(few)
        }),
    };
    let lead = lead.map(|part| part.id).or(pool.lead);
    (whole, lead)
}

/// The best state that a member has, and not quite that where fewer serve than should.
fn state(states: impl Iterator<Item = State>, serving: usize, pool: Pool) -> State {
    let rank = |state: &State| match state {
        State::Unhealthy => 0,
        State::Starting => 1,
        State::Degraded => 2,
        State::Healthy => 3,
    };
    match states.max_by_key(rank) {
        Some(State::Healthy) if serving >= pool.min => State::Healthy,
        Some(State::Healthy | State::Degraded) => State::Degraded,
        // Calls wait for one that is being started.
        _ if pool.serves => State::Degraded,
        best => best.unwrap_or(State::Unhealthy),
    }
}

/// What is wrong with a member: with one that is there, or else with one that was.
fn why(before: &Status, parts: &[Part]) -> Option<String> {
    let error = |is_kept: bool| {
        let ill = parts
            .iter()
            .filter(|part| part.is_kept == is_kept && !part.is_ending)
            .filter(|part| part.status.state != State::Healthy);
        ill.filter_map(|part| part.status.last_error.clone()).next()
    };
    let serves = parts.iter().any(|part| part.is_kept && part.status.is_up());
    error(true).or_else(|| {
        let past = || error(false).or_else(|| before.last_error.clone());
        (!serves).then(past).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::tools::{Page, ToolList};

    fn tools(name: &str) -> Arc<ToolList> {
        let page = format!(r#"{{"tools":[{{"name":"{name}"}}]}}"#);
        Arc::new(ToolList {
            tools: Page::read(&page).expect("a page").tools,
            complete: true,
        })
    }

    fn part(id: u64, state: State) -> Part {
        Part {
            id,
            status: Status {
                state,
                pid: (state != State::Unhealthy).then_some(id as u32 * 100),
                restarts: id,
                last_error: (state != State::Healthy && state != State::Starting)
                    .then(|| format!("error {id}")),
                dropped: Dropped {
                    answers: 1,
                    ..Dropped::default()
                },
                tools: tools(&format!("t{id}")),
                ..Status::starting()
            },
            is_kept: true,
            is_ending: false,
            up: Instant::now(),
            replaced: 0,
        }
    }

    fn whole(before: &Status, parts: &[Part], min: usize, serves: bool) -> Status {
        let pool = Pool {
            min,
            serves,
            lead: None,
        };
        compose(before, parts, Past::default(), pool).0
    }

    #[test]
    fn of_one_member_it_is_the_members_own() {
        use State::{Degraded, Healthy, Starting, Unhealthy};
        for state in [Starting, Healthy, Degraded, Unhealthy] {
            let parts = [part(3, state)];
            let own = &parts[0].status;
            let all = whole(&Status::starting(), &parts, 1, own.is_up());
            assert_eq!(all.state, own.state);
            assert_eq!(all.pid, own.pid);
            assert_eq!((all.restarts, all.dropped), (3, own.dropped));
            assert_eq!(all.last_error, own.last_error);
            assert_eq!(all.tools.is_same(&own.tools), own.is_up(), "{state:?}");
        }
    }

    #[test]
    fn it_is_as_good_as_the_best_and_degraded_with_too_few() {
        use State::{Degraded, Healthy, Starting, Unhealthy};
        for (states, min, is, error) in [
            (vec![Healthy, Healthy], 2, Healthy, None),
            (
                vec![Healthy, Unhealthy],
                2,
                Degraded,
                Some("error 2".to_owned()),
            ),
            (vec![Healthy, Starting], 1, Healthy, None),
            (
                vec![Degraded, Healthy],
                3,
                Degraded,
                Some("error 1".to_owned()),
            ),
            (
                vec![Unhealthy, Starting],
                2,
                Starting,
                Some("error 1".to_owned()),
            ),
            (
                vec![Unhealthy, Unhealthy],
                1,
                Unhealthy,
                Some("error 1".to_owned()),
            ),
        ] {
            let parts: Vec<Part> = states
                .iter()
                .zip(1..)
                .map(|(state, id)| part(id, *state))
                .collect();
            let serves = parts.iter().any(|part| part.status.is_up());
            let all = whole(&Status::starting(), &parts, min, serves);
            assert_eq!((all.state, all.last_error), (is, error), "{states:?}");
        }
        let few = whole(
            &Status::starting(),
            &[part(1, Healthy), part(2, Starting)],
            2,
            true,
        );
        assert_eq!((few.state, few.pid), (Degraded, Some(100)));
        assert!(
            few.last_error
                .is_some_and(|why| why.starts_with("1 of the 2 "))
        );
    }

    #[test]
    fn between_two_members_it_goes_on_with_what_is_known() {
        let up = whole(&Status::starting(), &[part(1, State::Healthy)], 1, true);
        let mut leaving = part(1, State::Unhealthy);
        leaving.is_kept = false;
        leaving.replaced = 1;
        let parts = [leaving];
        let between = whole(&up, &parts, 1, true);
        assert_eq!((between.state, between.pid), (State::Degraded, None));
        assert_eq!(between.last_error.as_deref(), Some("error 1"));
        assert_eq!(between.restarts, 2, "another in its place counts");
        assert!(between.tools.is_same(&tools("t1")));
        let mut parts = parts;
        parts[0].is_ending = true;
        parts[0].status.last_error = Some("it was stopped".to_owned());
        let ending = whole(&between, &parts, 1, false);
        assert_eq!(ending.last_error.as_deref(), Some("error 1"));
        let later = whole(&between, &[], 1, false);
        assert_eq!(later.state, State::Unhealthy);
        assert_eq!(later.last_error.as_deref(), Some("error 1"), "why it went");
    }

    #[test]
    fn the_member_that_came_up_last_says_what_there_is() {
        let mut parts = [part(1, State::Healthy), part(2, State::Healthy)];
        parts[0].up = parts[1].up + std::time::Duration::from_secs(1);
        let all = whole(&Status::starting(), &parts, 1, true);
        assert!(all.tools.is_same(&tools("t1")));
        parts[0].status.state = State::Degraded;
        let all = whole(&Status::starting(), &parts, 1, true);
        assert!(
            all.tools.is_same(&tools("t2")),
            "a healthy one before others"
        );
    }
}
