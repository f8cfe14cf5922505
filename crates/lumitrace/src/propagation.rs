//! Carrying a trace into other processes and out of them again: in the headers of a request, the
//! properties of a message, or the environment of a program that is started.
//!
//! ```
//! use std::collections::HashMap;
//! use lumitrace::{Context, SpanContext, propagation};
//!
//! let mut headers = HashMap::new();
//! # let span_context = SpanContext::new("4bf92f3577b34da6a3ce929d0e0e4736".parse()?, "00f067aa0ba902b7".parse()?, 1);
//! # let _guard = Context::of_span_context(span_context).attach();
//! propagation::inject(&mut headers); // the current span's ids
//! assert!(headers.contains_key("traceparent"));
//!
//! // On the other side:
//! let caller = propagation::extract(&headers);
//! let _guard = caller.attach();
//! // Spans started here are children of the caller's.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Which formats are written and read, [`Propagators`] says: W3C Trace Context and Baggage, unless the
//! program or `OTEL_PROPAGATORS` chooses others. Modules in reading order: `carrier` (where a context
//! is written to and read from), [`trace_context`], [`w3c_baggage`], [`b3`], [`jaeger`], [`xray`].

pub mod b3;
mod carrier;
pub mod jaeger;
pub mod trace_context;
pub mod w3c_baggage;
pub mod xray;

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use crate::Context;

pub use carrier::{Extractor, Injector};

/// Writes a context in one format, and reads it.
///
/// Nothing here fails: what cannot be read is as if it were not there.
pub trait Propagator: Send + Sync {
    /// Writes `context` into `carrier`.
    fn inject(&self, context: &Context, carrier: &mut dyn Injector);

    /// `context` with what `carrier` says; the same if that says nothing.
    fn extract(&self, context: Context, carrier: &dyn Extractor) -> Context;

    /// The names that it writes.
    fn fields(&self) -> Vec<&'static str>;
}

/// Formats that are all written, and read one after the other: of several that name a span the last
/// one counts.
pub struct Propagators {
    propagators: Vec<Box<dyn Propagator>>,
}

impl Propagators {
    /// The names that [`by_names`](Self::by_names) knows, those of `OTEL_PROPAGATORS`
    /// (specification, "SDK environment variables").
    pub const NAMES: [&str; 7] = [
        "tracecontext",
        "baggage",
        "b3",
        "b3multi",
        "jaeger",
        "xray",
        "none",
    ];

    /// None: no trace goes into another process.
    pub fn none() -> Self {
        Self {
            propagators: Vec::new(),
        }
    }

    /// These formats as well.
    #[must_use]
    pub fn with(mut self, propagator: impl Propagator + 'static) -> Self {
        self.propagators.push(Box::new(propagator));
        self
    }

    /// The formats with these names, each once; those that are not in [`NAMES`](Self::NAMES) are left
    /// out. With `none` among them there are none.
    ///
    /// ```
    /// use lumitrace::propagation::Propagators;
    /// let fields = Propagators::by_names(["tracecontext", "b3"]).fields();
    /// assert_eq!(fields, ["traceparent", "tracestate", "b3"]);
    /// ```
    pub fn by_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known: Vec<&str> = Vec::new();
        for name in names {
            if !known.contains(&name) {
                known.push(name);
            }
        }
        if known.contains(&"none") {
            return Self::none();
        }
        known
            .into_iter()
            .fold(Self::none(), |all, name| match name {
                "tracecontext" => all.with(trace_context::TraceContext),
                "baggage" => all.with(w3c_baggage::W3cBaggage),
                "b3" => all.with(b3::B3Single),
                "b3multi" => all.with(b3::B3Multi),
                "jaeger" => all.with(jaeger::Jaeger),
                "xray" => all.with(xray::XRay),
                _ => all,
            })
    }
}

impl Default for Propagators {
    /// W3C Trace Context and Baggage.
    fn default() -> Self {
        Self::by_names(["tracecontext", "baggage"])
    }
}

impl Propagators {
    /// Writes `context` into `carrier`.
    pub fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        let propagators = self.propagators.iter();
        propagators.for_each(|propagator| propagator.inject(context, carrier));
    }

    /// What `carrier` says, in a context that has nothing else.
    pub fn extract(&self, carrier: &dyn Extractor) -> Context {
        let propagators = self.propagators.iter();
        propagators.fold(Context::default(), |context, propagator| {
            propagator.extract(context, carrier)
        })
    }

    /// The names that are written.
    pub fn fields(&self) -> Vec<&'static str> {
        let propagators = self.propagators.iter();
        propagators.flat_map(|it| it.fields()).collect()
    }
}

