//! Streams of what changes in traces and training runs.

use super::super::error::ApiError;
use super::super::params::{Params, parse};
use super::super::{Api, now_unix_nano, runs as run_json, traces as trace_json};
use super::{EventStream, Feed, Message, News, Source, blocking, events};
use crate::live::{MAX_TRACES, Search, Update};
use crate::metrics::Metrics;
use axum::extract::{Path, RawQuery, State};
use lumitrace_model::TraceId;
use lumitrace_query::training::RunQuery;
use lumitrace_query::{QueryEngine, RunId, TraceQuery};
use lumitrace_store::QueryBudget;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};

/// `GET /live/traces`: summaries of the traces that changed and match.
pub(in super::super) async fn traces(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<EventStream, ApiError> {
    let query = trace_json::search_query(query.as_deref())?;
    let engine = api.engine.clone();
    let search = api.live.search(query.clone());
    let feed = Feed::new(&api, Updates::new(&api, Some(search)));
    let answer = move |news: Changes| changed_traces(engine.clone(), query.clone(), news.trace_ids);
    Ok(events(feed, None, answer))
}

/// `GET /live/runs`: summaries of the runs, at first of all and then of those that changed.
pub(in super::super) async fn runs(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<EventStream, ApiError> {
    let query = run_json::run_query(query.as_deref())?;
    let engine = api.engine.clone();
    let feed = Feed::new(&api, Updates::new(&api, None));
    // The engine tells of changes only once it was asked for the runs.
    let first = changed_runs(engine.clone(), query.clone(), None).await;
    let answer = move |news: Changes| {
        let (engine, query) = (engine.clone(), query.clone());
        async move {
            let changed = (news.missed == 0).then_some(news.run_ids);
            if changed.as_ref().is_some_and(HashSet::is_empty) {
                return None;
            }
            changed_runs(engine, query, changed).await
        }
    };
    Ok(events(feed, first, answer))
}

/// `GET /live/runs/{run_id}`: the revision of one run, at first and whenever it changed.
pub(in super::super) async fn run(
    State(api): State<Arc<Api>>,
    Path(run_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<EventStream, ApiError> {
    let run_id: RunId = parse("run_id", &run_id)?;
    Params::only(query.as_deref(), &[])?;
    let engine = api.engine.clone();
    // The feed begins before the first revision is read, so that no change falls in between.
    let feed = Feed::new(&api, Updates::new(&api, None));
    let first = revision(engine.clone(), run_id).await;
    let first = first.ok_or_else(|| run_json::run_not_found(run_id))?;
    let answer = move |news: Changes| {
        let engine = engine.clone();
        async move {
            let changed = news.missed > 0 || news.run_ids.contains(&run_id);
            if changed {
                revision(engine, run_id).await
            } else {
                None
            }
        }
    };
    Ok(events(feed, Some(first), answer))
}

/// What changed.
#[derive(Default)]
struct Changes {
    /// Oldest first, perhaps several times.
    trace_ids: Vec<TraceId>,
    run_ids: HashSet<RunId>,
    missed: u64,
}

impl News for Changes {
    fn missed(&self) -> u64 {
        self.missed
    }
}

/// The updates that one stream listens to.
struct Updates {
    updates: broadcast::Receiver<Update>,
    search: Option<Search>,
    metrics: Arc<Metrics>,
}

impl Updates {
    fn new(api: &Api, search: Option<Search>) -> Self {
        Self {
            updates: api.live.updates(),
            search,
            metrics: Arc::clone(&api.metrics),
        }
    }
}

impl Source for Updates {
    type News = Changes;

    async fn take(&mut self, news: &mut Changes) -> Option<()> {
        match self.updates.recv().await {
            Ok(Update::Stored { traces, run_ids }) => {
                let matches = self.search.as_ref().map(|search| search.matches(&traces));
                news.trace_ids.extend(matches.unwrap_or_default());
                news.run_ids.extend(run_ids.iter().copied());
            }
            Ok(Update::Missed(missed)) => news.missed += missed,
            Err(RecvError::Lagged(missed)) => {
                self.metrics.live_missed(missed);
                news.missed += missed;
            }
            Err(RecvError::Closed) => return None,
        }
        Some(())
    }
}

async fn changed_traces(
    engine: QueryEngine,
    query: TraceQuery,
    mut trace_ids: Vec<TraceId>,
) -> Option<Message> {
    let traces = ask(engine, move |engine, budget| {
        let mut seen = HashSet::new();
        trace_ids.retain(|trace_id| seen.insert(*trace_id));
        // The newest are at the end.
        trace_ids.drain(..trace_ids.len().saturating_sub(MAX_TRACES));
        if trace_ids.is_empty() {
            return Ok(Value::Array(Vec::new()));
        }
        let traces = engine.summaries(&trace_ids, &query, budget, now_unix_nano())?;
        Ok(traces.iter().map(trace_json::summary).collect())
    });
    let traces = traces.await.filter(|traces| *traces != json!([]))?;
    Some(Message {
        name: "traces",
        data: json!({"traces": traces}),
    })
}

/// Summaries of the runs in `changed`, or of all where that is not known.
async fn changed_runs(
    engine: QueryEngine,
    query: RunQuery,
    changed: Option<HashSet<RunId>>,
) -> Option<Message> {
    let runs = ask(engine, move |engine, budget| {
        let runs = engine.runs(&query, budget, now_unix_nano())?;
        let is_changed = |id: &RunId| changed.as_ref().is_none_or(|changed| changed.contains(id));
        let runs = runs.answer.iter().filter(|run| is_changed(&run.run_id));
        Ok(runs.map(run_json::summary).collect::<Value>())
    });
    let runs = runs.await.filter(|runs| *runs != json!([]))?;
    Some(Message {
        name: "runs",
        data: json!({"runs": runs}),
    })
}

async fn revision(engine: QueryEngine, run_id: RunId) -> Option<Message> {
    let question =
        move |engine: &QueryEngine, budget: &QueryBudget| Ok(engine.run_revision(run_id, budget)?);
    let revision = ask(engine, question).await??;
    Some(Message {
        name: "run",
        data: json!({"revision": revision}),
    })
}

/// Asks the engine within a budget of its own, until the stream ends.
async fn ask<T: Send + 'static>(
    engine: QueryEngine,
    question: impl FnOnce(&QueryEngine, &QueryBudget) -> Result<T, ApiError> + Send + 'static,
) -> Option<T> {
    let budget = engine.budget();
    let _cancel = budget.cancel_on_drop();
    blocking(move || question(&engine, &budget)).await
}
