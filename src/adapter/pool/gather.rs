//! What several members tell of the same change, told once. Pure.
//!
//! Nobody can know that two members mean the same; but a change that all of them see, they tell
//! one right after the other. So what one tells is held for a moment, and what others say of the
//! same list meanwhile is that. The last word is always told.

use std::time::Duration;

use tokio::time::Instant;

use crate::adapter::status::{Changed, Touched};

/// How long what one member tells is held.
pub(super) const TOGETHER: Duration = Duration::from_millis(250);
/// Resources that are held; of more it is not told which they are.
const TOUCHED_MAX: usize = 64;

/// What is held.
#[derive(Debug, Default)]
pub(super) struct Gather {
    changed: Vec<Changed>,
    touched: Vec<Touched>,
    due: Option<Instant>,
}

impl Gather {
    /// Holds a change of a list.
    pub(super) fn change(&mut self, changed: Changed, now: Instant) {
        if !self.changed.contains(&changed) {
            self.changed.push(changed);
        }
        self.due.get_or_insert(now + TOGETHER);
    }

    /// Holds a change of a resource.
    pub(super) fn touch(&mut self, touched: Touched, now: Instant) {
        if !self.touched.contains(&touched) {
            self.touched.push(touched);
        }
        if self.touched.len() > TOUCHED_MAX {
            let list = self.touched.contains(&Touched::List);
            self.touched = vec![Touched::Some];
            self.touched.extend(list.then_some(Touched::List));
        }
        self.due.get_or_insert(now + TOGETHER);
    }

    /// When what is held is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be told now.
    pub(super) fn take(&mut self, now: Instant) -> (Vec<Changed>, Vec<Touched>) {
        if self.due.take_if(|due| *due <= now).is_none() {
            return Default::default();
        }
        (
            std::mem::take(&mut self.changed),
            std::mem::take(&mut self.touched),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::follow::{PROMPTS, TOOLS};

    #[tokio::test(start_paused = true)]
    async fn what_several_say_is_told_once_and_the_last_word_always() {
        let (mut gather, begin) = (Gather::default(), Instant::now());
        let at = |ms| begin + Duration::from_millis(ms);
        for ms in [0, 100, 249] {
            gather.change(TOOLS, at(ms));
            gather.touch(Touched::List, at(ms));
            assert_eq!(gather.take(at(ms)), (vec![], vec![]), "{ms}");
        }
        gather.change(PROMPTS, at(249));
        assert_eq!(gather.due(), Some(at(250)));
        let told = gather.take(at(250));
        assert_eq!(told, (vec![TOOLS, PROMPTS], vec![Touched::List]));
        assert_eq!(gather.due(), None);
        gather.change(TOOLS, at(251));
        assert_eq!(gather.take(at(501)), (vec![TOOLS], vec![]), "another one");
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_resources_it_is_not_told_which() {
        let (mut gather, now) = (Gather::default(), Instant::now());
        let one = |n: usize| Touched::One(format!("a:{n}").into());
        gather.touch(Touched::List, now);
        for n in 0..1000 {
            gather.touch(one(n), now);
            assert!(gather.touched.len() <= TOUCHED_MAX);
        }
        let (_, told) = gather.take(now + TOGETHER);
        assert!(told.contains(&Touched::Some) && told.contains(&Touched::List));
    }
}
