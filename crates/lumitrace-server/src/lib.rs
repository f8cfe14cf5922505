//! The server of Lumitrace: receives traces, logs and metrics, keeps them, and answers questions about them.
//!
//! **What it is.** One process with three ports: OTLP/gRPC, OTLP/HTTP, and a web interface with
//! query APIs. The binary `lumitrace` is a thin wrapper around this crate.
//!
//! **What it is not.** No knowledge of file formats (that is `lumitrace-store`'s), of wire formats
//! (`lumitrace-wire`), or of what spans mean (`lumitrace-query`).
//!
//! Modules in reading order, along the way of the data: [`config`] and [`cli`] say what is wanted,
//! [`serve`] puts everything together, [`listen`] accepts connections, `gate` answers them until the
//! store is open, [`receive`] takes OTLP in, [`admit`] decides what is refused and how that is said, [`live`] tells open pages what changed,
//! [`api`] answers queries, [`ui`] serves the web interface, [`ops`] and [`metrics`] tell operators
//! how it goes, and [`doctor`] finds out why it does not. Apart from the server, [`generate`] makes
//! traffic to measure with, `launch` starts programs with tracing on, and [`store_tools`] looks after a
//! folder; they share [`send`], [`stop`],
//! `record_file` and `progress`.

pub mod admit;
pub mod api;
pub mod cli;
pub mod config;
pub mod doctor;
mod gate;
pub mod generate;
mod launch;
pub mod listen;
pub mod live;
pub mod metrics;
pub mod ops;
mod progress;
pub mod receive;
mod record_file;
pub mod send;
pub mod serve;
pub mod stop;
pub mod store_tools;
pub mod ui;
