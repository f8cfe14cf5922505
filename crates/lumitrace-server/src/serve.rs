//! Puts the server together, and takes it apart again in order.

use crate::admit::Budget;
use crate::api::{self, Api};
use crate::config::{self, Config, DurabilityMode, OrSame, Period, Size};
use crate::gate::Gate;
use crate::listen::{self, Connections, OTLP_GRPC, OTLP_HTTP, UI};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::ops::Ops;
use crate::receive::{self, Receiver};
use anyhow::Context;
use lumitrace_query::training::RunDigester;
use lumitrace_query::{EngineOptions, QueryEngine};
use lumitrace_store::{
    Durability, OwnRetention, QueryLimits, Retention, ShelfName, Store, StoreOptions,
};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// Where a running server listens. Written to the ready file as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoints {
    /// OTLP/gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP/HTTP.
    pub otlp_http: SocketAddr,
    /// Web interface and query APIs.
    pub ui: SocketAddr,
}

struct Listeners {
    otlp_grpc: TcpListener,
    otlp_http: TcpListener,
    ui: TcpListener,
}

/// A running server. End it with [`Server::shutdown`].
pub struct Server {
    endpoints: Endpoints,
    store: Store,
    connections: Connections,
    closing: CancellationToken,
    live: tokio::task::JoinHandle<()>,
    shutdown_timeout: Duration,
}

impl Server {
    /// Opens the ports, then the store, and begins to serve. Until the store is open, which takes as
    /// long as its log is long, requests are refused for now; but the process says that it lives.
    ///
    /// # Errors
    /// A port that cannot be had, or a store that cannot be opened. The message says what to do.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let listeners = Listeners::bind(config).await?;
        let endpoints = listeners.endpoints()?;
        let metrics = Arc::new(Metrics::new());
        let closing = CancellationToken::new();
        // Nobody is served any more if this ends early.
        let close_early = closing.clone().drop_guard();
        let connections = Connections::new(Arc::clone(&metrics), closing.clone());
        let [otlp_gate, ui_gate] = [(); 2].map(|()| Gate::new(Arc::clone(&metrics)));
        connections.serve(OTLP_GRPC, listeners.otlp_grpc, otlp_gate.router());
        connections.serve(OTLP_HTTP, listeners.otlp_http, otlp_gate.router());
        connections.serve(UI, listeners.ui, ui_gate.router());
        tracing::info!(
            "opening the store; http://{}/readyz tells once it is open",
            endpoints.ui
        );

        let store = open_store(config).await?;
        let budget = Budget::new(config.limits.max_in_flight_bytes.0);
        metrics.watch(store.clone(), budget.clone());
        let engine = QueryEngine::with_options(store.clone(), engine_options(&config.query));
        let (live, live_task) = Live::start(engine.clone(), Arc::clone(&metrics), closing.clone());

        let ui_url = format!("http://{}", endpoints.ui);
        let receiver = Receiver::new(
            store.clone(),
            budget,
            Arc::clone(&metrics),
            &config.limits,
            ui_url,
        );
        let ops = Arc::new(Ops {
            store: store.clone(),
            metrics: Arc::clone(&metrics),
        });
        otlp_gate.open(receive::router(Arc::new(receiver), Arc::clone(&ops)));
        let api = Api::new(engine, live, metrics, config, &endpoints);
        ui_gate.open(api::router(Arc::new(api), ops, &config.ui));

