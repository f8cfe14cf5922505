//! Blocks: sorted spans in a Parquet file, and beside it an index that finds a trace's rows.
//!
//! In reading order: [`schema`] is the columns, [`attributes`] how attribute lists become columns
//! and come back, [`columns`] and [`rows`] the same for whole spans, [`file`] reads and writes with
//! checksums, [`index`] is the sidecar, [`writer`] makes a block, [`reader`] reads one. The bytes
//! are described in `docs/formats/store.md`.

pub(crate) mod attributes;
pub(crate) mod columns;
pub(crate) mod file;
pub(crate) mod index;
pub(crate) mod reader;
pub(crate) mod rows;
pub(crate) mod schema;
pub(crate) mod writer;

pub(crate) use reader::Block;
pub(crate) use writer::BlockWriter;
