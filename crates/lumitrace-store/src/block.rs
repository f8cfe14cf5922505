//! Blocks: sorted spans in a Parquet file, and beside it an index that finds a trace's rows.
//!
//! In reading order: [`layout`] decides from what [`keys`] are counted which columns a block has,
//! and [`schema`] names them. A span comes as a [`row`]. Its attributes, as borrowed
//! [`value`]s, of which [`large_values`] go into a [`payload`] file, become [`attribute_columns`] or go
//! into the list of [`attributes`]; [`lists`] are events and links, [`columns`] whole spans. What
//! spans share is in [`tables`] and in [`received`]. [`trace_table`] and [`value_filters`] say where
//! traces and values are, [`time_ranges`] when spans start, and a [`rollup`], by its [`rollup_keys`],
//! how many there are and how long they took; a [`digest`] is what whoever opens the store wants
//! kept. [`index`] is the sidecar of all that, with its [`index_header`]; [`mod@file`] reads and writes with
//! checksums, [`in_memory`] without waiting where it can, and [`writer`] makes a block. To read one: [`footer`], [`guarded_pages`] before Parquet's
//! decoders and what [`decompress`]es them, [`text`] columns, [`few_rows`] (of pages with a
//! [`page_header`], single [`page_values`], some of them as [`page_deltas`], what is kept in [`caches`]),
//! [`rows`] back into spans, [`data`], [`records`], [`reader`]; [`in_order`] merges several. The bytes are
//! described in `docs/formats/store.md`.

pub(crate) mod attribute_columns;
pub(crate) mod attributes;
pub(crate) mod caches;
pub(crate) mod columns;
pub(crate) mod data;
pub(crate) mod decompress;
pub(crate) mod digest;
pub(crate) mod few_rows;
pub(crate) mod file;
pub(crate) mod footer;
pub(crate) mod guarded_pages;
mod in_memory;
pub(crate) mod in_order;
pub(crate) mod index;
pub(crate) mod index_header;
pub(crate) mod keys;
pub(crate) mod large_values;
pub(crate) mod layout;
pub(crate) mod lists;
pub(crate) mod page_deltas;
pub(crate) mod page_header;
pub(crate) mod page_values;
pub(crate) mod payload;
pub(crate) mod reader;
pub(crate) mod received;
pub(crate) mod records;
pub(crate) mod rollup;
pub(crate) mod rollup_keys;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod schema;
pub(crate) mod tables;
pub(crate) mod text;
pub(crate) mod time_ranges;
pub(crate) mod trace_table;
pub(crate) mod value;
pub(crate) mod value_filters;
pub(crate) mod writer;

pub(crate) use reader::Block;
pub(crate) use writer::BlockWriter;
