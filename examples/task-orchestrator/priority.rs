//! How urgent a requirement is, read from its own words or from the heading above it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The three grades, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Priority {
    // Plain comments keep the schema an `enum`.
    High,
    Medium,
    Low,
}

impl Priority {
    /// All grades, most urgent first.
    pub(crate) const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// The word for it in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }

    /// What the words of a requirement say of themselves, after RFC 2119 and MoSCoW. The most
    /// urgent word decides: "must … and may …" is one task, and it must be done.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let words: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        let says = |phrases: &[&str]| {
            phrases.iter().any(|phrase| {
                let phrase: Vec<&str> = phrase.split(' ').collect();
                words.windows(phrase.len()).any(|window| window == phrase)
            })
        };
        if says(&["must", "shall", "required", "critical", "p0"]) {
            Some(Self::High)
        } else if says(&["should", "recommended", "p1"]) {
            Some(Self::Medium)
        } else if says(&[
            "may",
            "could",
            "optional",
            "optionally",
            "nice to have",
            "p2",
        ]) {
            Some(Self::Low)
        } else {
            None
        }
    }

    /// What a search score from 0 to 1 says.
    pub(crate) fn of_score(score: f64) -> Self {
        match score {
            _ if score >= 0.9 => Self::High,
            _ if score >= 0.5 => Self::Medium,
            _ => Self::Low,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_decide_and_the_most_urgent_wins() {
        for (text, priority) in [
            ("The server MUST answer", Some(Priority::High)),
            ("It may, but must not, wait", Some(Priority::High)),
            ("Search should be fast", Some(Priority::Medium)),
            ("Nice-to-have: themes", Some(Priority::Low)),
            ("Mustard and mayonnaise", None),
            ("Nice words to have", None),
        ] {
            assert_eq!(Priority::of(text), priority, "{text}");
        }
    }
}
