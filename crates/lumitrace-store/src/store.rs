//! The handle to an open store.

use std::ops::ControlFlow;
use std::sync::Arc;

use lumitrace_model::TraceId;
use tokio::sync::broadcast;

use crate::{
    Append, FlushError, OpenError, OperationSummary, ReadError, ScanRequest, ScanStats, ServiceSummary,
    SpanBatch, SpanRecord, StoreOptions, StoreStats,
};

/// An open store. Clones share it; dropping the last one closes it.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens the store in `options.dir`, creating the folder if absent, and brings back from the
    /// log what had not reached a block.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let _ = options;
        todo!()
    }

    /// Hands over a batch. The answer comes when it is durable and searchable, or refused.
    pub fn append(&self, batch: SpanBatch) -> Append {
        let _ = batch;
        todo!()
    }

    /// All spans of a trace, whatever their age, each once, by start.
    ///
    /// A final span replaces announcements of it; of two announcements the later counts, of two
    /// final spans the first.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn trace(&self, trace_id: TraceId) -> Result<Vec<Arc<SpanRecord>>, ReadError> {
        let _ = trace_id;
        todo!()
    }

    /// Hands every span that `request` asks for to `visit`, window by window, until it breaks.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn scan(
        &self,
        request: &ScanRequest,
        visit: &mut dyn FnMut(Arc<SpanRecord>) -> ControlFlow<()>,
    ) -> Result<ScanStats, ReadError> {
        let _ = (request, visit);
        todo!()
    }

    /// The services of which spans are stored, by name.
    pub fn services(&self) -> Vec<ServiceSummary> {
        todo!()
    }

    /// The operations of a service, by name and kind.
    pub fn operations(&self, service: &str) -> Vec<OperationSummary> {
        let _ = service;
        todo!()
    }

    /// Every batch from now on, as soon as it is durable and searchable. A receiver that falls
    /// behind by more than [`StoreOptions::subscriber_batches`] is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<[Arc<SpanRecord>]>> {
        todo!()
    }

    /// The store in numbers.
    pub fn stats(&self) -> StoreStats {
        todo!()
    }

    /// Writes everything in memory out as blocks, and returns when that is done.
    ///
    /// # Errors
    /// The reason for which it could not be written, for people.
    pub fn flush(&self) -> Result<(), FlushError> {
        todo!()
    }

    /// Ends the store's threads after they have finished what was handed over. What is in memory
    /// stays in the log. Later appends are refused; reads still work.
    pub fn close(&self) {
        todo!()
    }
}
