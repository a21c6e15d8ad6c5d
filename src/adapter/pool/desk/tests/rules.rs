//! The single rules of the desk, by hand.

use super::*;

#[test]
fn the_first_ones_are_not_waited_for() {
    let mut shell = Shell::new(options(3, 2, 1, 9));
    assert_eq!(shell.phases(), [Phase::New, Phase::New]);
    assert_eq!(shell.ask(0), Asked::Shut, "it is being started: as ever");
    shell.hear(1, UP);
    assert_eq!(shell.ask(0), Asked::Place(0), "up with the first");
}

#[test]
fn the_most_used_is_filled_and_the_others_go() {
    let mut shell = Shell::up(options(3, 1, 2, 9));
    for n in 0..5 {
        shell.ask(n);
    }
    assert_eq!(shell.phases(), [Phase::Up, Phase::New, Phase::New]);
    shell.hear_all(UP);
    let used = |shell: &Shell| -> Vec<usize> {
        let seats = shell.desk.seats.iter();
        seats.map(|seat| seat.used).collect()
    };
    assert_eq!(used(&shell), [2, 2, 1]);
    // One place each at the first and the second; the next calls leave the third alone.
    let at = |shell: &Shell, id| shell.held.iter().position(|held| held.0 == id);
    shell.give_back(at(&shell, 1).expect("it is used"));
    shell.give_back(at(&shell, 3).expect("it is used"));
    assert_eq!(used(&shell), [1, 2, 0]);
    assert_eq!(shell.ask(9), Asked::Place(0));
    shell.pass(999 * MS);
    assert_eq!(shell.phases(), [Phase::Up; 3]);
    shell.pass(MS);
    assert_eq!(shell.phases(), [Phase::Up, Phase::Up, Phase::Ending]);
    shell.gone();
    assert_eq!(used(&shell), [2, 2]);
}

