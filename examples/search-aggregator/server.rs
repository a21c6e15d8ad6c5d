//! The MCP face of the search: one tool, its arguments, its progress.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rmcp::{
    RoleServer, ServerHandler,
    handler::server::tool::{schema_for_output, schema_for_type},
    model::{
        CallToolResult, ContentBlock, ErrorData, JsonObject, ProgressNotificationParam,
        ProgressToken,
    },
    service::{Peer, RequestContext},
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    answer::Answer,
    arguments::{Arguments, whole},
    corpus::Corpus,
    merge::merge,
    rank::{Hit, Provider, rank},
};

/// How long an answer waits for a progress notification to be taken.
const PROGRESS_PATIENCE: Duration = Duration::from_millis(500);

/// Arguments of `execute_parallel_search`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Search {
    /// What to look for.
    #[schemars(length(min = 1, max = 1000), regex(pattern = r"\S"))]
    query: String,
    /// Whom to ask; both when not given.
    #[serde(default = "both")]
    #[schemars(length(min = 1, max = 2), extend("uniqueItems" = true))]
    providers: Vec<Provider>,
    /// The most results to return.
    #[serde(default = "ten", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 100))]
    max_results: u32,
}

fn both() -> Vec<Provider> {
    vec![Provider::Brave, Provider::Tavily]
}

fn ten() -> u32 {
    10
}

/// The MCP server `search-aggregator`.
#[derive(Clone, Debug)]
pub(crate) struct SearchAggregator {
    corpus: Arc<Corpus>,
    arguments: Arc<Arguments<Search>>,
}

impl SearchAggregator {
    /// Over the bundled corpus.
    pub(crate) fn new() -> Self {
        Self {
            corpus: Arc::new(Corpus::bundled()),
            arguments: Arc::new(Arguments::new()),
        }
    }

    /// One provider at work, on a thread of its own: ranking computes and never waits, so two of
    /// them run side by side only there.
    async fn ask(
        &self,
        provider: Provider,
        query: &str,
    ) -> Result<(Provider, Vec<Hit>), ErrorData> {
        let corpus = Arc::clone(&self.corpus);
        let query = query.to_owned();
        tokio::task::spawn_blocking(move || (provider, rank(provider, &corpus, &query)))
            .await
            .map_err(|fault| {
                let why = format!("provider {}: {fault}", provider.name());
                ErrorData::internal_error(why, None)
            })
    }
}

#[tool_router]
impl SearchAggregator {
    #[tool(
        name = "execute_parallel_search",
        title = "Parallel search",
        description = "Search the bundled corpus with one or two rankings at the same time, and get one merged list with each ranking's own opinion.",
        input_schema = schema_for_type::<Search>(),
        output_schema = schema_for_output::<Answer>(),
        annotations(
            read_only_hint = true,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn execute_parallel_search(
        &self,
        arguments: JsonObject,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let search = self.arguments.read(arguments)?;
        let mut progress = Progress {
            token: context.meta.get_progress_token(),
            peer: context.peer,
            all: search.providers.len(),
        };
        let mut asked: FuturesUnordered<_> = search
            .providers
            .iter()
            .map(|provider| self.ask(*provider, &search.query))
            .collect();
        let mut lists = Vec::with_capacity(search.providers.len());
        while let Some(list) = asked.next().await {
            let (provider, hits) = list?;
            let message = format!("{}: {} hits", provider.name(), hits.len());
            lists.push((provider, hits));
            progress.tell(lists.len(), message).await;
        }
        // Who finished first is chance; the answer keeps the order of the question.
        lists.sort_by_key(|(provider, _)| search.providers.iter().position(|p| p == provider));
        let results_max = search.max_results as usize;
        answered(&merge(&self.corpus, &search.query, &lists, results_max))
    }
}

#[tool_handler(
    name = "search-aggregator",
    version = "1.0.0",
    instructions = "Example server of Weft: `execute_parallel_search` ranks a small bundled corpus in two ways. It never uses the network."
)]
impl ServerHandler for SearchAggregator {}

/// The word to the client that a provider is done, if it asked for such words.
struct Progress {
    token: Option<ProgressToken>,
    peer: Peer<RoleServer>,
    all: usize,
}

impl Progress {
    /// A client that does not take the word is not told again: the answer must not wait for it.
    /// That happens when stdin closed during the call, as the SDK then sends answers only.
    async fn tell(&mut self, done: usize, message: String) {
        let Some(token) = &self.token else { return };
        let progress = ProgressNotificationParam::new(token.clone(), done as f64)
            .with_total(self.all as f64)
            .with_message(message);
        let told = timeout(PROGRESS_PATIENCE, self.peer.notify_progress(progress)).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::debug!(?told, "progress was not taken");
            self.token = None;
        }
    }
}

fn answered(answer: &Answer) -> Result<CallToolResult, ErrorData> {
    let structured = serde_json::to_value(answer)
        .map_err(|fault| ErrorData::internal_error(format!("answer: {fault}"), None))?;
    let mut result = CallToolResult::structured(structured);
    result.content = vec![ContentBlock::text(answer.text())];
    Ok(result)
}
