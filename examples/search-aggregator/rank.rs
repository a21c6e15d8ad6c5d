//! Two ways to rank the same corpus. Each is a pure function of query and corpus.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::corpus::{Corpus, Terms, terms_of};

/// BM25: how fast a repeated word stops to matter, and how much a long document is held back.
const SATURATION: f64 = 1.2;
const LENGTH_PENALTY: f64 = 0.75;
/// After this many days half of a document's freshness is gone.
const HALF_LIFE_DAYS: f64 = 365.0;
/// The share of a score that freshness decides.
const FRESHNESS_SHARE: f64 = 0.3;

// Plain comments on the variants: a doc comment would turn the schema's `enum` into a `oneOf`,
// and its error message would no longer say which names are allowed.
/// A ranking over the bundled corpus, named after the search service whose part it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Provider {
    // BM25 over title and text.
    Brave,
    // Cosine of tf-idf vectors, titles weighing more, newer documents first.
    Tavily,
}

impl Provider {
    /// The name as it stands in arguments and results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Brave => "brave",
            Self::Tavily => "tavily",
        }
    }
}

/// A document that one provider found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    /// Its number in the corpus.
    pub(crate) document: usize,
    /// Above 0; comparable only with scores of the same provider and query.
    pub(crate) score: f64,
}

/// What a provider finds, best first. Documents without any of the query's terms are not there.
pub(crate) fn rank(provider: Provider, corpus: &Corpus, query: &str) -> Vec<Hit> {
    let mut query: Vec<String> = terms_of(query).collect();
    query.sort_unstable();
    query.dedup();
    let mut hits: Vec<Hit> = corpus
        .terms()
        .map(|(document, terms)| Hit {
            document,
            score: match provider {
                Provider::Brave => bm25(corpus, terms, &query),
                Provider::Tavily => cosine(corpus, terms, &query) * freshness(corpus, document),
            },
        })
        .filter(|hit| hit.score > 0.0)
        .collect();
    // Equal scores keep the corpus's order, so that an answer is always the same.
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    hits
}

fn bm25(corpus: &Corpus, terms: &Terms, query: &[String]) -> f64 {
    let relative_length = f64::from(terms.length) / corpus.average_length();
    let held_back = SATURATION * (1.0 - LENGTH_PENALTY + LENGTH_PENALTY * relative_length);
    query
        .iter()
        .filter_map(|term| Some((term, f64::from(*terms.plain.get(term)?))))
        .map(|(term, count)| {
            let containing = corpus.containing(term);
            let rarity = ((corpus.size() - containing + 0.5) / (containing + 0.5)).ln_1p();
            rarity * count * (SATURATION + 1.0) / (count + held_back)
        })
        .sum()
}

fn cosine(corpus: &Corpus, terms: &Terms, query: &[String]) -> f64 {
    let rarity = |term: &str| (corpus.size() / corpus.containing(term).max(1.0)).ln_1p();
    let weight = |term: &str, count: u32| (1.0 + f64::from(count).ln()) * rarity(term);
    let product: f64 = query
        .iter()
        .filter_map(|term| Some(weight(term, *terms.titled.get(term)?) * rarity(term)))
        .sum();
    let length = |squares: f64| squares.sqrt().max(f64::MIN_POSITIVE);
    let document = length(
        terms
            .titled
            .iter()
            .map(|(term, count)| weight(term, *count).powi(2))
            .sum(),
    );
    let asked = length(query.iter().map(|term| rarity(term).powi(2)).sum());
    product / (document * asked)
}

fn freshness(corpus: &Corpus, document: usize) -> f64 {
    let left = 0.5_f64.powf(corpus.age_days(document) / HALF_LIFE_DAYS);
    1.0 - FRESHNESS_SHARE + FRESHNESS_SHARE * left
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::corpus::Document;

    fn document(id: &str, year: i32, title: &str, text: &str) -> Document {
        Document {
            id: id.to_owned(),
            topic: "t".to_owned(),
            title: title.to_owned(),
            published_at: NaiveDate::from_ymd_opt(year, 1, 1).unwrap(),
            text: text.to_owned(),
        }
    }

    fn found(provider: Provider, corpus: &Corpus, query: &str) -> Vec<usize> {
        let hits = rank(provider, corpus, query);
        hits.iter().map(|hit| hit.document).collect()
    }

    #[test]
    fn only_documents_with_a_term_of_the_query_are_found() {
        let corpus = Corpus::new(vec![
            document("a", 2025, "Bread", "flour and water"),
            document("b", 2025, "Wind", "turbines at sea"),
        ]);
        for provider in [Provider::Brave, Provider::Tavily] {
            assert_eq!(found(provider, &corpus, "sea wind"), [1]);
            assert!(found(provider, &corpus, "the of and").is_empty());
            assert!(found(provider, &corpus, "granite").is_empty());
        }
    }

    #[test]
    fn bm25_prefers_the_shorter_of_two_that_say_the_same() {
        let filler = "flour water salt yeast oven heat crust crumb ".repeat(10);
        let corpus = Corpus::new(vec![
            document("long", 2025, "x", &format!("wind {filler}")),
            document("short", 2025, "x", "wind at sea"),
            document("none", 2025, "x", "flour"),
        ]);
        assert_eq!(found(Provider::Brave, &corpus, "wind"), [1, 0]);
    }

    #[test]
    fn the_second_ranking_prefers_titles_and_newer_documents() {
        let corpus = Corpus::new(vec![
            document("text", 2025, "Power notes", "wind power grows"),
            document("title", 2025, "Wind notes", "power wind grows"),
            document("old", 2019, "Wind notes", "power wind grows"),
        ]);
        assert_eq!(found(Provider::Tavily, &corpus, "wind"), [1, 2, 0]);
    }

    #[test]
    fn the_example_of_the_readme_finds_markets_of_ai() {
        let corpus = Corpus::bundled();
        for provider in [Provider::Brave, Provider::Tavily] {
            let best = &found(provider, &corpus, "market trends in AI")[..5];
            assert!(
                best.iter()
                    .all(|number| corpus.document(*number).topic == "ai-markets"),
                "{provider:?}: {:?}",
                best.iter()
                    .map(|number| &corpus.document(*number).id)
                    .collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn the_two_rankings_do_not_merely_repeat_each_other() {
        let corpus = Corpus::bundled();
        let query = "market trends in AI";
        assert_ne!(
            found(Provider::Brave, &corpus, query),
            found(Provider::Tavily, &corpus, query)
        );
    }
}
