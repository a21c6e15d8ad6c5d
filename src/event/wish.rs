//! Which events a reader wants: by type and by source, as patterns, and from where.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    envelope::{Event, invalid},
    kind::{Domain, EventType, STREAMS},
    reach::{Kinds, Reach},
};
use crate::{
    call::{Principal, context::Correlation, permission::Pattern},
    error::Error,
    name::{Identity, store},
};

/// Patterns of one wish.
pub const PATTERNS_MAX: usize = 16;

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// Their types: `task.created`, `task.*`, `task.cre*`, `*`; one of them has to match. None:
    /// all. 16 at most.
    pub types: Vec<String>,
    /// Who published them. None: anybody.
    pub source: Option<Identity>,
    /// What they are part of. None: anything. The streams do not know it: who reads sorts out the
    /// rest.
    #[serde(rename = "correlationId", skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum From {
    /// With what is published from now on.
    #[default]
    Now,
    /// With the first event that the stream still has.
    Start,
    /// With this number of the stream.
    Sequence(u64),
    /// With what was stored at this time or later, milliseconds since 1970.
    Time(u64),
}

/// Which events of which stream, and where they are to be pushed to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// The `{n}` of `weft.v1.dlv.{caller}.{n}`: 26 to 32 of `a-z 2-7`, at least 128 random bits,
    /// told to nobody else. Subscribe to it first.
    pub deliver: String,
    /// The stream: `WEFT_TASKS`.
    pub stream: String,
    /// Which events of it.
    #[serde(default)]
    pub wish: Wish,
    /// Where to begin.
    #[serde(default)]
    pub from: From,
    /// Whether what is stored is to be told again: it needs `replay` in the place of `subscribe`.
    #[serde(default)]
    pub replay: bool,
}

impl Open {
    /// The action of the permissions that it needs.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        if self.replay { "replay" } else { "subscribe" }
    }
}

/// A stream pushes, and what it holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    /// The number of its first event.
    pub first: u64,
    /// The number of its last event.
    pub last: u64,
    /// How many events it has; fewer than the numbers between the two say where some are missing.
    pub events: u64,
    /// How many of them are sent before the first new one.
    pub pending: u64,
    /// The numbers of those at the beginning that are passed over: their headers would end the
    /// connection of whoever is sent them. 64 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<u64>,
}

/// What a pattern of types is to a stream: the whole parts that it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Types {
    All,
    /// `task.`
    Below(String),
    One(EventType),
}

impl Types {
    fn read(pattern: &str) -> Result<Self, Error> {
        let none = || {
            invalid(format!(
                "`{}` is no pattern of types: `task.created`, `task.*`, `task.cre*` or `*`",
                pattern.chars().take(80).collect::<String>()
            ))
        };
        match Pattern::new(pattern) {
            Pattern::All => Ok(Self::All),
            Pattern::Exact(exact) => EventType::new(&exact).map(Self::One).map_err(|_| none()),
            Pattern::Prefix(prefix) => match prefix.rsplit_once('.') {
                // What is cut is not seen by the broker: it lets a little more pass.
                Some((whole, _)) if EventType::new(&format!("{whole}.x")).is_ok() => {
                    Ok(Self::Below(format!("{whole}.")))
                }
                Some(_) => Err(none()),
                None => Ok(Self::All),
            },
        }
    }

    fn domain(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Below(prefix) => prefix.split('.').next(),
            Self::One(kind) => Some(kind.domain()),
        }
    }

    fn kinds(&self) -> Kinds<'_> {
        match self {
            Self::All => Kinds::All,
            Self::Below(prefix) => Kinds::Below(prefix),
            Self::One(kind) => Kinds::One(kind.as_str()),
        }
    }
}

/// A wish whose patterns were read, for who looks at many events.
#[derive(Clone, Debug)]
pub struct Sieve {
    types: Vec<Pattern>,
    source: Option<Identity>,
    correlation_id: Option<String>,
}

impl Sieve {
    /// Whether this event is wished for.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let kind = [event.kind.as_str()];
        let by_type = self.types.iter().any(|pattern| pattern.matches(&kind));
        (self.types.is_empty() || by_type)
            && (self.source.is_none() || self.source == event.source)
            && (self.correlation_id.is_none() || self.correlation_id == event.correlation_id)
    }
}

