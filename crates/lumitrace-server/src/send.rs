//! Sending spans to an OTLP receiver, or into a file of requests.
//!
//! Modules in reading order: [`destination`] (where spans go), `sink` (one connection to it), `rate`
//! (how fast), `delivery` (sending batches until they are accepted, refused or given up), [`tally`]
//! (what became of them).

pub(crate) mod delivery;
pub mod destination;
pub(crate) mod rate;
pub(crate) mod sink;
pub mod tally;

pub use destination::Protocol;
pub use tally::Report;
