//! The server as its users meet it: the real binary, on free ports, over real connections.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod archive;
mod bad_input;
mod configuration;
mod doctor;
mod faults;
mod generate;
mod harness;
mod jaeger;
mod kill;
mod launch;
mod lifecycle;
mod live;
mod logs;
mod metrics;
mod ops;
mod round_trip;
mod settings;
mod spans;
mod starting;
mod store_tools;
