//! Live streams for our own pages, as Server-Sent Events (HTML standard, section 9.2).
//!
//! A stream is a value that its connection polls: when the client goes, the value is dropped and
//! nothing of it stays behind.

use super::error::ApiError;
use super::params::{Params, parse};
use super::{Api, now_unix_nano, runs as run_json, traces as trace_json};
use crate::live::{Live, MAX_TRACES, Search, Update};
use crate::metrics::{GaugeGuard, Metrics};
use axum::extract::{Path, RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use lumitrace_model::TraceId;
use lumitrace_query::training::RunQuery;
use lumitrace_query::{QueryEngine, RunId, TraceQuery};
use lumitrace_store::QueryBudget;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// News are gathered for this long, so that a page redraws about four times a second.
const GATHER: Duration = Duration::from_millis(250);
/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type EventStream = Sse<axum::response::sse::KeepAliveStream<BoxedEvents>>;
type BoxedEvents = futures::stream::BoxStream<'static, Result<Event, Infallible>>;

/// `GET /live/traces`: summaries of the traces that changed and match.
pub(super) async fn traces(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<EventStream, ApiError> {
    let query = trace_json::search_query(query.as_deref())?;
    let engine = api.engine.clone();
    let mut feed = Feed::new(&api);
    feed.search = Some(api.live.search(query.clone()));
    let answer = move |news: News| changed_traces(engine.clone(), query.clone(), news.trace_ids);
    Ok(events(feed, None, answer))
}

/// `GET /live/runs`: summaries of the runs, at first of all and then of those that changed.
pub(super) async fn runs(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<EventStream, ApiError> {
    let query = run_json::run_query(query.as_deref())?;
    let engine = api.engine.clone();
    let feed = Feed::new(&api);
    // The engine tells of changes only once it was asked for the runs.
    let first = changed_runs(engine.clone(), query.clone(), None).await;
    let answer = move |news: News| {
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
pub(super) async fn run(
    State(api): State<Arc<Api>>,
    Path(run_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<EventStream, ApiError> {
    let run_id: RunId = parse("run_id", &run_id)?;
    Params::only(query.as_deref(), &[])?;
    let engine = api.engine.clone();
    // The feed begins before the first revision is read, so that no change falls in between.
    let feed = Feed::new(&api);
    let first = revision(engine.clone(), run_id).await;
    let first = first.ok_or_else(|| run_json::run_not_found(run_id))?;
    let answer = move |news: News| {
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

/// What happened while news were gathered.
#[derive(Default)]
struct News {
    /// Oldest first, perhaps several times.
    trace_ids: Vec<TraceId>,
    run_ids: HashSet<RunId>,
    missed: u64,
}

/// An event of a stream.
struct Message {
    name: &'static str,
    data: Value,
}

impl Message {
    fn event(&self) -> Event {
        // JSON on one line holds neither of the line breaks that would end the field.
        Event::default()
            .event(self.name)
            .data(self.data.to_string())
    }
}

/// The updates that one stream listens to.
struct Feed {
    updates: broadcast::Receiver<Update>,
    search: Option<Search>,
    closing: CancellationToken,
    metrics: Arc<Metrics>,
    _open: GaugeGuard,
}

impl Feed {
    fn new(api: &Api) -> Self {
        let live: &Live = &api.live;
        Self {
            updates: live.updates(),
            search: None,
            closing: live.closing().clone(),
            metrics: Arc::clone(&api.metrics),
            _open: api.metrics.live_stream(),
        }
    }

    /// Waits for news, then gathers what follows at once. `None` when the server ends.
    async fn next(&mut self) -> Option<News> {
        let mut news = News::default();
        let closing = self.closing.clone();
        let gather = async {
            self.take(&mut news).await?;
            let until = tokio::time::Instant::now() + GATHER;
            while let Ok(taken) = tokio::time::timeout_at(until, self.take(&mut news)).await {
                taken?;
            }
            Some(())
        };
        tokio::select! {
            () = closing.cancelled() => None,
            gathered = gather => gathered.map(|()| news),
        }
    }

    async fn take(&mut self, news: &mut News) -> Option<()> {
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

/// A stream that begins with `first` and then turns news into messages.
fn events<A, F>(feed: Feed, first: Option<Message>, answer: A) -> EventStream
where
    A: FnMut(News) -> F + Send + 'static,
    F: Future<Output = Option<Message>> + Send + 'static,
{
    let stream: BoxedEvents = Box::pin(messages(feed, first, answer));
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn messages<A, F>(
    feed: Feed,
    first: Option<Message>,
    answer: A,
) -> impl Stream<Item = Result<Event, Infallible>>
where
    A: FnMut(News) -> F,
    F: Future<Output = Option<Message>>,
{
    let ready: Vec<Message> = first.into_iter().collect();
    unfold(
        (feed, ready, answer),
        |(mut feed, mut ready, mut answer)| async move {
            while ready.is_empty() {
                let news = feed.next().await?;
                let missed = news.missed;
                // The last is sent first.
                ready.extend(answer(news).await);
                if missed > 0 {
                    ready.push(Message {
                        name: "lagged",
                        data: json!({"missed": missed}),
                    });
                }
            }
            let message = ready.pop()?;
            Some((Ok(message.event()), (feed, ready, answer)))
        },
    )
}

async fn changed_traces(
    engine: QueryEngine,
    query: TraceQuery,
    mut trace_ids: Vec<TraceId>,
) -> Option<Message> {
    let traces = blocking(engine, move |engine, budget| {
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
    let runs = blocking(engine, move |engine, budget| {
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
    let ask =
        move |engine: &QueryEngine, budget: &QueryBudget| Ok(engine.run_revision(run_id, budget)?);
    let revision = blocking(engine, ask).await??;
    Some(Message {
        name: "run",
        data: json!({"revision": revision}),
    })
}

/// Asks the engine on a thread that may block, until the stream ends. A failed question is in the log; the
/// stream goes on.
async fn blocking<T: Send + 'static>(
    engine: QueryEngine,
    question: impl FnOnce(&QueryEngine, &QueryBudget) -> Result<T, ApiError> + Send + 'static,
) -> Option<T> {
    let budget = engine.budget();
    let _cancel = budget.cancel_on_drop();
    match spawn_blocking(move || question(&engine, &budget)).await {
        Ok(answer) => answer.ok(),
        Err(error) => {
            tracing::error!(%error, "a live stream's question failed");
            None
        }
    }
}
