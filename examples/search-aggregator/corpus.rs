//! The documents, and the words in them as both rankings count them.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use serde::Deserialize;

/// A word said in the title counts as often as this many in the text.
const TITLE_WEIGHT: u32 = 3;
/// Words that stand in nearly every document and every query, and tell nothing apart.
const STOP_WORDS: &[&str] = &[
    "a", "about", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from",
    "has", "have", "how", "in", "into", "is", "it", "its", "no", "not", "of", "on", "one", "or",
    "than", "that", "the", "their", "they", "this", "to", "was", "what", "when", "where", "which",
    "who", "why", "will", "with",
];

/// One document as it stands in `corpus.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) topic: String,
    pub(crate) title: String,
    pub(crate) published_at: NaiveDate,
    pub(crate) text: String,
}

impl Document {
    /// `.example` is reserved for examples (RFC 2606): nobody will take it for a page of the web.
    pub(crate) fn url(&self) -> String {
        format!("https://corpus.example/{}/{}", self.topic, self.id)
    }
}

/// How often each term stands in one document.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Title and text alike.
    pub(crate) plain: HashMap<String, u32>,
    /// The title's terms counted `TITLE_WEIGHT` times.
    pub(crate) titled: HashMap<String, u32>,
    /// Length of title and text, in terms.
    pub(crate) length: u32,
}

/// All documents with what the rankings need to know of them.
#[derive(Debug)]
pub(crate) struct Corpus {
    documents: Vec<Document>,
    terms: Vec<Terms>,
    containing: BTreeMap<String, u32>,
    newest: NaiveDate,
    average_length: f64,
}

impl Corpus {
    /// The corpus that is compiled into this binary.
    pub(crate) fn bundled() -> Self {
        let documents = serde_json::from_str(include_str!("corpus.json"))
            .expect("a unit test reads the bundled corpus");
        Self::new(documents)
    }

    /// Counts the words of `documents`.
    pub(crate) fn new(documents: Vec<Document>) -> Self {
        let terms: Vec<Terms> = documents.iter().map(count).collect();
        let mut containing = BTreeMap::new();
        for term in terms.iter().flat_map(|terms| terms.plain.keys()) {
            *containing.entry(term.clone()).or_insert(0) += 1;
        }
        let newest = documents.iter().map(|document| document.published_at).max();
        let length: u32 = terms.iter().map(|terms| terms.length).sum();
        Self {
            newest: newest.unwrap_or_default(),
            average_length: f64::from(length) / terms.len().max(1) as f64,
            documents,
            terms,
            containing,
        }
    }

    /// The document of this number.
    pub(crate) fn document(&self, number: usize) -> &Document {
        &self.documents[number]
    }

    /// Each document's number with its terms.
    pub(crate) fn terms(&self) -> impl Iterator<Item = (usize, &Terms)> {
        self.terms.iter().enumerate()
    }

    /// In how many documents a term stands.
    pub(crate) fn containing(&self, term: &str) -> f64 {
        self.containing.get(term).copied().map_or(0.0, f64::from)
    }

    /// How many documents there are.
    pub(crate) fn size(&self) -> f64 {
        self.documents.len() as f64
    }

    /// Mean length of a document, in terms.
    pub(crate) fn average_length(&self) -> f64 {
        self.average_length
    }

    /// Age in days, seen from the newest document: an answer must not depend on today's date.
    pub(crate) fn age_days(&self, number: usize) -> f64 {
        let age = self.newest - self.documents[number].published_at;
        age.num_days() as f64
    }
}

/// The terms of a text: lower case, without stop words, plural and singular as one.
pub(crate) fn terms_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
        .map(singular)
}

/// Enough of a stemmer for "trends" to find "trend".
fn singular(word: String) -> String {
    let length = word.chars().count();
    match word.strip_suffix("ies") {
        Some(stem) if length > 4 => return format!("{stem}y"),
        _ => {}
    }
    let kept = ["ss", "us", "is"].iter().any(|end| word.ends_with(end));
    match word.strip_suffix('s') {
        Some(stem) if length > 3 && !kept => stem.to_owned(),
        _ => word,
    }
}

fn count(document: &Document) -> Terms {
    let mut counted = Terms {
        plain: HashMap::new(),
        titled: HashMap::new(),
        length: 0,
    };
    let title = terms_of(&document.title).map(|term| (term, TITLE_WEIGHT));
    let text = terms_of(&document.text).map(|term| (term, 1));
    for (term, weight) in title.chain(text) {
        *counted.titled.entry(term.clone()).or_insert(0) += weight;
        *counted.plain.entry(term).or_insert(0) += 1;
        counted.length += 1;
    }
    counted
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_bundled_corpus_reads_and_every_url_is_its_own() {
        let corpus = Corpus::bundled();
        let urls: HashSet<String> = corpus.documents.iter().map(Document::url).collect();
        assert_eq!(urls.len(), corpus.documents.len());
        assert!(urls.len() >= 40, "{} documents", urls.len());
        for document in &corpus.documents {
            assert!(
                document.text.chars().count() >= 150,
                "{} is too short",
                document.id
            );
        }
    }

    #[test]
    fn words_become_terms() {
        let terms: Vec<String> = terms_of("The Market’s trends, in AI: policies & buses").collect();
        assert_eq!(terms, ["market", "s", "trend", "ai", "policy", "buse"]);
        assert_eq!(singular("class".to_owned()), "class");
        assert_eq!(singular("gas".to_owned()), "gas");
    }

    #[test]
    fn an_empty_corpus_divides_by_nothing() {
        let corpus = Corpus::new(Vec::new());
        assert!(corpus.average_length().abs() < f64::EPSILON);
    }
}
