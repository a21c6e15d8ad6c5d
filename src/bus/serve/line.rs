//! The line itself: who waits, whose turn is next, and who has to go where it is full. Pure.

use std::collections::{HashMap, VecDeque};

use crate::name::Identity;

/// Those who wait. Each caller has a line of his own, and callers have turns.
pub(super) struct Line<T> {
    callers: HashMap<Identity, VecDeque<Waiter<T>>>,
    /// Callers who wait, in the order of their turns.
    turns: VecDeque<Identity>,
    calls: usize,
    bytes: usize,
    /// Numbers handed out so far.
    last: u64,
}

struct Waiter<T> {
    number: u64,
    bytes: usize,
    what: T,
}

/// With this somebody leaves the line.
#[derive(Debug)]
pub(super) struct Left {
    caller: Identity,
    number: u64,
}

impl Left {
    /// Whether this is his.
    pub(super) fn is_of(&self, caller: &str) -> bool {
        self.caller.as_str() == caller
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            callers: HashMap::new(),
            turns: VecDeque::new(),
            calls: 0,
            bytes: 0,
            last: 0,
        }
    }
}

impl<T> Line<T> {
    pub(super) const fn calls(&self) -> usize {
        self.calls
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes somebody in, at the end of his caller's own line.
    pub(super) fn join(&mut self, caller: &Identity, bytes: usize, what: T) -> Left {
        self.last += 1;
        let number = self.last;
        let own = self.callers.entry(caller.clone()).or_default();
        if own.is_empty() {
            self.turns.push_back(caller.clone());
        }
        own.push_back(Waiter {
            number,
            bytes,
            what,
        });
        self.calls += 1;
        self.bytes += bytes;
        Left {
            caller: caller.clone(),
            number,
        }
    }

    /// Whoever's turn it is: the next caller's oldest call.
    pub(super) fn next(&mut self) -> Option<T> {
        let caller = self.turns.pop_front()?;
        let own = self.callers.get_mut(&caller)?;
        let next = own.pop_front();
        if own.is_empty() {
            self.callers.remove(&caller);
        } else {
            self.turns.push_back(caller);
        }
        next.map(|waiter| self.gone(waiter))
    }

    /// Makes room for a caller: the last call of whoever has most in the line. Nobody goes where that
    /// would be the caller himself, or somebody who has no more than he would have then.
    pub(super) fn displace(&mut self, by: &Identity) -> Option<T> {
        let own = self.callers.get(by).map_or(0, VecDeque::len);
        let longest = self.callers.iter().max_by_key(|(_, line)| line.len());
        let (caller, line) = longest.filter(|(_, line)| line.len() > own + 1)?;
        let (caller, number) = (caller.clone(), line.back()?.number);
        self.take(&caller, number)
    }

    /// Somebody goes, if he is still there.
    pub(super) fn leave(&mut self, left: &Left) -> Option<T> {
        self.take(&left.caller, left.number)
    }

    /// Whoever's turn it is.
    pub(super) fn first(&self) -> Option<&T> {
        let own = self.callers.get(self.turns.front()?)?;
        own.front().map(|waiter| &waiter.what)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.callers.values().flatten().map(|waiter| &waiter.what)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let all = self.callers.values_mut().flatten();
        all.map(|waiter| &mut waiter.what)
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = T> {
        self.callers
            .into_values()
            .flatten()
            .map(|waiter| waiter.what)
    }

    fn take(&mut self, caller: &Identity, number: u64) -> Option<T> {
        let own = self.callers.get_mut(caller)?;
        // They stand in the order of their numbers.
        let at = own
            .binary_search_by_key(&number, |waiter| waiter.number)
            .ok()?;
        let waiter = own.remove(at)?;
        if own.is_empty() {
            self.callers.remove(caller);
            self.turns.retain(|waits| waits != caller);
        }
        Some(self.gone(waiter))
    }

    fn gone(&mut self, waiter: Waiter<T>) -> T {
        self.calls -= 1;
        self.bytes -= waiter.bytes;
        waiter.what
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(caller: u8) -> Identity {
        Identity::new(&format!("c{caller}")).expect("a name")
    }

    #[test]
    fn callers_have_turns_and_each_his_own_order() {
        let mut line = Line::default();
        for call in ["a1", "a2", "a3"] {
            line.join(&name(0), 1, call);
        }
        line.join(&name(1), 1, "b1");
        let left = line.join(&name(2), 1, "c1");
        line.leave(&left);
        line.leave(&left);
        let order: Vec<_> = std::iter::from_fn(|| line.next()).collect();
        assert_eq!(order, ["a1", "b1", "a2", "a3"]);
        assert_eq!((line.calls(), line.bytes()), (0, 0));
    }

    #[test]
    fn who_has_most_makes_room_for_who_has_less() {
        let mut line = Line::default();
        for call in ["a1", "a2", "a3"] {
            line.join(&name(0), 1, call);
        }
        assert_eq!(line.displace(&name(0)), None, "nobody goes for himself");
        assert_eq!(line.displace(&name(1)), Some("a3"));
        line.join(&name(1), 1, "b1");
        assert_eq!(line.displace(&name(1)), None, "he would have as many");
        assert_eq!(line.displace(&name(2)), Some("a2"));
    }

    /// What may happen to a line.
    #[derive(Clone, Debug)]
    enum Step {
        Join(u8, usize),
        Next,
        Leave(usize),
        Displace(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u8..4, 0_usize..100).prop_map(|(who, bytes)| Step::Join(who, bytes)),
            2 => Just(Step::Next),
            1 => (0_usize..50).prop_map(Step::Leave),
            1 => (0_u8..4).prop_map(Step::Displace),
        ]
    }

    proptest! {
        /// Each who joined comes out once, in his caller's order, and nothing is left behind.
        #[test]
        fn nobody_is_lost(steps in prop::collection::vec(step(), 0..200)) {
            let mut line = Line::default();
            let mut tickets = Vec::new();
            let (mut inside, mut last) = (Vec::<(u8, usize)>::new(), [None; 4]);
            for step in steps {
                match step {
                    Step::Join(who, bytes) => {
                        let number = tickets.len();
                        tickets.push((line.join(&name(who), bytes, (who, number)), (who, number), bytes));
                        inside.push((who, number));
                    }
                    Step::Next => match line.next() {
                        None => prop_assert!(inside.is_empty()),
                        Some((who, number)) => {
                            prop_assert!(last[usize::from(who)].is_none_or(|before| before < number));
                            last[usize::from(who)] = Some(number);
                            let at = inside.iter().position(|one| *one == (who, number));
                            inside.remove(at.expect("it was inside"));
                        }
                    },
                    Step::Leave(at) => if let Some((ticket, one, _)) = tickets.get(at) {
                        line.leave(ticket);
                        inside.retain(|inside| inside != one);
                    },
                    Step::Displace(by) => if let Some(gone) = line.displace(&name(by)) {
                        prop_assert_ne!(gone.0, by);
                        inside.retain(|inside| *inside != gone);
                    },
                }
                prop_assert_eq!(line.calls(), inside.len());
                let bytes: usize = tickets.iter().filter(|(_, one, _)| inside.contains(one)).map(|one| one.2).sum();
                prop_assert_eq!(line.bytes(), bytes);
                prop_assert!(line.turns.len() == line.callers.len());
            }
        }
    }
}