impl Wish {
    /// What sorts out events: the broker's filters let a little more pass.
    #[must_use]
    pub fn sieve(&self) -> Sieve {
        Sieve {
            types: self.types.iter().map(|text| Pattern::new(text)).collect(),
            source: self.source.clone(),
            correlation_id: self.correlation_id.clone(),
        }
    }

    /// The domains that it is about; nothing where it is about all.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where a pattern is none.
    pub fn domains(&self) -> Result<Option<Vec<String>>, Error> {
        let domain = |types: &Types| types.domain().map(str::to_owned);
        Ok(self.read()?.iter().map(domain).collect())
    }

    /// What the stream is to be asked for: the subjects of the events in these domains, as far as
    /// this reader may do this (`subscribe`, `replay`) with all of them.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where a pattern is none, `ACCESS_DENIED` with the permission that is
    /// missing.
    pub fn filters(
        &self,
        domains: &[&str],
        action: &str,
        by: &Principal,
    ) -> Result<Vec<String>, Error> {
        let source = self.source.as_ref().map_or("*", Identity::as_str);
        let mut filters = Vec::new();
        for types in self.read()? {
            self.permit(&types, action, by)?;
            let known = |domain: &&&str| types.domain().is_none_or(|own| own == **domain);
            for domain in domains.iter().filter(known) {
                filters.push(match &types {
                    Types::All => format!("{}.{source}.{domain}.>", store::EVENTS),
                    Types::Below(prefix) => format!("{}.{source}.{prefix}>", store::EVENTS),
                    Types::One(kind) => format!("{}.{source}.{kind}", store::EVENTS),
                });
            }
        }
        Ok(without_overlaps(filters))
    }

    /// Whether this reader may do this (`subscribe`, `replay`) with all of it.
    ///
    /// # Errors
    /// As [`Wish::filters`].
    pub fn permitted(&self, action: &str, by: &Principal) -> Result<(), Error> {
        let all = self.read()?;
        all.iter()
            .try_for_each(|types| self.permit(types, action, by))
    }

    /// The streams that keep events of it, with these declared domains.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where a pattern is none.
    pub fn streams(&self, declared: &[Domain]) -> Result<Vec<String>, Error> {
        let mut streams: Vec<String> = match self.domains()? {
            Some(domains) => domains
                .iter()
                .filter_map(|domain| Domain::new(domain).ok())
                .map(|domain| domain.stream())
                .collect(),
            None => streams_with(declared),
        };
        streams.sort();
        streams.dedup();
        Ok(streams)
    }

    fn read(&self) -> Result<Vec<Types>, Error> {
        if self.types.len() > PATTERNS_MAX {
            let said = format!("a reader has at most {PATTERNS_MAX} patterns of types");
            return Err(invalid(said));
        }
        if let Some(id) = &self.correlation_id
            && Correlation::given(id).is_none()
        {
            let said = "`correlationId` has 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`";
            return Err(invalid(said.to_owned()));
        }
        match &self.types[..] {
            [] => Ok(vec![Types::All]),
            all => all.iter().map(|pattern| Types::read(pattern)).collect(),
        }
    }

    fn permit(&self, types: &Types, action: &str, by: &Principal) -> Result<(), Error> {
        let reach = Reach {
            source: self.source.as_ref(),
            kinds: types.kinds(),
        };
        reach.permit(action, by)
    }
}

/// A stream takes no two filters of which one lets pass what the other does.
fn without_overlaps(mut filters: Vec<String>) -> Vec<String> {
    filters.sort_by_key(String::len);
    let mut kept: Vec<String> = Vec::new();
    for filter in filters {
        let covered = kept.iter().any(|wider| {
            let prefix = wider.strip_suffix('>');
            *wider == filter || prefix.is_some_and(|prefix| filter.starts_with(prefix))
        });
        if !covered {
            kept.push(filter);
        }
    }
    kept
}

/// The streams that keep events, those of these declared domains too.
#[must_use]
pub fn streams_with(declared: &[Domain]) -> Vec<String> {
    let own = STREAMS.iter().map(|(name, _)| (*name).to_owned());
    own.chain(declared.iter().map(Domain::stream)).collect()
}

/// The domains of a stream, of those declared too.
#[must_use]
pub fn domains_of<'a>(stream: &str, declared: &'a [Domain]) -> Vec<&'a str> {
    if let Some((_, domains)) = STREAMS.iter().find(|(name, _)| *name == stream) {
        return domains.to_vec();
    }
    let own = declared.iter().filter(|domain| domain.stream() == stream);
    own.map(Domain::as_str).collect()
}

#[cfg(test)]
mod tests;
