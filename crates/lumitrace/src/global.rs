//! The provider of the whole process, for programs that need only one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use lumitrace_model::{Scope, Text};

use crate::recorder::Recorder;
use crate::tracer::{Instrumentation, Tracers};
use crate::{RECORDS, Tracer, TracerProvider};

static PROVIDER: RwLock<Option<TracerProvider>> = RwLock::new(None);
/// Whether there is a provider: spares programs without tracing the lock at every span.
static HAS_PROVIDER: AtomicBool = AtomicBool::new(false);
static TRACERS: Tracers = Tracers::new();

/// Makes `provider` the one that [`tracer`](fn@tracer) records for.
pub fn set_provider(provider: TracerProvider) {
    *PROVIDER.write().unwrap_or_else(PoisonError::into_inner) = Some(provider);
    HAS_PROVIDER.store(true, Ordering::Release);
}

/// Makes the provider that `make` builds the global one, unless there is one that is running.
/// Returns the global provider, and whether it is the new one.
pub(crate) fn provider_or_set(make: impl FnOnce() -> TracerProvider) -> (TracerProvider, bool) {
    let mut global = PROVIDER.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = global.filter(TracerProvider::is_running) {
        return (running, false);
    }
    let provider = *global.insert(make());
    HAS_PROVIDER.store(true, Ordering::Release);
    (provider, true)
}

/// The global provider, once there is one.
pub fn provider() -> Option<TracerProvider> {
    if !HAS_PROVIDER.load(Ordering::Acquire) {
        return None;
    }
    *PROVIDER.read().unwrap_or_else(PoisonError::into_inner)
}

/// The recorder of the global provider while that is running.
pub(crate) fn recorder() -> Option<&'static Recorder> {
    provider()?
        .recorder()
        .filter(|recorder| recorder.is_running())
}

/// A tracer for the library or module `name`, recording for the global provider.
///
/// May be called before tracing is set up; the tracer starts recording once it is.
///
/// ```
/// use std::sync::LazyLock;
/// static TRACER: LazyLock<lumitrace::Tracer> = LazyLock::new(|| lumitrace::tracer("train"));
/// TRACER.in_span("warm_up", |_| ());
/// ```
pub fn tracer(name: impl Into<Text>) -> Tracer {
    tracer_of_scope(Scope {
        name: name.into(),
        ..Scope::default()
    })
}

/// The tracer of a function that `#[trace]` has to do with, looked up once.
#[doc(hidden)]
#[inline]
pub fn tracer_of_module(known: &OnceLock<Tracer>, module: &'static str) -> Tracer {
    match RECORDS {
        true => *known.get_or_init(|| tracer(module)),
        false => Tracer::of_nothing(),
    }
}

/// A tracer as [`tracer`] gives it, for a library with a version and attributes.
pub fn tracer_of_scope(scope: Scope) -> Tracer {
    TRACERS.get(&scope, Instrumentation::global)
}
