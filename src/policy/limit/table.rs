//! Who used up what, for as many callers and tools as there is room for.
//!
//! What is counted never depends on what a caller makes up: a caller has room for some tools, and
//! what he calls beyond them shares one meter, which is his own. Callers beyond those that there is
//! room for share one as well. Both bring more refusals and never fewer.

use std::{hash::BuildHasher as _, time::Duration};

use foldhash::{HashMap, HashMapExt as _, quality::RandomState};

use super::{
    Rules,
    meter::{Meter, Over, Rule},
};
use crate::name::Identity;

/// Callers of one server that are counted each for himself.
pub const CALLERS_MAX: usize = 10_000;
/// Tools of one caller that are counted each for itself.
pub const TOOLS_MAX: usize = 64;
/// Callers that nothing is known of any more are looked for once in this time at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// All meters of one server.
#[derive(Debug)]
pub(super) struct Table {
    callers: HashMap<Identity, Caller>,
    /// Callers that there is no room for.
    others: Caller,
    swept: Option<Duration>,
    /// Tools are known by digests of their names: a name may be as long as a request.
    digests: RandomState,
}

#[derive(Debug, Default)]
struct Caller {
    all: Meter,
    tools: HashMap<u64, Meter>,
    /// Tools that there is no room for.
    others: Meter,
}

/// Where a call was counted, so that its end is counted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    caller: Option<Identity>,
    tool: Tool,
}

/// Which meter of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    /// None is called, or no rule is about tools.
    None,
    Own(u64),
    Others,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            callers: HashMap::new(),
            others: Caller::default(),
            swept: None,
            digests: RandomState::default(),
        }
    }

    /// Takes a call, or says which rule does not let it through. Nothing is counted of a call that
    /// is refused.
    pub(super) fn take<'r>(
        &mut self,
        rules: &'r Rules,
        (who, tool): (&Identity, Option<&str>),
        now: Duration,
    ) -> Result<Place, (&'r Rule, Over)> {
        let rule = tool.and_then(|tool| rules.of_tool(tool));
        let digest = tool
            .filter(|_| rule.is_some())
            .map(|tool| self.digests.hash_one(tool));
        let known = self.callers.contains_key(who) || self.room(now);
        let caller = if known {
            // Only a caller that is new is put down.
            self.callers.entry(who.clone()).or_default()
        } else {
            &mut self.others
        };
        let place = digest.map_or(Tool::None, |digest| caller.place(digest, now));
        let over = |rule: &'r Rule| move |over| (rule, over);
        caller
            .all
            .check(&rules.caller, now)
            .map_err(over(&rules.caller))?;
        if let (Some(rule), Some(meter)) = (rule, caller.tool(place)) {
            meter.check(rule, now).map_err(over(rule))?;
            meter.take(rule, now);
        }
        caller.all.take(&rules.caller, now);
        Ok(Place {
            caller: known.then(|| who.clone()),
            tool: place,
        })
    }

    /// A call ended.
    pub(super) fn give_back(&mut self, place: &Place) {
        let caller = match &place.caller {
            None => Some(&mut self.others),
            Some(who) => self.callers.get_mut(who),
        };
        // Whoever has a call under way is never forgotten.
        if let Some(caller) = caller {
            caller.all.give_back();
            if let Some(meter) = caller.tool(place.tool) {
                meter.give_back();
            }
        }
    }

    /// The rules are others from now on.
    pub(super) fn adapt(&mut self, rules: &Rules, now: Duration) {
        for caller in self.callers.values_mut().chain([&mut self.others]) {
            caller.all.adapt(&rules.caller, now);
            // Of a tool only the digest is known: the widest rule there is stands for its own.
            let rule = rules.longest_quota();
            for meter in caller.tools.values_mut().chain([&mut caller.others]) {
                meter.adapt(rule, now);
            }
        }
    }

    /// Whether there is room for one more caller. Makes some where that is not so, by forgetting
    /// those that a new meter would say the same of.
    fn room(&mut self, now: Duration) -> bool {
        if self.callers.len() < CALLERS_MAX {
            return true;
        }
        let due = self.swept.is_none_or(|swept| now >= swept + SWEEP_EVERY);
        if due {
            self.swept = Some(now);
            self.callers.retain(|_, caller| !caller.is_idle(now));
        }
        self.callers.len() < CALLERS_MAX
    }

    /// How many meters there are.
    #[cfg(test)]
    fn size(&self) -> usize {
        let callers = self.callers.values().chain([&self.others]);
        callers.map(|caller| 2 + caller.tools.len()).sum()
    }
}

