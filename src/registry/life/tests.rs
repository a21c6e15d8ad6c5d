//! The life of servers, with time as it is needed.

use super::*;
use crate::{
    event::EventData,
    registry::{ToolDigest, heartbeat::tests::beat},
};

const T: u64 = 1_000_000;

/// A registry, and who tells what is new in it.
struct Place {
    servers: Servers,
    life: Life,
}

fn name() -> ServerName {
    ServerName::new("gh").expect("a name")
}

/// News in short: `joined 1 1`, `unhealthy<healthy why`, `changed 2`, `left true`.
fn short(news: &News) -> String {
    match news {
        News::Joined(data) => format!("joined {} {}", data.instances, data.tools),
        News::Changed(data) => format!("changed {}", data.tools),
        News::Left(data) => format!("left {}", data.goodbye),
        News::Health(data) => {
            let word = |health: Health| format!("{health:?}").to_lowercase();
            let before = data.before.map_or_else(String::new, word);
            let why = data.error.clone().unwrap_or_default();
            format!("{}<{before} {why}", word(data.status))
                .trim()
                .to_owned()
        }
    }
}

impl Place {
    fn new() -> Self {
        Self {
            servers: Servers::default(),
            life: Life::new([], T),
        }
    }

    fn look(&mut self, goodbye: bool, at: u64) -> Vec<String> {
        let turn = self.life.look(&name(), &self.servers, goodbye, at);
        let news = turn.map_or_else(Vec::new, |turn| turn.news);
        news.iter().map(short).collect()
    }

    fn hear(&mut self, beat: Heartbeat, at: u64) -> Vec<String> {
        let left = beat.state == State::Left;
        self.servers.hear(beat, at);
        self.look(left, at)
    }

    fn says(&mut self, state: State, at: u64) -> Vec<String> {
        self.hear(beat("gh", "i1", state), at)
    }

    /// Another control plane takes over, with what was written down.
    fn restart(&mut self, at: u64) {
        let told =
            |(server, known): (&ServerName, &Known)| Some((server.clone(), known.told.clone()?));
        let told: Vec<_> = self.life.known.iter().filter_map(told).collect();
        self.life = Life::new(told, at);
    }
}

#[test]
fn a_life_is_told_once_and_in_order() {
    let mut place = Place::new();
    assert!(place.says(State::Starting, T).is_empty(), "not known yet");
    assert_eq!(
        place.says(State::Healthy, T + 1),
        ["joined 1 1", "healthy<"]
    );
    for n in 0..10 {
        assert!(place.says(State::Healthy, T + 5000 * n).is_empty());
    }
    let mut broken = beat("gh", "i1", State::Unhealthy);
    broken.last_error = Some("it exited".into());
    assert_eq!(
        place.hear(broken.clone(), T + 50_000),
        ["unhealthy<healthy it exited"]
    );
    assert!(place.says(State::Starting, T + 50_001).is_empty());
    assert!(place.hear(broken, T + 50_002).is_empty(), "as it was");
    let mut grown = beat("gh", "i1", State::Healthy);
    grown.tools = Tools::new(vec![ToolDigest::new("a", "1"), ToolDigest::new("b", "2")]);
    assert_eq!(
        place.hear(grown.clone(), T + 51_000),
        ["healthy<unhealthy", "changed 2"]
    );
    grown.state = State::Degraded;
    assert_eq!(place.hear(grown, T + 52_000), ["degraded<healthy"]);
    assert_eq!(place.says(State::Left, T + 53_000), ["left true"]);
    assert!(place.look(false, T + 54_000).is_empty());
    assert_eq!(
        place.says(State::Healthy, T + 55_000),
        ["joined 1 1", "healthy<"]
    );
}

#[test]
fn one_that_never_worked_is_there_all_the_same() {
    let mut place = Place::new();
    assert_eq!(
        place.says(State::Unhealthy, T),
        ["joined 1 0", "unhealthy<"]
    );
    assert_eq!(
        place.says(State::Healthy, T + 1),
        ["healthy<unhealthy", "changed 1"]
    );
}

#[test]
fn instances_come_and_go_without_a_word() {
    let mut place = Place::new();
    assert_eq!(place.says(State::Healthy, T).len(), 2);
    let mut other = beat("gh", "i2", State::Healthy);
    assert!(place.hear(other.clone(), T).is_empty());
    other.tools = Tools::new(Vec::new());
    other.since += 1;
    assert_eq!(
        place.hear(other.clone(), T + 1),
        ["changed 0"],
        "the younger"
    );
    // Whoever was heard last: they take no turns.
    for n in 0..5 {
        assert!(place.says(State::Healthy, T + 10 * n).is_empty());
        assert!(place.hear(other.clone(), T + 10 * n + 5).is_empty());
    }
    other.state = State::Left;
    assert_eq!(place.hear(other, T + 100), ["changed 1"]);
    assert_eq!(place.says(State::Left, T + 101), ["left true"]);
}