        close_early.disarm();
        let shutdown_timeout = config.shutdown_timeout.0;
        let server = Self {
            endpoints,
            store,
            connections,
            closing,
            live: live_task,
            shutdown_timeout,
        };
        server.announce(config, begun.elapsed());
        Ok(server)
    }

    /// Where it listens.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn announce(&self, config: &Config, took: Duration) {
        let Endpoints {
            otlp_grpc,
            otlp_http,
            ui,
        } = self.endpoints;
        let stats = self.store.stats();
        let logs = self.store.stats_of(ShelfName::Logs).unwrap_or_default();
        let metrics = self.store.stats_of(ShelfName::Metrics).unwrap_or_default();
        let data_dir =
            std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
        let torn_tails = [&stats.torn_tail, &logs.torn_tail, &metrics.torn_tail];
        for torn in torn_tails.into_iter().flatten() {
            tracing::warn!("the log ended in an unfinished write, which was cut off: {torn}");
        }
        tracing::info!(
            "Lumitrace {} is ready after {took:.0?}",
            env!("CARGO_PKG_VERSION")
        );
        tracing::info!("  web interface  http://{ui}");
        tracing::info!("  OTLP/HTTP      http://{otlp_http}");
        tracing::info!("  OTLP/gRPC      {otlp_grpc}");
        tracing::info!(
            "  data           {} ({} spans, {} log records, {} metric points, {} recovered from the \
             log)",
            data_dir.display(),
            stats.records,
            logs.records,
            metrics.records,
            stats.replayed_records + logs.replayed_records + metrics.replayed_records
        );
        for (port, address) in [(OTLP_GRPC, otlp_grpc), (OTLP_HTTP, otlp_http), (UI, ui)] {
            if !address.ip().is_loopback() {
                tracing::warn!(
                    "{} is open to other machines at {address}, without a login or encryption; \
                     listen.{} sets the address",
                    port.title,
                    port.name
                );
            }
        }
    }

    /// Ends in order: no new connections, requests under way get their answers, live streams end,
    /// the store closes. Bounded by the `shutdown_timeout` of the settings.
    pub async fn shutdown(self) {
        let deadline = Instant::now() + self.shutdown_timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.closing.cancel();
        if !self.connections.drain(left()).await {
            tracing::warn!("some requests did not end in time and were cut off");
        }
        // It ends by itself once `closing` is cancelled; a panic in it was logged already.
        let _ = tokio::time::timeout(left(), self.live).await;
        let store = self.store;
        let close = spawn_blocking(move || store.close());
        if tokio::time::timeout(left().max(Duration::from_secs(1)), close)
            .await
            .is_err()
        {
            tracing::warn!("the store did not close in time; what is acknowledged is in its log");
        }
        tracing::info!("Lumitrace has ended");
    }
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, listen::BindError> {
        Ok(Self {
            otlp_grpc: listen::bind(OTLP_GRPC, &config.listen.otlp_grpc).await?,
            otlp_http: listen::bind(OTLP_HTTP, &config.listen.otlp_http).await?,
            ui: listen::bind(UI, &config.listen.ui).await?,
        })
    }

    fn endpoints(&self) -> std::io::Result<Endpoints> {
        Ok(Endpoints {
            otlp_grpc: self.otlp_grpc.local_addr()?,
            otlp_http: self.otlp_http.local_addr()?,
            ui: self.ui.local_addr()?,
        })
    }
}

async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let options = StoreOptions {
        durability: match config.store.durability {
            DurabilityMode::Fsync => Durability::Fsync,
            DurabilityMode::Interval => Durability::Interval(config.store.durability_interval.0),
            DurabilityMode::None => Durability::None,
        },
        memtable_bytes: config.store.memtable_bytes.as_usize(),
        queue_bytes: config.store.queue_bytes.as_usize(),
        log_segment_bytes: config.store.log_segment_bytes.0,
        flush_after: config.store.flush_after.0,
        retention: retention(&config.store),
        log_retention: own_retention(
            config.store.log_retention_max_age,
            config.store.log_retention_max_bytes,
        ),
        metric_retention: own_retention(
            config.store.metric_retention_max_age,
            config.store.metric_retention_max_bytes,
        ),
        digester: Some(Arc::new(RunDigester::default())),
        ..StoreOptions::new(&config.data_dir)
    };
    let opened = spawn_blocking(move || Store::open(options)).await;
    opened
        .context("opening the store failed unexpectedly")?
        .with_context(|| {
            format!(
                "cannot open the data folder {} (data_dir)",
                config.data_dir.display()
            )
        })
}

fn engine_options(settings: &config::Query) -> EngineOptions {
    EngineOptions {
        query_limits: QueryLimits {
            max_time: settings.max_time.0,
            max_spans: settings.max_spans,
            max_memory_bytes: settings.max_memory_bytes.0,
        },
        query_memory_bytes: settings.max_total_memory_bytes.0,
        ..EngineOptions::default()
    }
}

/// In the settings zero stands for no limit.
fn retention(settings: &config::Store) -> Retention {
    let bytes = |size: config::Size| Some(size.0).filter(|bytes| *bytes > 0);
    Retention {
        max_age: Some(settings.retention_max_age.0).filter(|age| !age.is_zero()),
        max_bytes: bytes(settings.retention_max_bytes),
        min_free_bytes: bytes(settings.retention_min_free_bytes),
    }
}

/// In the settings zero stands for no limit.
fn own_retention(max_age: OrSame<Period>, max_bytes: OrSame<Size>) -> OwnRetention {
    let max_age = match max_age {
        OrSame::Same => None,
        OrSame::Own(Period(Duration::ZERO)) => Some(Duration::MAX),
        OrSame::Own(Period(age)) => Some(age),
    };
    let max_bytes = match max_bytes {
        OrSame::Same => None,
        OrSame::Own(Size(0)) => Some(u64::MAX),
        OrSame::Own(Size(bytes)) => Some(bytes),
    };
    OwnRetention { max_age, max_bytes }
}

/// Writes where the server listens to `path`, so that whoever waits for the file never reads half.
///
/// # Errors
/// When the file cannot be written.
pub fn write_ready_file(path: &Path, endpoints: &Endpoints) -> anyhow::Result<()> {
    let mut partial = PathBuf::from(path).into_os_string();
    partial.push(".partial");
    let ready = ReadyFile {
        pid: std::process::id(),
        endpoints,
    };
    std::fs::write(&partial, serde_json::to_vec(&ready)?)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}

#[derive(Serialize)]
struct ReadyFile<'a> {
    pid: u32,
    #[serde(flatten)]
    endpoints: &'a Endpoints,
}
