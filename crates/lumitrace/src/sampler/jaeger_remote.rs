//! What a server says: Jaeger's remote sampling
//! (<https://www.jaegertracing.io/docs/latest/architecture/sampling/#remote-sampling>).
//!
//! Modules in reading order: `strategy` (what a server can say, and what it means for a span), `client`
//! (asks for it), `poller` (when to ask, and when to stop).

mod client;
mod poller;
mod strategy;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use self::client::{Client, strategy_url};
use self::poller::Poller;
use self::strategy::Strategy;
use super::{Sampler, SamplingParameters, SamplingResult};
use crate::notice::{Notice, NoticeHandler};

/// Where a [`JaegerRemote`] sampler gets its strategy.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JaegerRemoteSettings {
    /// Address of a server that speaks the protocol over HTTP, such as Jaeger or the OpenTelemetry
    /// Collector: `/sampling` is appended, unless the address ends with it.
    pub endpoint: String,
    /// Time from one question to the next.
    pub polling_interval: Duration,
    /// The share of traces that are recorded until the first answer, from 0 to 1.
    pub initial_sampling_rate: f64,
}

impl Default for JaegerRemoteSettings {
    /// Jaeger on this machine, asked each minute; a trace in a thousand until it answers, as in Jaeger's
    /// own clients.
    fn default() -> Self {
        Self {
            endpoint: "http://localhost:5778".to_owned(),
            polling_interval: Duration::from_secs(60),
            initial_sampling_rate: 0.001,
        }
    }
}

/// Records what a server says: a share of the traces, so many a second, or for each operation a share and
/// a number that is recorded at least.
///
/// A thread of its own, which starts with the first span, asks the server once and then again and again;
/// a forked child starts its own with its first span. A span never waits for it. While the server cannot be
/// reached, the last answer counts, and the initial rate before the first; one notice says so. The thread ends
/// with the provider's shut-down or when the sampler is dropped, at the latest when a request that is under
/// way has its answer.
///
/// Sampled spans get the attributes `sampler.type` and `sampler.param`, by which Jaeger's adaptive sampling
/// knows what came of its answers.
///
/// ```
/// use lumitrace::sampler::{JaegerRemote, JaegerRemoteSettings, ParentBased};
/// let mut settings = JaegerRemoteSettings::default();
/// settings.endpoint = "http://jaeger.monitoring:5778".to_owned();
/// let sampler = ParentBased::new(JaegerRemote::new("shop", settings));
/// # let _unused = sampler;
/// ```
pub struct JaegerRemote {
    shared: Arc<Shared>,
}

/// What the thread that asks and the threads that start spans have in common.
struct Shared {
    url: String,
    polling_interval: Duration,
    strategy: ArcSwap<Strategy>,
    poller: Poller,
    notice_handler: NoticeHandler,
}

impl JaegerRemote {
    /// A sampler for the service `service_name`. Asks nothing before the first span.
    pub fn new(service_name: &str, settings: JaegerRemoteSettings) -> Self {
        Self::with_notices(service_name, settings, NoticeHandler::default())
    }

    /// Tells `notice_handler` when the server cannot be asked, instead of the standard error.
    pub(super) fn with_notices(
        service_name: &str,
        settings: JaegerRemoteSettings,
        notice_handler: NoticeHandler,
    ) -> Self {
        let initial = Strategy::probabilistic(settings.initial_sampling_rate);
        Self {
            shared: Arc::new(Shared {
                url: strategy_url(&settings.endpoint, service_name),
                polling_interval: settings.polling_interval,
                strategy: ArcSwap::from_pointee(initial),
                poller: Poller::new(),
                notice_handler,
            }),
        }
    }

    /// Starts the thread of this process.
    #[cold]
    fn start_polling(&self) {
        let shared = Arc::clone(&self.shared);
        let started = std::thread::Builder::new()
            .name("lumitrace-sampling".to_owned())
            .spawn(move || shared.poll());
        if let Err(error) = started {
            self.shared.tell_failure(format!("no thread: {error}"));
        }
    }
}

impl Sampler for JaegerRemote {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        if self.shared.poller.of_this_process().is_to_be_started() {
            self.start_polling();
        }
        self.shared.strategy.load().decide(parameters)
    }

    fn reads_attributes(&self) -> bool {
        false
    }

    fn shutdown(&self) {
        self.shared.poller.of_this_process().stop();
    }
}

impl fmt::Debug for JaegerRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JaegerRemote")
            .field("url", &self.shared.url)
            .field("strategy", &self.shared.strategy.load())
            .finish_non_exhaustive()
    }
}

impl Drop for JaegerRemote {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    /// The life of the thread.
    fn poll(&self) {
        let poller = self.poller.of_this_process();
        let mut client = Client::new(&self.url);
        let mut has_failed = false;
        while !poller.is_stopped() {
            match client.fetch() {
                Ok(new_strategy) => {
                    if let Some(strategy) = new_strategy {
                        self.strategy.store(Arc::new(strategy));
                    }
                    if has_failed {
                        self.notice_handler.tell(&Notice::SamplingRecovered {
                            sampler: self.name(),
                        });
                    }
                    has_failed = false;
                }
                Err(error) => {
                    if !has_failed && !poller.is_stopped() {
                        self.tell_failure(error.to_string());
                    }
                    has_failed = true;
                }
            }
            poller.rest(self.polling_interval);
        }
    }

    fn tell_failure(&self, reason: String) {
        self.notice_handler.tell(&Notice::SamplingFails {
            sampler: self.name(),
            reason,
        });
    }

    fn name(&self) -> String {
        format!("Jaeger remote sampler at {}", self.url)
    }
}
