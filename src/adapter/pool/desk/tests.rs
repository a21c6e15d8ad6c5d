//! The desk under every order of what may happen to it; its single rules are in `rules`.

mod rules;

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::name::Identity;

const MS: Duration = Duration::from_millis(1);
const UP: Seen = Seen {
    health: Health::Up,
    starts: 0,
};
const FAILED: Seen = Seen {
    health: Health::Failed,
    starts: 0,
};

fn options(max: usize, min: usize, calls: usize, waiting: usize) -> Options {
    Options {
        max,
        min,
        calls,
        waiting,
        idle: 1000 * MS,
        ..Options::default()
    }
}

fn pinned(options: Options) -> Options {
    Options {
        pin: Pin::Caller,
        ..options
    }
}

fn caller(n: u8) -> Caller {
    Caller(vec![Identity::new(&format!("c{n}")).expect("a name")])
}

/// Who has a place: the member, and the caller where that matters.
type Held = (u64, Option<Caller>);

/// A desk with what a pool does around it, every rule of it checked after each step.
struct Shell {
    desk: Desk<(), u64>,
    options: Options,
    now: Instant,
    held: Vec<Held>,
    /// Ticket, caller, and number, in order of arrival.
    waiting: Vec<(u64, Option<Caller>, u64)>,
    /// Numbers that were told that there is nobody.
    shut: Vec<u64>,
    /// Numbers in the order in which they got a place.
    served: Vec<u64>,
    /// Who had a member, ever.
    users: HashMap<u64, Caller>,
    next: u64,
}

impl Shell {
    fn new(options: Options) -> Self {
        let mut shell = Self {
            desk: Desk::new(options.bounded(), Backoff::default()),
            options: options.bounded(),
            now: Instant::now(),
            held: Vec::new(),
            waiting: Vec::new(),
            shut: Vec::new(),
            served: Vec::new(),
            users: HashMap::new(),
            next: 0,
        };
        shell.act();
        shell
    }

    /// One with all its first members up.
    fn up(options: Options) -> Self {
        let mut shell = Self::new(options);
        shell.hear_all(UP);
        shell
    }

    fn hear_all(&mut self, seen: Seen) {
        for at in 0..self.desk.seats.len() {
            self.desk.hear(at, seen, self.now);
        }
        self.act();
    }

    fn hear(&mut self, id: u64, seen: Seen) {
        let at = self.desk.at(id).expect("it is there");
        self.desk.hear(at, seen, self.now);
        self.act();
    }

    fn who(&self, n: u8) -> Option<Caller> {
        (self.options.pin == Pin::Caller).then(|| caller(n))
    }

    fn ask(&mut self, n: u8) -> Asked {
        let who = self.who(n);
        let asked = self.desk.ask(who.as_ref(), self.now);
        let number = self.next;
        self.next += 1;
        match asked {
            Asked::Place(at) => {
                assert!(
                    !self
                        .waiting
                        .iter()
                        .any(|(_, who, _)| self.fits(at, who.as_ref())),
                    "somebody waits for it"
                );
                self.seize(at, who.clone(), number);
                self.desk.take(at, who.as_ref());
            }
            Asked::Wait => {
                let ticket = self.desk.wait(who.clone(), number);
                self.waiting.push((ticket, who, number));
            }
            _ => {}
        }
        self.act();
        asked
    }

    /// Whether a caller may have a place of this member, by the words of the options alone.
    fn fits(&self, at: usize, who: Option<&Caller>) -> bool {
        let seat = &self.desk.seats[at];
        if seat.phase != Phase::Up || seat.used >= self.options.calls {
            return false;
        }
        let own = |seat: &Seat<()>| seat.phase == Phase::Up && seat.owner.as_ref() == who;
        match self.options.pin {
            Pin::None => true,
            Pin::Caller if seat.owner.is_some() => own(seat),
            Pin::Caller => !self.desk.seats.iter().any(own),
        }
    }

    fn seize(&mut self, at: usize, who: Option<Caller>, number: u64) {
        assert!(self.fits(at, who.as_ref()), "it is his to have");
        let id = self.desk.seats[at].id;
        if let Some(who) = &who {
            let first = self.users.entry(id).or_insert_with(|| who.clone());
            assert_eq!(first, who, "a member is one caller's for ever");
        }
        self.held.push((id, who));
        self.served.push(number);
    }

    fn give_back(&mut self, at: usize) {
        let (id, _) = self.held.remove(at);
        self.desk.give_back(id, self.now);
        self.act();
    }

    fn forget(&mut self, at: usize) {
        let (ticket, ..) = self.waiting.remove(at);
        self.desk.forget(ticket);
        self.act();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.act();
    }