#[test]
fn members_are_started_for_those_who_wait_and_no_more() {
    let mut shell = Shell::up(options(10, 1, 3, 99));
    for n in 0..3 {
        assert_eq!(shell.ask(n), Asked::Place(0));
    }
    for (more, members) in [(1, 2), (2, 2), (1, 3), (2, 3), (1, 4)] {
        for n in 0..more {
            assert_eq!(shell.ask(n), Asked::Wait);
        }
        assert_eq!(shell.desk.seats.len(), members);
    }
    shell.hear_all(UP);
    assert_eq!(shell.served, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_queue_has_an_end_and_who_leaves_it_makes_room() {
    let mut shell = Shell::up(options(1, 1, 1, 2));
    let asked: Vec<Asked> = (0..4).map(|n| shell.ask(n)).collect();
    assert_eq!(
        asked,
        [Asked::Place(0), Asked::Wait, Asked::Wait, Asked::Crowded]
    );
    shell.forget(0);
    assert_eq!(shell.ask(4), Asked::Wait);
    shell.give_back(0);
    shell.give_back(0);
    assert_eq!(shell.served, [0, 2, 4], "no hole where one left");
}

#[test]
fn a_spare_one_that_fails_goes_and_a_kept_one_comes_back() {
    let mut shell = Shell::up(options(2, 1, 1, 9));
    shell.ask(0);
    shell.ask(1);
    shell.hear_all(UP);
    assert_eq!(shell.phases(), [Phase::Up; 2]);
    shell.hear(1, FAILED);
    assert_eq!(
        shell.phases(),
        [Phase::Leaving, Phase::Up],
        "its call ends first"
    );
    let at = shell.held.iter().position(|held| held.0 == 1);
    shell.give_back(at.expect("it was used"));
    assert_eq!(shell.phases(), [Phase::Ending, Phase::Up]);
    shell.gone();
    shell.hear(2, FAILED);
    assert_eq!(shell.phases(), [Phase::Down], "the last one is kept");
    assert_eq!(shell.ask(2), Asked::Shut);
    let again = |health| Seen { health, starts: 1 };
    shell.hear(2, again(Health::Starting));
    assert_eq!(shell.ask(2), Asked::Shut, "not waited for, as ever");
    shell.hear(2, again(Health::Up));
    assert_eq!(shell.phases(), [Phase::Up]);
}

#[test]
fn who_waits_is_told_when_all_are_down() {
    for others in [false, true] {
        let mut shell = Shell::up(options(1 + usize::from(others), 1, 1, 9));
        shell.ask(0);
        shell.ask(1);
        shell.hear(1, FAILED);
        // The second member is on its way: there is somebody to wait for.
        assert_eq!(shell.shut.is_empty(), others);
    }
}

#[test]
fn members_that_fail_are_started_ever_later() {
    let mut shell = Shell::up(options(2, 1, 1, 9));
    shell.ask(0);
    shell.ask(1);
    for (wait, id) in [(100, 2), (200, 3), (400, 4)] {
        shell.hear(id, FAILED);
        shell.gone();
        assert_eq!(shell.desk.seats.len(), 1);
        shell.pass((wait - 1) * MS);
        assert_eq!(shell.desk.seats.len(), 1, "{wait}");
        assert_eq!(shell.desk.due(shell.now), Some(shell.now + MS));
        shell.pass(MS);
        assert_eq!(shell.desk.seats.len(), 2, "{wait}");
    }
    shell.hear(5, UP);
    shell.give_back(1);
    shell.ask(2);
    shell.pass(Duration::from_secs(60));
    shell.hear(5, FAILED);
    shell.give_back(1);
    shell.ask(2);
    shell.gone();
    shell.pass(100 * MS);
    let new = shell.phases().contains(&Phase::New);
    assert!(new, "it begins anew after a minute");
}

#[test]
fn each_caller_has_his_own_and_nobody_gets_one_that_was_used() {
    let mut shell = Shell::up(pinned(options(2, 1, 1, 9)));
    assert_eq!(shell.ask(1), Asked::Place(0));
    assert_eq!(shell.ask(1), Asked::Wait, "for his own");
    assert_eq!(shell.desk.seats.len(), 1, "another would be of no use");
    assert_eq!(shell.ask(2), Asked::Wait);
    assert_eq!(shell.ask(2), Asked::Wait);
    assert_eq!(shell.desk.seats.len(), 2, "one for both of his calls");
    assert_eq!(shell.ask(3), Asked::Wait);
    shell.hear(2, UP);
    assert_eq!(shell.served, [0, 2]);
    shell.give_back(0);
    assert_eq!(shell.served, [0, 2, 1]);
    for _ in 0..3 {
        shell.give_back(0);
    }
    assert_eq!(shell.waiting.len(), 1, "the third caller has to wait");
    shell.pass(1000 * MS);
    assert_eq!(shell.phases(), [Phase::Ending; 2], "the only one, too");
    assert!(
        shell.desk.serves(shell.now),
        "and it is waited for the next"
    );
    shell.gone();
    assert_eq!(shell.phases(), [Phase::Ending, Phase::New]);
    shell.hear(3, UP);
    assert_eq!(shell.served, [0, 2, 1, 3, 4]);
}

#[test]
fn a_member_that_was_started_again_unseen_is_no_longer_its_callers() {
    for starts in [0, 1] {
        let mut shell = Shell::up(pinned(options(2, 1, 1, 9)));
        shell.ask(1);
        shell.give_back(0);
        let health = Health::Up;
        shell.hear(1, Seen { health, starts });
        let lost = shell.phases()[0] == Phase::Ending;
        assert_eq!(lost, starts == 1);
    }
}

/// Nobody wakes the owner of a pool when a member gets a caller: it looks again in time by itself.
#[test]
fn a_pin_ends_although_nobody_says_that_it_began() {
    let mut shell = Shell::up(pinned(options(1, 1, 1, 9)));
    let mut due = shell.desk.due(shell.now).expect("it looks again");
    assert_eq!(shell.ask(1), Asked::Place(0));
    shell.now += 100 * MS;
    let id = shell.held.remove(0).0;
    shell.desk.give_back(id, shell.now);
    let ends = shell.now + 1000 * MS;
    while due < ends {
        shell.now = due;
        shell.act();
        due = shell.desk.due(shell.now).expect("it looks again");
    }
    assert_eq!((due, shell.phases()), (ends, vec![Phase::Up]));
    shell.now = due;
    shell.act();
    assert_eq!(shell.phases(), [Phase::Ending]);
}

#[test]
fn a_closed_desk_takes_and_starts_nothing() {
    let mut shell = Shell::up(options(2, 1, 1, 9));
    shell.ask(0);
    shell.ask(1);
    shell.desk.close();
    shell.act();
    assert_eq!(shell.shut, [1]);
    assert_eq!(shell.ask(2), Asked::Closed);
    assert!(!shell.desk.wants(shell.now));
}
