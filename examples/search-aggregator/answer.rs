//! What `execute_parallel_search` answers: the declared shape, and the same as a text to read.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::rank::Provider;

/// Result of `execute_parallel_search`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    /// The query as it was asked.
    pub(crate) query: String,
    /// The providers that were asked.
    pub(crate) providers: Vec<Provider>,
    /// Documents found by at least one provider; `results` holds the best of them.
    pub(crate) total: usize,
    /// Best first.
    pub(crate) results: Vec<Finding>,
    /// How many of `results` were published in each year, for a chart.
    pub(crate) chart_data: ChartData,
    /// Options for that chart.
    pub(crate) chart_options: ChartOptions,
}

/// One document, found by one provider or more.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// Title of the document.
    pub(crate) title: String,
    /// Its address; one document has one.
    pub(crate) url: String,
    /// The passage that answers the query best.
    pub(crate) snippet: String,
    /// From 0 to 1; 1 is first with every provider.
    pub(crate) score: f64,
    /// Who found it, and how each of them rated it.
    pub(crate) providers: Vec<Rating>,
    /// Day of publication, as in `2026-03-14`.
    pub(crate) published_at: String,
    /// The shelf it stands on.
    pub(crate) topic: String,
}

/// What one provider said of a document.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Rating {
    /// The provider.
    pub(crate) name: Provider,
    /// Place in the provider's own list, from 1.
    pub(crate) rank: usize,
    /// The provider's own score, comparable only within its list.
    pub(crate) score: f64,
}

/// Labels and values of equal number, as `generate_chart` takes them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChartData {
    /// Years, earliest first.
    pub(crate) labels: Vec<String>,
    /// Results of each year.
    pub(crate) values: Vec<usize>,
}

/// Options as `generate_chart` takes them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChartOptions {
    /// Title of the chart.
    pub(crate) title: String,
}

impl Answer {
    /// A numbered list, for a person or a model that reads text only.
    pub(crate) fn text(&self) -> String {
        let asked: Vec<&str> = self.providers.iter().map(|asked| asked.name()).collect();
        let asked = asked.join(" and ");
        if self.results.is_empty() {
            return format!("Nothing found for “{}” by {asked}.", self.query);
        }
        let mut text = format!(
            "{} of {} results for “{}” by {asked}:\n",
            self.results.len(),
            self.total,
            self.query
        );
        for (place, finding) in (1..).zip(&self.results) {
            let ratings: Vec<String> = finding
                .providers
                .iter()
                .map(|rating| format!("{} #{}", rating.name.name(), rating.rank))
                .collect();
            write!(
                text,
                "\n{place}. {} ({}; {})\n   {}\n   {}\n",
                finding.title,
                finding.published_at,
                ratings.join(", "),
                finding.url,
                finding.snippet,
            )
            .expect("a String takes every write");
        }
        text
    }
}
