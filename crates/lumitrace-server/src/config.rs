//! The settings of the server: what they are, what they default to, and where they come from.
//!
//! Each setting has one key, such as `listen.otlp_grpc`, and from it follow all its names: that key
//! in the YAML file, `LUMITRACE_LISTEN_OTLP_GRPC` in the environment, `--listen-otlp-grpc` as a
//! flag. A later layer wins: defaults < file < environment < flags.

mod layers;
mod settings;
mod units;

pub use layers::{ConfigError, FILE_NAME, Layers};
pub use settings::{Setting, settings};
pub use units::{Address, OrSame, Period, Size};

use lumitrace_query::EngineOptions;
use lumitrace_wire::DecodeLimits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Every setting of the server. The doc comments are the help text of the flags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder that holds all data. It is made if it does not exist.
    #[schemars(with = "String")]
    pub data_dir: PathBuf,
    /// Addresses to listen on.
    pub listen: Listen,
    /// What one sender, and all of them together, may ask of the server.
    pub limits: Limits,
    /// How spans are kept.
    pub store: Store,
    /// What one question may cost, and all of them together.
    pub query: Query,
    /// The web interface.
    pub ui: Ui,
    /// The server's own log, on standard error.
    pub log: Log,
    /// How long to wait at the end for requests that are under way.
    pub shutdown_timeout: Period,
}

/// Addresses to listen on, as `host:port`. Port 0 takes any free one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address for OTLP/gRPC. OTLP/HTTP is understood here too.
    pub otlp_grpc: Address,
    /// Address for OTLP/HTTP, protobuf and JSON. OTLP/gRPC is understood here too.
    pub otlp_http: Address,
    /// Address of the web interface and the query APIs.
    pub ui: Address,
}

/// What one sender, and all of them together, may ask of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest request accepted, counted after decompression.
    pub max_request_bytes: Size,
    /// Most bytes of requests in work at one time, as sent, decompressed and decoded; senders above
    /// it are asked to come again.
    pub max_in_flight_bytes: Size,
    /// Deepest nesting of attribute values accepted.
    pub max_value_depth: usize,
    /// How many bytes in memory one byte of a request may become.
    pub max_expansion: usize,
    /// How long a request may take to arrive.
    pub body_timeout: Period,
}

/// How spans are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// When a sender gets its answer: fsync (after its spans are on the disk), interval (the disk
    /// follows within durability_interval), none (whenever the system writes).
    pub durability: DurabilityMode,
    /// Time between two fsyncs where durability is interval.
    pub durability_interval: Period,
    /// Bytes of recent spans held in memory before they become a block.
    pub memtable_bytes: Size,
    /// Bytes of requests that may wait for the log; senders above it are asked to come again.
    pub queue_bytes: Size,
    /// Size of a file of the write-ahead log; two that are not needed are kept to be used again.
    pub log_segment_bytes: Size,
    /// Longest time that spans stay in memory before they become a block.
    pub flush_after: Period,
    /// How long spans, log records and metrics are kept after they were received, such as 720h; 0s
    /// keeps them for ever.
    pub retention_max_age: Period,
    /// Most bytes that blocks of spans, log records and metrics together may take on the disk before
    /// the oldest are removed; 0 sets no limit.
    pub retention_max_bytes: Size,
    /// Bytes of the disk to keep free by removing the oldest blocks, whatever is in them; 0 removes
    /// none.
    pub retention_min_free_bytes: Size,
    /// How long log records are kept after they were received; 0s keeps them for ever, and same as
    /// long as retention_max_age says.
    pub log_retention_max_age: OrSame<Period>,
    /// Most bytes that blocks of log records may take by themselves; 0 sets no limit, and with same
    /// they count for retention_max_bytes.
    pub log_retention_max_bytes: OrSame<Size>,
    /// How long metrics are kept after they were received; 0s keeps them for ever, and same as long
    /// as retention_max_age says.
    pub metric_retention_max_age: OrSame<Period>,
    /// Most bytes that blocks of metrics may take by themselves; 0 sets no limit, and with same they
    /// count for retention_max_bytes.
    pub metric_retention_max_bytes: OrSame<Size>,
}

/// What one question may cost, and all of them together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Longest time that a question may take; a search then shows what it has found.
    pub max_time: Period,
    /// Most spans that a question may look at; a search then shows what it has found.
    pub max_spans: u64,
    /// Most memory that a question may keep; a trace of a million spans needs about 330 MiB.
    pub max_memory_bytes: Size,
    /// Most memory that all questions together may keep.
    pub max_total_memory_bytes: Size,
}

/// When an acknowledgement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityMode {
    /// After the spans are on the disk.
    Fsync,
    /// At once; the disk follows within the interval.
    Interval,
    /// At once; the operating system writes when it likes.
    None,
}

/// The web interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ui {
    /// Who may show the interface in a frame: the value of CSP frame-ancestors.
    pub frame_ancestors: String,
}

/// The server's own log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,hyper=debug.
    pub level: String,
    /// How it is written: text or json.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        let decoding = DecodeLimits::default();
        let querying = EngineOptions::default();
        Self {
            data_dir: PathBuf::from("./lumitrace-data"),
            listen: Listen {
                otlp_grpc: Address::loopback(4317),
                otlp_http: Address::loopback(4318),
                ui: Address::loopback(16686),
            },
            limits: Limits {
                // The size that the OTLP specification recommends.
                max_request_bytes: Size(64 * MIB),
                max_in_flight_bytes: Size(512 * MIB),
                max_value_depth: decoding.max_depth,
                max_expansion: decoding.max_expansion,
                body_timeout: Period::from_secs(30),
            },
            store: Store {
                durability: DurabilityMode::Fsync,
                durability_interval: Period::from_secs(1),
                memtable_bytes: Size(64 * MIB),
                queue_bytes: Size(64 * MIB),
                log_segment_bytes: Size(64 * MIB),
                flush_after: Period::from_secs(60),
                retention_max_age: Period::from_secs(0),
                retention_max_bytes: Size(0),
                retention_min_free_bytes: Size(0),
                log_retention_max_age: OrSame::Same,
                log_retention_max_bytes: OrSame::Same,
                metric_retention_max_age: OrSame::Same,
                metric_retention_max_bytes: OrSame::Same,
            },
            query: Query {
                max_time: Period(querying.query_limits.max_time),
                max_spans: querying.query_limits.max_spans,
                max_memory_bytes: Size(querying.query_limits.max_memory_bytes),
                max_total_memory_bytes: Size(querying.query_memory_bytes),
            },
            ui: Ui {
                frame_ancestors: "'none'".to_owned(),
            },
            log: Log {
                level: "info".to_owned(),
                format: LogFormat::Text,
            },
            shutdown_timeout: Period::from_secs(10),
        }
    }
}

impl Config {
    /// The settings as a YAML file that gives the same settings when read.
    ///
    /// # Errors
    /// Where a value cannot be written as YAML, which no value of a loaded configuration is.
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        Ok(serde_saphyr::to_string(self)?)
    }
}
