//! The heart of a provider: decides about a new span and begins its recording.

use std::sync::atomic::{AtomicBool, Ordering};

use lumitrace_model::{self as model, Scope, TraceId};

use crate::pipeline::{Pipeline, PipelineSettings};
use crate::recording::{Beginning, Parent};
use crate::sampler::{Sampler, SamplingDecision, SamplingParameters};
use crate::tracer::{Instrumentation, Tracers};
use crate::{Span, SpanContext, Tracer, fork, ids, panics};

/// One per provider, kept for as long as the process lives: every span refers to it, and a plain
/// reference costs nothing where a counter would be fought over by all threads.
pub(crate) struct Recorder {
    sampler: Box<dyn Sampler>,
    samples_by_attributes: bool,
    settings: &'static PipelineSettings,
    is_running: AtomicBool,
    /// Of the process that made the provider; forked children have theirs behind it.
    pipeline: Pipeline,
    tracers: Tracers,
}

impl Recorder {
    pub(crate) fn new(sampler: Box<dyn Sampler>, settings: PipelineSettings) -> &'static Self {
        fork::watch();
        panics::watch();
        let settings: &'static PipelineSettings = Box::leak(Box::new(settings));
        Box::leak(Box::new(Self {
            samples_by_attributes: sampler.reads_attributes(),
            sampler,
            settings,
            is_running: AtomicBool::new(true),
            pipeline: Pipeline::new(settings),
            tracers: Tracers::new(),
        }))
    }

    pub(crate) fn settings(&self) -> &'static PipelineSettings {
        self.settings
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Relaxed)
    }

    pub(crate) fn samples_by_attributes(&self) -> bool {
        self.samples_by_attributes
    }

    /// Stops recording; returns whether it was recording until now.
    pub(crate) fn stop(&self) -> bool {
        let was_running = self.is_running.swap(false, Ordering::Relaxed);
        if was_running {
            self.sampler.shutdown();
        }
        was_running
    }

    /// The queue and worker of this process.
    pub(crate) fn pipeline(&'static self) -> &'static Pipeline {
        self.pipeline.of_this_process()
    }

    /// The tracer for `scope`, the same one at each call.
    pub(crate) fn tracer(&'static self, scope: Scope) -> Tracer {
        self.tracers
            .get(&scope, |scope| Instrumentation::of_recorder(scope, self))
    }

    /// Decides whether a span is recorded.
    pub(crate) fn sampler(&self) -> &dyn Sampler {
        &*self.sampler
    }

    /// Hands on a span that was recorded elsewhere and has ended, as it is.
    pub(crate) fn record(
        &'static self,
        instrumentation: &'static Instrumentation,
        mut span: model::Span,
    ) {
        // The lowest eight of OTLP's span flags are W3C's trace flags; bit 9: a remote parent.
        let context = SpanContext::new(span.trace_id, span.span_id, (span.flags & 0xff) as u8)
            .with_trace_state(&span.trace_state);
        let is_remote = span.flags & 0x200 != 0;
        let mut beginning = Beginning {
            name: std::mem::take(&mut span.name),
            kind: span.kind,
            parent: span
                .parent_span_id
                .map(|span_id| Parent { span_id, is_remote }),
            start_unix_nano: Some(span.start_unix_nano),
            attributes: Vec::new(),
            links: Vec::new(),
        };
        let end_unix_nano = span.end_unix_nano;
        let lane = self.pipeline().own_lane();
        let place = lane.begin(&context, instrumentation, &mut beginning);
        place.take_over(span);
        place.end(Some(end_unix_nano));
    }

    /// Starts a span below `parent`, which is valid where there is one.
    pub(crate) fn start(
        &'static self,
        instrumentation: &'static Instrumentation,
        parent: Option<&SpanContext>,
        beginning: &mut Beginning,
    ) -> Span {
        let trace_id = parent.map_or_else(ids::trace_id, SpanContext::trace_id);
        self.start_in_trace(instrumentation, trace_id, parent, beginning)
    }

    /// Starts a span of the trace `trace_id`, which is that of `parent` where there is one.
    #[inline]
    pub(crate) fn start_in_trace(
        &'static self,
        instrumentation: &'static Instrumentation,
        trace_id: TraceId,
        parent: Option<&SpanContext>,
        beginning: &mut Beginning,
    ) -> Span {
        // Before what was just written is read again: see `SpanContext`.
        let span_id = ids::span_id();
        let sampling = self.sampler.should_sample(&SamplingParameters {
            parent,
            trace_id,
            scope: &instrumentation.scope,
            name: &beginning.name,
            kind: beginning.kind,
            attributes: slice(&beginning.attributes),
            links: slice(&beginning.links),
        });
        let decision = sampling.decision();
        // The only value that is returned, and so made where the caller gets it: see `SpanContext`.
        let mut span = Span::none();
        if decision == SamplingDecision::PassThrough {
            span.leave_out(parent);
            return span;
        }
        let is_sampled = decision == SamplingDecision::RecordAndSample;
        span.begin(trace_id, span_id, parent, is_sampled);
        if let Some(trace_state) = sampling.trace_state() {
            span.set_trace_state(trace_state);
        }
        if decision != SamplingDecision::Drop {
            // Asked for first: see `SpanContext`.
            if !sampling.attributes().is_empty() {
                beginning
                    .attributes
                    .extend_from_slice(sampling.attributes());
            }
            beginning.parent = parent.map(|parent| Parent {
                span_id: parent.span_id(),
                is_remote: parent.is_remote(),
            });
            let lane = self.pipeline().own_lane();
            let place = lane.begin(span.context(), instrumentation, beginning);
            span.own(place);
        }
        span
    }
}

/// The list as a slice. Of an empty list only the length is read: its other words were just written, in
/// other pieces than a slice is made of (see [`SpanContext`]).
#[expect(
    clippy::ptr_arg,
    reason = "a slice is what reads the words, and it is not made of an empty list"
)]
fn slice<T>(list: &Vec<T>) -> &[T] {
    if list.is_empty() { &[] } else { list }
}