#[test]
fn silence_is_told_and_being_forgotten() {
    let mut place = Place::new();
    assert_eq!(place.says(State::Healthy, T).len(), 2);
    assert!(place.look(false, T + 14_999).is_empty());
    assert_eq!(
        place.look(false, T + 15_000),
        ["unhealthy<healthy no heartbeat for 15 s"]
    );
    assert!(place.look(false, T + 20_000).is_empty(), "once");
    assert_eq!(
        place.says(State::Healthy, T + 21_000),
        ["healthy<unhealthy"]
    );
    // Who hears nothing at all does not blame the silent.
    place.life.was_deaf(T + 60_000);
    assert!(place.look(false, T + 74_999).is_empty());
    assert_eq!(place.look(false, T + 75_000).len(), 1);
    assert_eq!(place.servers.forget(T + 700_000).len(), 1);
    assert_eq!(place.look(false, T + 700_000), ["left false"]);
}

#[test]
fn another_control_plane_goes_on_where_the_last_one_ended() {
    let mut place = Place::new();
    assert_eq!(place.says(State::Healthy, T).len(), 2);
    place.restart(T + 300_000);
    assert!(place.look(false, T + 314_999).is_empty(), "not heard yet");
    assert!(place.says(State::Healthy, T + 314_999).is_empty());
    place.restart(T + 400_000);
    assert_eq!(place.look(false, T + 415_000).len(), 1, "it is silent");
    // Silent as it is told to be, it did not recover because somebody else listens.
    place.restart(T + 450_000);
    assert!(place.look(false, T + 450_001).is_empty());
    assert!(place.look(false, T + 470_000).is_empty());
    place.restart(T + 480_000);
    let healthy = ["healthy<unhealthy"];
    assert_eq!(place.says(State::Healthy, T + 480_001), healthy, "the twin");
    // It went, or was forgotten, while nobody was there to tell.
    place.servers = Servers::default();
    place.restart(T + 500_000);
    assert!(place.look(false, T + 514_999).is_empty(), "it may be there");
    assert_eq!(place.look(false, T + 515_000), ["left false"]);
    // The twin that is there all the same.
    assert_eq!(place.says(State::Healthy, T + 516_000).len(), 2);
    place.servers = Servers::default();
    place.restart(T + 600_000);
    assert!(place.says(State::Healthy, T + 604_000).is_empty());
    assert!(place.look(false, T + 615_000).is_empty());
}

#[test]
fn one_that_flickers_is_told_of_at_a_pace() {
    let mut place = Place::new();
    let flicker = |n: u64| [State::Healthy, State::Unhealthy][usize::from(n % 2 == 1)];
    let told = (0..1001).map(|n| place.says(flicker(n), T).len());
    assert_eq!(told.filter(|told| *told > 0).count(), 32);
    assert!(place.look(false, T + 999).is_empty());
    assert_eq!(
        place.look(false, T + 1000),
        ["healthy<unhealthy"],
        "the last"
    );
    // Nor does it help to leave.
    assert!(place.says(State::Left, T + 1001).is_empty());
    assert_eq!(
        place.look(false, T + 2000),
        ["left true"],
        "a goodbye waits"
    );
    assert!(place.life.known.contains_key(&name()));
    assert!(place.look(false, T + 60_000).is_empty());
    assert!(place.life.known.is_empty(), "nothing is kept for ever");
}

#[test]
fn news_are_events_of_the_catalogue() {
    let mut place = Place::new();
    place.servers.hear(beat("gh", "i1", State::Unhealthy), T);
    let turn = place
        .life
        .look(&name(), &place.servers, false, T)
        .expect("news");
    let kinds: Vec<_> = turn.news.iter().map(|news| news.event().kind).collect();
    assert_eq!(kinds, [ServerJoined::TYPE, HealthCheck::TYPE]);
    let mut long = beat("gh", "i1", State::Degraded);
    long.last_error = Some("x".repeat(2000));
    place.servers.hear(long, T);
    let turn = place
        .life
        .look(&name(), &place.servers, false, T)
        .expect("news");
    let written = serde_json::to_string(&turn.told).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Option<Told>>(&written).ok(),
        Some(turn.told)
    );
    let data: HealthCheck = turn.news[0].event().data().expect("its data");
    assert_eq!(data.error.map(|why| why.len()), Some(REASON_CHARS_MAX));
}

#[test]
fn who_is_forestalled_goes_on_from_what_was_told() {
    let mut place = Place::new();
    assert_eq!(place.says(State::Healthy, T).len(), 2);
    assert_eq!(place.says(State::Unhealthy, T + 1).len(), 1);
    // Another one had told that already, and that it is well again.
    let told = Told {
        status: Health::Healthy,
        tools: 1,
        digest: beat("gh", "i1", State::Healthy).tools.digest,
    };
    place.life.forestalled(&name(), Some(told), T + 2);
    let soon = place.look(false, T + 3);
    assert!(soon.is_empty(), "it was not heard here yet: {soon:?}");
    let heard = place.says(State::Healthy, T + 4);
    assert!(heard.is_empty(), "{heard:?}");
    assert!(
        place.look(false, T + 2 + QUIET_MS).is_empty(),
        "both see the same"
    );
    assert_eq!(
        place.says(State::Unhealthy, T + 3 + QUIET_MS).len(),
        1,
        "the twin"
    );
    // A goodbye that is heard while nothing is told is one later.
    let told = place.life.known[&name()].told.clone();
    place.life.forestalled(&name(), told, T + 3 + QUIET_MS);
    assert!(place.says(State::Left, T + 4 + QUIET_MS).is_empty());
    assert_eq!(place.look(false, T + 3 + 2 * QUIET_MS), ["left true"]);
}
