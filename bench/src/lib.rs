//! What `cargo xtask bench` runs: our side and the peers' side of each comparison.
//!
//! **What it is.** Small programs that do one measured thing and print one line of JSON; `xtask`
//! starts them in turn, compares, and writes `docs/benchmarks.md`.
//!
//! **What it is not.** No part of the product, and nothing that asserts a time.
//!
//! The traffic is that of `lumitrace generate --shape benchmark`
//! ([`lumitrace_server::generate::shape::benchmark`]). Modules: [`statistics`]; programs: `load`
//! (fills a server), `lookup` (asks it), `ingest` (what taking spans in costs), `reopen` (opens a
//! store), `long_trace` (one trace of days), `entropy` (what the spans cannot be smaller than),
//! `rows` and `questions` (both sides of the comparison with ClickHouse), `span` (one side of the
//! SDK comparison).

pub mod statistics;
