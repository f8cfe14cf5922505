//! Live streams for our own pages, as Server-Sent Events (HTML standard, section 9.2): of [`changes`] of
//! traces and training runs, and a [`tail`] of log records and metrics.
//!
//! A stream is a value that its connection polls: when the client goes, the value is dropped and
//! nothing of it stays behind.

mod changes;
mod tail;

pub(super) use changes::{run, runs, traces};
pub(super) use tail::{logs, metrics};

use super::Api;
use super::error::ApiError;
use crate::metrics::GaugeGuard;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// News are gathered for this long, so that a page redraws about four times a second.
const GATHER: Duration = Duration::from_millis(250);
/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type EventStream = Sse<axum::response::sse::KeepAliveStream<BoxedEvents>>;
type BoxedEvents = futures::stream::BoxStream<'static, Result<Event, Infallible>>;

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

/// What happened while news were gathered.
trait News: Default + Send {
    /// How much was missed before it could be taken.
    fn missed(&self) -> u64;

    /// Whether no more should be gathered.
    fn is_full(&self) -> bool {
        false
    }
}

/// Where a stream hears of news.
trait Source: Send {
    type News: News;

    /// Waits for news and adds them. Loses nothing if it is dropped while it waits. `None` when there
    /// will be no more.
    fn take(&mut self, news: &mut Self::News) -> impl Future<Output = Option<()>> + Send;
}

/// The source of one stream.
struct Feed<S> {
    source: S,
    closing: CancellationToken,
    _open: GaugeGuard,
}

impl<S: Source> Feed<S> {
    fn new(api: &Api, source: S) -> Self {
        Self {
            source,
            closing: api.live.closing().clone(),
            _open: api.metrics.live_stream(),
        }
    }

    /// Waits for news, then gathers what follows at once. `None` when the server ends.
    async fn next(&mut self) -> Option<S::News> {
        let mut news = S::News::default();
        let gather = async {
            self.source.take(&mut news).await?;
            let until = tokio::time::Instant::now() + GATHER;
            while !news.is_full()
                && let Ok(taken) = tokio::time::timeout_at(until, self.source.take(&mut news)).await
            {
                taken?;
            }
            Some(())
        };
        tokio::select! {
            () = self.closing.cancelled() => None,
            gathered = gather => gathered.map(|()| news),
        }
    }
}

/// A stream that begins with `first` and then turns news into messages.
fn events<S, A, F>(feed: Feed<S>, first: Option<Message>, answer: A) -> EventStream
where
    S: Source + 'static,
    A: FnMut(S::News) -> F + Send + 'static,
    F: Future<Output = Option<Message>> + Send + 'static,
{
    let stream: BoxedEvents = Box::pin(messages(feed, first, answer));
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn messages<S, A, F>(
    feed: Feed<S>,
    first: Option<Message>,
    answer: A,
) -> impl Stream<Item = Result<Event, Infallible>>
where
    S: Source,
    A: FnMut(S::News) -> F,
    F: Future<Output = Option<Message>>,
{
    let ready: Vec<Message> = first.into_iter().collect();
    unfold(
        (feed, ready, answer),
        |(mut feed, mut ready, mut answer)| async move {
            while ready.is_empty() {
                let news = feed.next().await?;
                let missed = news.missed();
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

/// Asks the engine on a thread that may block. A failed question is in the log; the stream goes on.
async fn blocking<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Option<T> {
    match spawn_blocking(question).await {
        Ok(answer) => answer.ok(),
        Err(error) => {
            tracing::error!(%error, "a live stream's question failed");
            None
        }
    }
}
