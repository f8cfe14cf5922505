//! Handing over a batch: the answer to come, and the reasons for a refusal.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// Says that a batch is durable and searchable.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// # let batch = example::batch()?;
/// let receipt = store.append(batch).wait()?;
/// let seqs = receipt.first_seq..receipt.first_seq + receipt.record_count as u64;
/// assert_eq!(seqs, 1..3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendReceipt {
    /// How many records were stored.
    pub record_count: usize,
    /// The sequence number of the first of them; the others follow without gap.
    pub first_seq: u64,
}

/// Why a batch was not stored. Nothing of it was.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// use lumitrace_store::AppendError;
///
/// store.close();
/// # let batch = example::batch()?;
/// match store.append(batch).wait() {
///     Ok(_) => println!("stored"),
///     Err(AppendError::Full { .. }) => println!("in a moment"),
///     Err(error) => println!("{error}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much is waiting to be written; retry after a moment.
    #[error("the store is {limit_bytes} bytes behind its disk; retry in a moment")]
    Full {
        /// The bound that was reached, in bytes.
        limit_bytes: usize,
    },
    /// No space is left on the disk; retry once there is.
    #[error("no space is left for the store ({reason}); free some and retry")]
    DiskFull {
        /// What the operating system said.
        reason: String,
    },
    /// The file system is read-only; retry once it is writable.
    #[error("the store's file system is read-only ({reason}); make it writable and retry")]
    ReadOnly {
        /// What the operating system said.
        reason: String,
    },
    /// The batch is larger than a log frame can be; send it in parts.
    #[error(
        "a batch of {bytes} bytes is too large: the log takes at most {limit_bytes}; send it in parts"
    )]
    TooLarge {
        /// Size of the payload.
        bytes: usize,
        /// Largest payload that is accepted.
        limit_bytes: usize,
    },
    /// The store has failed or is closed, and accepts nothing more until it is opened again.
    #[error("the store accepts nothing more: {reason}")]
    Failed {
        /// What happened.
        reason: String,
    },
}

impl AppendError {
    /// Whether the same batch may succeed later without anyone reopening the store.
    ///
    /// ```
    /// use lumitrace_store::AppendError;
    /// assert!(AppendError::Full { limit_bytes: 64 << 20 }.is_retryable());
    /// assert!(!AppendError::Failed { reason: "it is closed".to_owned() }.is_retryable());
    /// ```
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Full { .. } | Self::DiskFull { .. } | Self::ReadOnly { .. } => true,
            Self::TooLarge { .. } | Self::Failed { .. } => false,
        }
    }
}

/// The answer to an append, when it comes: await it, or [`wait`](Append::wait) for it on a thread.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// # let (batch, more) = (example::batch()?, example::batch()?);
/// // Both are handed over before the first answer is waited for.
/// let (first, second) = (store.append(batch), store.append(more));
/// first.wait()?;
/// second.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a batch is stored only once its answer says so"]
pub struct Append {
    answer: oneshot::Receiver<Result<AppendReceipt, AppendError>>,
}

pub(crate) type Answer = oneshot::Sender<Result<AppendReceipt, AppendError>>;

impl Append {
    pub(crate) fn channel() -> (Answer, Self) {
        let (sender, answer) = oneshot::channel();
        (sender, Self { answer })
    }

    pub(crate) fn answered(result: Result<AppendReceipt, AppendError>) -> Self {
        let (sender, append) = Self::channel();
        // The receiver is right here, so the send cannot fail.
        let _ = sender.send(result);
        append
    }

    /// Blocks this thread until the batch is durable and searchable, or refused.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// # let batch = example::batch()?;
    /// assert_eq!(store.append(batch).wait()?.record_count, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The reason for which nothing was stored.
    ///
    /// # Panics
    /// On a thread of an async runtime: await the value there.
    pub fn wait(self) -> Result<AppendReceipt, AppendError> {
        self.answer
            .blocking_recv()
            .unwrap_or_else(|_| Err(writer_gone()))
    }
}

impl Future for Append {
    type Output = Result<AppendReceipt, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(writer_gone())))
    }
}

fn writer_gone() -> AppendError {
    AppendError::Failed {
        reason: "its log writer has ended".to_owned(),
    }
}