    /// What the owner of a pool does. Members that end are gone when the test says so.
    fn act(&mut self) {
        self.desk.tick(self.now);
        while let Some((first, at)) = self.desk.turn() {
            for (_, who, _) in &self.waiting[..first] {
                let open = (0..self.desk.seats.len()).any(|at| self.fits(at, who.as_ref()));
                assert!(!open, "who came first is served first");
            }
            let (_, who, number) = self.waiting.remove(first);
            self.seize(at, who, number);
            assert_eq!(self.desk.grant((first, at)), Some(number));
        }
        let shut: Vec<u64> = self.desk.forsaken(self.now).collect();
        if !shut.is_empty() {
            assert!(!self.desk.serves(self.now));
            self.waiting.clear();
            self.shut.extend(shut);
        }
        while self.desk.wants(self.now) {
            self.desk.add((), self.now);
        }
        self.desk.leave().for_each(drop);
        self.check();
    }

    fn check(&self) {
        let desk = &self.desk;
        assert!(desk.seats.len() <= self.options.max);
        for (at, seat) in desk.seats.iter().enumerate() {
            let held = self.held.iter().filter(|(id, _)| *id == seat.id).count();
            assert_eq!(seat.used, held, "places are given back, each once");
            assert!(seat.used <= self.options.calls);
            assert!(seat.used == 0 || seat.phase != Phase::Ending);
            for (_, who, _) in &self.waiting {
                assert!(!self.fits(at, who.as_ref()), "nobody waits beside a place");
            }
        }
        let gauges = desk.gauges();
        assert_eq!(gauges.waiting, self.waiting.len());
        assert!(gauges.waiting <= self.options.waiting);
        assert!(desk.due(self.now).is_none_or(|due| due > self.now), "done");
        assert!(
            desk.serves(self.now) || self.waiting.is_empty(),
            "nobody waits for nobody"
        );
    }

    fn gone(&mut self) {
        let ending = |seat: &&Seat<()>| seat.phase == Phase::Ending;
        if let Some(id) = self.desk.seats.iter().find(ending).map(|seat| seat.id) {
            assert!(self.desk.gone(id).is_some());
        }
        self.act();
    }

    fn phases(&self) -> Vec<Phase> {
        self.desk.seats.iter().map(|seat| seat.phase).collect()
    }
}

/// Something that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Ask(u8),
    GiveBack(usize),
    Forget(usize),
    Hear(usize, Health, bool),
    Pass(u64),
    Gone,
}

fn step() -> impl Strategy<Value = Step> {
    let health = prop_oneof![
        4 => Just(Health::Up),
        1 => Just(Health::Failed),
        1 => Just(Health::Starting),
    ];
    prop_oneof![
        8 => (0u8..6).prop_map(Step::Ask),
        6 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Forget),
        4 => (any::<usize>(), health, prop::bool::weighted(0.1))
            .prop_map(|(at, health, again)| Step::Hear(at, health, again)),
        2 => (0u64..1500).prop_map(Step::Pass),
        2 => Just(Step::Gone),
    ]
}

fn some_options() -> impl Strategy<Value = Options> {
    let pin = prop_oneof![Just(Pin::None), Just(Pin::Caller)];
    (1usize..5, 1usize..4, 1usize..4, 0usize..8, pin).prop_map(|(max, min, calls, waiting, pin)| {
        Options {
            pin,
            ..options(max, min, calls, waiting)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happens in whatever order: never more members than may be, never more calls on one
    /// than it takes, first come first served, nobody waits while a place is free that he may have,
    /// no member sees two callers where each has his own, and every place is given back.
    #[test]
    fn every_order_keeps_the_rules(
        options in some_options(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut shell = Shell::new(options);
        for step in steps {
            match step {
                Step::Ask(who) => drop(shell.ask(who)),
                Step::GiveBack(n) if !shell.held.is_empty() => {
                    shell.give_back(n % shell.held.len());
                }
                Step::Forget(n) if !shell.waiting.is_empty() => {
                    shell.forget(n % shell.waiting.len());
                }
                Step::Hear(n, health, again) if !shell.desk.seats.is_empty() => {
                    let at = n % shell.desk.seats.len();
                    let seat = &shell.desk.seats[at];
                    let starts = seat.starts + u64::from(again);
                    shell.hear(seat.id, Seen { health, starts });
                }
                Step::Pass(ms) => shell.pass(u32::try_from(ms).expect("few") * MS),
                Step::Gone => shell.gone(),
                _ => {}
            }
        }
        // In the end all comes back, and what is beyond the kept ones goes.
        while !shell.held.is_empty() {
            shell.give_back(0);
        }
        prop_assert_eq!(shell.desk.gauges().calls, 0);
        while !shell.waiting.is_empty() {
            shell.forget(0);
        }
        for _ in 0..3 * options.max {
            shell.hear_all(Seen { starts: 99, ..UP });
            // Longer than members are held back, whatever failed.
            shell.pass(Duration::from_secs(31));
            shell.gone();
        }
        prop_assert_eq!(shell.desk.kept(), shell.options.min);
        prop_assert!(shell.desk.seats.iter().all(|seat| seat.owner.is_none()));
        prop_assert!(shell.ask(0) != Asked::Shut, "and it goes on");
    }
}
