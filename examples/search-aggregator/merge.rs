//! Several ranked lists become one: each document once, with what every provider said of it.

use std::collections::{BTreeMap, HashMap};

use chrono::Datelike as _;

use crate::{
    answer::{Answer, ChartData, ChartOptions, Finding, Rating},
    corpus::{Corpus, Document, terms_of},
    rank::{Hit, Provider},
};

/// Reciprocal rank fusion: ranks are comparable between providers, their scores are not. The
/// constant is the customary one; it keeps a single first place from deciding everything.
const FUSION: f64 = 60.0;
/// A snippet ends at a word before this many characters.
const SNIPPET_CHARS: usize = 220;

/// One answer out of the lists of all providers; at most `results_max` documents are told.
pub(crate) fn merge(
    corpus: &Corpus,
    query: &str,
    lists: &[(Provider, Vec<Hit>)],
    results_max: usize,
) -> Answer {
    let mut ratings: HashMap<usize, Vec<Rating>> = HashMap::new();
    for (provider, hits) in lists {
        for (rank, hit) in (1..).zip(hits) {
            ratings.entry(hit.document).or_default().push(Rating {
                name: *provider,
                rank,
                score: rounded(hit.score),
            });
        }
    }
    let total = ratings.len();
    let mut merged: Vec<(usize, f64, Vec<Rating>)> = ratings
        .into_iter()
        .map(|(document, ratings)| (document, fused(&ratings, lists.len()), ratings))
        .collect();
    merged.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    merged.truncate(results_max);

    let chart_data = per_year(merged.iter().map(|(number, ..)| corpus.document(*number)));
    let results = merged
        .into_iter()
        .map(|(number, score, providers)| {
            let document = corpus.document(number);
            Finding {
                title: document.title.clone(),
                url: document.url(),
                snippet: snippet(&document.text, query),
                score: rounded(score),
                providers,
                published_at: document.published_at.to_string(),
                topic: document.topic.clone(),
            }
        })
        .collect();
    Answer {
        query: query.to_owned(),
        providers: lists.iter().map(|(provider, _)| *provider).collect(),
        total,
        results,
        chart_data,
        chart_options: ChartOptions {
            title: format!("Results for “{}” by year", cut(query, 60)),
        },
    }
}

/// 1 for a document that every provider puts first, less for each place and each absence.
fn fused(ratings: &[Rating], providers: usize) -> f64 {
    let sum: f64 = ratings
        .iter()
        .map(|rating| (FUSION + 1.0) / (FUSION + rating.rank as f64))
        .sum();
    sum / providers as f64
}

/// Four decimals tell two results apart; more would be noise in an answer.
fn rounded(score: f64) -> f64 {
    (score * 10_000.0).round() / 10_000.0
}

fn per_year<'a>(documents: impl Iterator<Item = &'a Document>) -> ChartData {
    let mut years = BTreeMap::new();
    for document in documents {
        *years.entry(document.published_at.year()).or_insert(0) += 1;
    }
    ChartData {
        labels: years.keys().map(ToString::to_string).collect(),
        values: years.into_values().collect(),
    }
}

/// From the sentence with most of the query's terms on, as far as there is room.
fn snippet(text: &str, query: &str) -> String {
    let asked: Vec<String> = terms_of(query).collect();
    let matches = |sentence: &str| {
        let terms: Vec<String> = terms_of(sentence).collect();
        asked.iter().filter(|term| terms.contains(term)).count()
    };
    let mut best = (0, 0);
    let mut start = 0;
    for sentence in text.split_inclusive(". ") {
        let count = matches(sentence);
        if count > best.1 {
            best = (start, count);
        }
        start += sentence.len();
    }
    cut(&text[best.0..], SNIPPET_CHARS)
}

/// At most `chars_max` characters, ended at a word and with an ellipsis where something is missing.
fn cut(text: &str, chars_max: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(chars_max) else {
        return text.to_owned();
    };
    let kept = &text[..end];
    let kept = kept.rfind(' ').map_or(kept, |space| &kept[..space]);
    format!("{}…", kept.trim_end_matches([',', ';', ':', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(documents: &[usize]) -> Vec<Hit> {
        documents
            .iter()
            .map(|document| Hit {
                document: *document,
                score: 2.0,
            })
            .collect()
    }

    #[test]
    fn a_document_found_twice_is_told_once_with_both_ratings() {
        let corpus = Corpus::bundled();
        let lists = [
            (Provider::Brave, hits(&[3, 1])),
            (Provider::Tavily, hits(&[2, 3])),
        ];
        let answer = merge(&corpus, "q", &lists, 10);
        assert_eq!((answer.total, answer.results.len()), (3, 3));
        let first = &answer.results[0];
        assert_eq!(first.url, corpus.document(3).url());
        let ranks: Vec<_> = first.providers.iter().map(|r| (r.name, r.rank)).collect();
        assert_eq!(ranks, [(Provider::Brave, 1), (Provider::Tavily, 2)]);
    }

    #[test]
    fn first_everywhere_scores_one_and_the_chart_counts_what_is_told() {
        let corpus = Corpus::bundled();
        let lists = [
            (Provider::Brave, hits(&[0, 1, 2])),
            (Provider::Tavily, hits(&[0, 2, 1])),
        ];
        let answer = merge(&corpus, "q", &lists, 2);
        assert!((answer.results[0].score - 1.0).abs() < f64::EPSILON);
        assert_eq!(answer.total, 3);
        assert_eq!(answer.chart_data.values.iter().sum::<usize>(), 2);
        assert_eq!(
            answer.chart_data.labels.len(),
            answer.chart_data.values.len()
        );
    }

    #[test]
    fn a_snippet_begins_where_the_query_is_answered_and_ends_at_a_word() {
        let text = "Bread is old. Wind at sea is young. Water runs.";
        assert_eq!(
            snippet(text, "sea winds"),
            "Wind at sea is young. Water runs."
        );
        assert_eq!(snippet(text, "granite"), text);
        assert_eq!(cut("señor wind, and water", 12), "señor wind…");
    }

    #[test]
    fn nothing_found_is_an_answer() {
        let answer = merge(&Corpus::bundled(), "q", &[(Provider::Brave, vec![])], 10);
        assert_eq!(answer.total, 0);
        assert_eq!(answer.text(), "Nothing found for “q” by brave.");
    }
}