impl Caller {
    /// Which meter a tool has.
    fn place(&mut self, digest: u64, now: Duration) -> Tool {
        if self.tools.contains_key(&digest) {
            return Tool::Own(digest);
        }
        if self.tools.len() >= TOOLS_MAX {
            self.tools.retain(|_, meter| !meter.is_idle(now));
        }
        if self.tools.len() >= TOOLS_MAX {
            return Tool::Others;
        }
        self.tools.insert(digest, Meter::default());
        Tool::Own(digest)
    }

    fn tool(&mut self, tool: Tool) -> Option<&mut Meter> {
        match tool {
            Tool::None => None,
            Tool::Own(digest) => self.tools.get_mut(&digest),
            Tool::Others => Some(&mut self.others),
        }
    }

    fn is_idle(&self, now: Duration) -> bool {
        let meters = self.tools.values().chain([&self.all, &self.others]);
        meters.into_iter().all(|meter| meter.is_idle(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limit::{Quota, Rate};

    const DAY: Duration = Duration::from_secs(86_400);

    fn who(n: usize) -> Identity {
        Identity::new(&format!("caller-{n}")).expect("a name")
    }

    /// One call a day of each tool, for each caller.
    fn rules() -> Rules {
        let quota = Some(Quota {
            count: 1,
            per: DAY,
            text: "1/d".into(),
        });
        Rules {
            tool: Rule {
                quota,
                ..Rule::default()
            },
            ..Rules::default()
        }
    }

    #[test]
    fn a_hundred_thousand_made_up_tools_cost_one_caller_his_own_room() {
        let (mut table, rules) = (Table::new(), rules());
        let mut passed = 0;
        for n in 0..100_000 {
            let tool = format!("made-up-{n}");
            passed += usize::from(table.take(&rules, (&who(0), Some(&tool)), DAY).is_ok());
        }
        assert_eq!(passed, TOOLS_MAX + 1, "and one for all others");
        assert!(table.size() <= TOOLS_MAX + 4, "{}", table.size());
        let twin = table.take(&rules, (&who(1), Some("made-up-99999")), DAY);
        assert!(twin.is_ok(), "another caller has room of his own");
    }

    #[test]
    fn a_hundred_thousand_callers_have_bounded_room() {
        let (mut table, mut rules) = (Table::new(), Rules::default());
        rules.caller.quota = rules_quota();
        let call = |table: &mut Table, n| table.take(&rules, (&who(n), None), DAY).is_ok();
        let passed = (0..100_000).filter(|n| call(&mut table, *n)).count();
        assert_eq!(passed, CALLERS_MAX + 1, "the others share one call");
        assert!(table.size() <= 2 * (CALLERS_MAX + 1), "{}", table.size());
        // A day later nothing is known of them, and there is room again.
        for n in 0..CALLERS_MAX {
            let caller = Some(who(n));
            let tool = Tool::None;
            table.give_back(&Place { caller, tool });
        }
        let later = |table: &mut Table, n| table.take(&rules, (&who(n), None), DAY * 3).is_ok();
        assert!(later(&mut table, 50_000) && later(&mut table, 50_001));
        assert!(table.callers.len() < 10, "{}", table.callers.len());
    }

    fn rules_quota() -> Option<Quota> {
        rules().tool.quota
    }

    #[test]
    fn what_is_refused_by_one_rule_costs_nothing_of_the_other() {
        let mut rules = rules();
        rules.caller.quota = rules_quota().map(|quota| Quota { count: 2, ..quota });
        let mut table = Table::new();
        let mut call = |tool| table.take(&rules, (&who(0), Some(tool)), DAY).is_ok();
        assert!(call("a"));
        assert!(!call("a"), "once a day");
        assert!(call("b"), "the one before was not counted");
        assert!(!call("c"), "two in all");
    }

    #[test]
    fn a_call_that_ended_makes_room_where_it_was_counted() {
        let mut rules = Rules::default();
        rules.tool.in_flight = Some(1);
        rules.tool.rate = Some(Rate {
            count: 1000,
            per: Duration::from_secs(1),
            burst: 1000,
            text: "1000/s".into(),
        });
        let mut table = Table::new();
        let place = table.take(&rules, (&who(0), Some("a")), DAY).expect("one");
        assert!(table.take(&rules, (&who(0), Some("a")), DAY).is_err());
        let twin = table.take(&rules, (&who(0), Some("b")), DAY);
        table.give_back(&twin.expect("another tool"));
        table.give_back(&place);
        table.take(&rules, (&who(0), Some("a")), DAY).expect("room");
    }
}
