//! What tracing tells the people who run the program: few, plain messages.

use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something does not work as it was asked for.
    Warning,
}

/// Something worth telling. Printed, it is a sentence that says what happened and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A setting could not be used; the default is.
    Setting {
        /// Name and value, and what is used instead.
        problem: String,
    },
    /// An exporter cannot reach its receiver. Told once, until it is reached again.
    ExportFails {
        /// The exporter and its receiver.
        exporter: String,
        /// The error.
        reason: String,
    },
    /// An exporter reaches its receiver again.
    ExportRecovered {
        /// The exporter and its receiver.
        exporter: String,
    },
    /// A receiver refused spans for good. Told once per exporter.
    SpansRefused {
        /// The exporter and its receiver.
        exporter: String,
        /// How many this time.
        spans: u64,
        /// The receiver's message.
        reason: String,
    },
    /// Tracing has ended and spans were lost.
    SpansLost {
        /// Whether a warning has already said that spans are being lost, and why.
        is_expected: bool,
        /// Dropped because too many were waiting.
        queue_full: u64,
        /// Refused by a receiver.
        refused: u64,
        /// Not sent in time.
        unsent: u64,
    },
    /// A sampler cannot reach the server that tells it what to record. Told once, until it is reached
    /// again.
    SamplingFails {
        /// The sampler and its server.
        sampler: String,
        /// The error.
        reason: String,
    },
    /// A sampler reaches its server again.
    SamplingRecovered {
        /// The sampler and its server.
        sampler: String,
    },
    /// The system gave no thread: nothing will be exported.
    NoWorker {
        /// The error.
        reason: String,
    },
}

impl Notice {
    /// How much it matters. One trouble is one warning: what follows from it is information.
    pub fn severity(&self) -> Severity {
        match self {
            Notice::ExportRecovered { .. }
            | Notice::SamplingRecovered { .. }
            | Notice::SpansLost {
                is_expected: true, ..
            } => Severity::Info,
            Notice::Setting { .. }
            | Notice::ExportFails { .. }
            | Notice::SpansRefused { .. }
            | Notice::SpansLost { .. }
            | Notice::SamplingFails { .. }
            | Notice::NoWorker { .. } => Severity::Warning,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Setting { problem } => f.write_str(problem),
            Notice::ExportFails { exporter, reason } => write!(
                f,
                "{exporter} cannot send spans: {reason}. The program goes on; spans wait, the \
                 newest are dropped once the queue is full, and what is lost is counted"
            ),
            Notice::ExportRecovered { exporter } => write!(f, "{exporter} sends spans again"),
            Notice::SpansRefused {
                exporter,
                spans,
                reason,
            } => write!(
                f,
                "{exporter}: the receiver refused {spans} spans: {reason}. Further refusals are \
                 counted"
            ),
            Notice::SpansLost {
                queue_full,
                refused,
                unsent,
                ..
            } => write!(
                f,
                "tracing lost {} spans: {queue_full} because too many were waiting, {refused} \
                 refused by the receiver, {unsent} not sent in time",
                queue_full + refused + unsent
            ),
            Notice::SamplingFails { sampler, reason } => write!(
                f,
                "{sampler} gets no strategy: {reason}. Until it does, the last one stays in force, or \
                 the initial sampling rate"
            ),
            Notice::SamplingRecovered { sampler } => write!(f, "{sampler} gets strategies again"),
            Notice::NoWorker { reason } => {
                write!(
                    f,
                    "no thread for sending spans: {reason}. Tracing is without effect"
                )
            }
        }
    }
}

/// Where notices go: warnings to the standard error, unless the program says otherwise.
#[derive(Clone)]
pub(crate) struct NoticeHandler(Arc<dyn Fn(&Notice) + Send + Sync>);

impl NoticeHandler {
    pub(crate) fn new(handler: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(handler))
    }

    /// Tells; a handler that panics harms nobody.
    pub(crate) fn tell(&self, notice: &Notice) {
        // The panic hook has already printed the panic.
        let _told = catch_unwind(AssertUnwindSafe(|| (self.0)(notice)));
    }
}

impl Default for NoticeHandler {
    fn default() -> Self {
        Self::new(|notice| {
            if notice.severity() < Severity::Warning {
                return;
            }
            // Where nobody reads the standard error there is nobody to tell.
            let _written = writeln!(std::io::stderr(), "lumitrace: {notice}");
        })
    }
}