impl std::fmt::Debug for Propagators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Propagators").field(&self.fields()).finish()
    }
}

/// Writes the current context into `carrier`, in the formats of [`global`].
pub fn inject(carrier: &mut dyn Injector) {
    global().inject(&Context::current(), carrier);
}

/// The context that `carrier` holds, in the formats of [`global`].
pub fn extract(carrier: &dyn Extractor) -> Context {
    global().extract(carrier)
}

/// Which formats [`inject`] and [`extract`] write and read: those of [`Propagators::default`] unless
/// [`set_global`] chose others.
pub fn global() -> Arc<Propagators> {
    let chosen = CHOSEN.read().unwrap_or_else(PoisonError::into_inner);
    chosen.clone().unwrap_or_else(|| Arc::clone(&USUAL))
}

/// Chooses the formats of [`inject`] and [`extract`], also where tracing is switched off: so a trace
/// passes through unbroken.
pub fn set_global(propagators: Propagators) {
    let mut chosen = CHOSEN.write().unwrap_or_else(PoisonError::into_inner);
    *chosen = Some(Arc::new(propagators));
}

static USUAL: LazyLock<Arc<Propagators>> = LazyLock::new(Arc::default);
static CHOSEN: RwLock<Option<Arc<Propagators>>> = RwLock::new(None);

#[cfg(test)]
pub(crate) mod testing {
    //! Contexts and headers for the tests of all formats.

    use std::collections::HashMap;

    use super::*;
    use crate::SpanContext;

    pub(crate) type Headers = HashMap<String, String>;

    pub(crate) const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    pub(crate) const SPAN_ID: &str = "00f067aa0ba902b7";

    pub(crate) fn span_context(trace_flags: u8) -> SpanContext {
        let (trace_id, span_id) = (TRACE_ID.parse().unwrap(), SPAN_ID.parse().unwrap());
        SpanContext::new(trace_id, span_id, trace_flags)
    }

    pub(crate) fn headers<const N: usize>(headers: [(&str, &str); N]) -> Headers {
        let headers = headers.into_iter();
        headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    pub(crate) fn injected(propagator: &dyn Propagator, context: &Context) -> Headers {
        let mut headers = Headers::new();
        propagator.inject(context, &mut headers);
        let is_announced = |name: &String| propagator.fields().contains(&name.as_str());
        assert!(headers.keys().all(is_announced), "{headers:?}");
        headers
    }

    pub(crate) fn extracted<const N: usize>(
        propagator: &dyn Propagator,
        pairs: [(&str, &str); N],
    ) -> Option<SpanContext> {
        let context = propagator.extract(Context::default(), &headers(pairs));
        context.span_context().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;
    use crate::Baggage;

    #[test]
    fn every_known_name_is_a_format_but_none_which_is_the_end_of_all() {
        for name in Propagators::NAMES {
            let fields = Propagators::by_names([name]).fields();
            assert_eq!(fields.is_empty(), name == "none", "{name}");
        }
        assert!(Propagators::by_names(["b3", "none"]).fields().is_empty());
        assert_eq!(Propagators::by_names(["b3", "b3", "new"]).fields(), ["b3"]);
    }

    #[test]
    fn what_one_process_writes_another_one_reads_in_every_format() {
        let baggage = Baggage::new().with("user.id", "Größe, 1%");
        for name in Propagators::NAMES {
            let propagators = Propagators::by_names([name]);
            for trace_flags in [0, 1] {
                let context = Context::of_span_context(span_context(trace_flags));
                let context = context.with_baggage(baggage.clone());
                let mut headers = Headers::new();
                propagators.inject(&context, &mut headers);
                let read = propagators.extract(&headers);
                let has_ids = !matches!(name, "baggage" | "none");
                let expected = has_ids.then(|| span_context(trace_flags).remote());
                assert_eq!(read.span_context(), expected.as_ref(), "{name}");
                let has_baggage = matches!(name, "baggage" | "jaeger");
                let user = read.baggage().get("user.id");
                assert_eq!(user, has_baggage.then_some("Größe, 1%"), "{name}");
            }
        }
    }

    #[test]
    fn headers_of_nobody_leave_a_context_as_it_was() {
        for name in Propagators::NAMES {
            let context = Propagators::by_names([name]).extract(&Headers::new());
            assert_eq!(context.span_context(), None, "{name}");
            let mut headers = Headers::new();
            Propagators::by_names([name]).inject(&Context::default(), &mut headers);
            assert!(headers.is_empty(), "{name}");
        }
    }
}
