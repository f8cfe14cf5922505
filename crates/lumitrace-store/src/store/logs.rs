//! What the handle does with log records.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Store;
use crate::engine::Engine;
use crate::logs::{self, Logs};
use crate::shelf::Shelf;
use crate::summary::Summaries;
use crate::{
    Append, LogBatch, LogEntry, LogScan, LogScanStats, ReadError, StoredLogs, Subscription,
};

impl Store {
    /// Hands over a batch of log records. The answer comes when it is durable and searchable, or
    /// refused.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// use lumitrace_store::LogBatch;
    ///
    /// # let resource_logs = example::logs();
    /// let receipt = store.append_logs(LogBatch::from_resource_logs(&resource_logs)?).wait()?;
    /// assert_eq!(receipt.record_count, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append_logs(&self, batch: LogBatch) -> Append {
        match self.handle.logs.get_or_begin() {
            Ok(logs) => logs.append(batch),
            Err(refusal) => Append::answered(Err(refusal)),
        }
    }

    /// The same of log records; which of them are wanted says [`LogScan::matches`].
    pub fn subscribe_to_logs(&self) -> Subscription<StoredLogs> {
        self.handle.logs.subscribe()
    }

    /// Hands every log record that `request` asks for to `visit`, newest first, until it breaks.
    ///
    /// A search whose budget is exhausted ends early and says so in its statistics, which also tell
    /// what is damaged and was left out.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use std::ops::ControlFlow;
    /// use lumitrace_model::Severity;
    /// use lumitrace_store::LogScan;
    ///
    /// let errors = LogScan { min_severity: Severity::ERROR, ..LogScan::default() };
    /// let mut latest = None;
    /// let stats = store.scan_logs(&errors, &mut |entry| {
    ///     latest = Some(entry);
    ///     ControlFlow::Break(())
    /// })?;
    /// assert_eq!(latest.unwrap().log.body.as_str(), Some("out of memory"));
    /// assert!(stats.stopped);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn scan_logs(
        &self,
        request: &LogScan,
        visit: &mut dyn FnMut(Arc<LogEntry>) -> ControlFlow<()>,
    ) -> Result<LogScanStats, ReadError> {
        match self.handle.logs.get() {
            Some(logs) => logs::scan::scan(&logs.snapshot(), request, visit),
            None => Ok(LogScanStats::default()),
        }
    }

    /// The names of the services of which log records are stored, in order.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// assert_eq!(store.log_services(), ["trainer"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn log_services(&self) -> Vec<String> {
        let mut total = Summaries::default();
        if let Some(sources) = self.handle.logs.get().map(Shelf::snapshot) {
            let blocks = sources.blocks.iter();
            blocks.for_each(|block| total.merge(block.summaries()));
            let memtables = sources.memtables();
            let memtables = memtables.iter();
            memtables.for_each(|memtable| memtable.add_summaries_to(&mut total));
        }
        let services = total.services().into_iter();
        services.map(|service| service.name).collect()
    }

    /// What the threads of the shelf of logs share, if there is one.
    pub(crate) fn logs_engine(&self) -> Option<&Engine<Logs>> {
        Some(&self.handle.logs.get()?.engine)
    }
}
