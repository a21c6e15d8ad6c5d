//! The tools about dead letters, and about events that are delivered once more.

use super::{Desk, Outcome, durables::is_of};
use crate::{
    call::Principal,
    control::{letters::event_of, tokens::invalid},
    error::{Error, Kind},
    event::{
        DurableName, Event, LETTERS_MAX, LetterFailed, LetterGet, LetterList, LettersDone,
        LettersNamed, ReplayDeliver, ReplayDelivered, Wish, consumer_name, domains_of,
    },
    name::id,
};

/// Numbers of one delivery.
const NUMBERS_MAX: usize = 256;

/// What is done with a dead letter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// Its event is delivered once more.
    Redrive,
    /// It is removed.
    Drop,
}

impl Desk {
    pub(super) async fn dlq_list(
        &self,
        by: &Principal,
        asked: LetterList,
    ) -> Result<Outcome, Error> {
        for name in [&asked.consumer, &asked.stream].into_iter().flatten() {
            if name.is_empty() || name.contains(['.', '*', '>', ' ']) {
                return Err(invalid(format!(
                    "`{name}` is the name of no consumer and of no stream"
                )));
            }
        }
        let all = by.may("read", &["mesh/dlq"]);
        let may_see = |consumer: &str| all || is_of(&by.identity, consumer);
        let page = self.letters.list(&asked, may_see).await?;
        Ok(Outcome::new(&page))
    }

    pub(super) async fn dlq_show(
        &self,
        by: &Principal,
        asked: LetterGet,
    ) -> Result<Outcome, Error> {
        let entry = self.letters.get(asked.letter).await?;
        self.own(by, &entry.says.consumer, "read")?;
        let may_see = |event: &Event| may(by, "subscribe", event);
        Ok(Outcome::new(&self.letters.show(entry, may_see).await?))
    }

    /// Delivers letters' events once more, or drops the letters: each for itself.
    pub(super) async fn dlq_work(
        &self,
        by: &Principal,
        asked: LettersNamed,
        work: Work,
    ) -> Result<Outcome, Error> {
        if asked.letters.len() > LETTERS_MAX {
            return Err(invalid(format!(
                "argument `letters`: {LETTERS_MAX} at most"
            )));
        }
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for letter in asked.letters {
            match self.dlq_one(by, letter, work).await {
                Ok(()) => done.push(letter),
                Err(error) => {
                    let why = error.message().to_owned();
                    failed.push(LetterFailed { letter, why });
                }
            }
        }
        Ok(Outcome::new(&LettersDone { done, failed }))
    }

    async fn dlq_one(&self, by: &Principal, letter: u64, work: Work) -> Result<(), Error> {
        let entry = self.letters.get(letter).await?;
        self.own(by, &entry.says.consumer, "admin")?;
        match work {
            Work::Redrive => self.letters.redrive(&entry, &self.durables).await,
            Work::Drop => self.letters.remove(letter).await,
        }
    }

    pub(super) async fn replay_deliver(
        &self,
        by: &Principal,
        asked: ReplayDeliver,
    ) -> Result<Outcome, Error> {
        if asked.numbers.len() > NUMBERS_MAX {
            return Err(invalid(format!(
                "argument `numbers`: {NUMBERS_MAX} at most"
            )));
        }
        let stream = asked.stream.as_str();
        if domains_of(stream, &self.events.declared().domains).is_empty() {
            return Err(invalid("argument `stream`: it keeps no events"));
        }
        let own = DurableName::new(&asked.to).map(|name| consumer_name(&by.identity, &name));
        let consumer = own.unwrap_or_else(|_| asked.to.clone());
        let durable = self.durables.get(&consumer);
        let durable = durable.ok_or_else(|| crate::control::durables::absent(&consumer))?;
        self.own(by, &consumer, "admin")?;
        // Once for each time that it is asked for: a replay may be repeated.
        let run = id::delivery();
        let mut delivered = 0;
        for number in asked.numbers {
            let Some(raw) = self.letters.raw().get(stream, number).await? else {
                continue;
            };
            let Ok(event) = event_of(&raw) else {
                continue;
            };
            if !may(by, "replay", &event) {
                return Err(denied(&event));
            }
            if durable.wants(&event) {
                let id = format!("replay-{run}-{number}");
                self.letters.deliver(&consumer, stream, &raw, id).await?;
                delivered += 1;
            }
        }
        Ok(Outcome::new(&ReplayDelivered { delivered }))
    }
}

fn may(by: &Principal, action: &str, event: &Event) -> bool {
    let this = Wish {
        types: vec![event.kind.clone()],
        source: event.source.clone(),
        ..Wish::default()
    };
    this.permitted(action, by).is_ok()
}

fn denied(event: &Event) -> Error {
    let source = event.source.as_ref().map_or("*", |source| source.as_str());
    let needs = format!("replay:events/{source}/{}", event.kind);
    let said = format!("to deliver that event once more needs the permission `{needs}`");
    Error::new(Kind::AccessDenied, said).with("needs", needs)
}
