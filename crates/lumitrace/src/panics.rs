//! What a panic says, for the span that it ends.
//!
//! A span that is dropped while its thread unwinds does not learn what the panic said: only the
//! panic hook does. So the hook in place is wrapped, once, in one that also keeps the message and
//! the place for the innermost span. The spans around that one only say that they failed: an
//! exception is told once.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{Location, PanicHookInfo};
use std::sync::Once;

/// A panic that no span has recorded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) stacktrace: String,
}

/// The latest panic of a thread.
enum Latest {
    /// None, or none that the hook has seen.
    Unknown,
    Noted(Panic),
    Recorded,
}

thread_local! {
    static LATEST: RefCell<Latest> = const { RefCell::new(Latest::Unknown) };
}

/// Starts noting panics; does nothing when called again, or by a thread that is panicking.
pub(crate) fn watch() {
    static WATCH: Once = Once::new();
    if std::thread::panicking() {
        return;
    }
    WATCH.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            note(info);
            before(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let panic = Panic {
        message: info.payload_as_str().unwrap_or(NO_MESSAGE).to_owned(),
        stacktrace: info.location().map(stack).unwrap_or_default(),
    };
    // A thread that is ending, or that panics right here, goes without.
    let _noted = LATEST.try_with(|latest| {
        if let Ok(mut latest) = latest.try_borrow_mut() {
            *latest = Latest::Noted(panic);
        }
    });
}

/// Of a payload that is no text, and of a panic that the hook has not seen.
const NO_MESSAGE: &str = "the thread panicked";

/// The panic by which this thread unwinds; `None` if a span has recorded it already. Where the
/// program has put a hook of its own in the place of ours, each span is told so much as there is.
pub(crate) fn take() -> Option<Panic> {
    let unknown = || Panic {
        message: NO_MESSAGE.to_owned(),
        stacktrace: "unwinding through this span".to_owned(),
    };
    let latest = LATEST.try_with(|latest| match &mut *latest.borrow_mut() {
        Latest::Unknown => Some(unknown()),
        Latest::Recorded => None,
        noted @ Latest::Noted(_) => match std::mem::replace(noted, Latest::Recorded) {
            Latest::Noted(panic) => Some(panic),
            Latest::Unknown | Latest::Recorded => None,
        },
    });
    latest.unwrap_or_else(|_| Some(unknown()))
}

/// The place, and the frames above it where `RUST_BACKTRACE` asks for them: resolving them takes
/// milliseconds.
pub(crate) fn stack(place: &Location<'_>) -> String {
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        format!("at {place}\n{backtrace}")
    } else {
        format!("at {place}")
    }
}
