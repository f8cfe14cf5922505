//! What is recorded of one span while it is open and until it is sent.
//!
//! The handle that the program holds, the contexts that refer to the span, the list of open spans
//! and the queue all share one allocation, which serves a later span once nobody refers to it. Its
//! lock is taken by the traced program alone, except in the rare moment in which the worker thread
//! announces a long-open span, so it costs no wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lumitrace_model::{Event, KeyValue, Link, Span, SpanId, SpanKind, Status, Text};

use crate::lock::Mutex;
use crate::pipeline::Pipeline;
use crate::tracer::Instrumentation;
use crate::{SpanContext, SpanLimits, clock, limits};

/// One recorded span.
pub(crate) struct Recording {
    context: SpanContext,
    instrumentation: &'static Instrumentation,
    pipeline: &'static Pipeline,
    /// Turns the monotonic clock into this span's time; kept, so that its duration is right even
    /// when the system's clock is set meanwhile.
    offset_unix_nano: u64,
    ended: AtomicBool,
    data: Mutex<RecordedData>,
}

/// What a span starts with.
pub(crate) struct Beginning {
    pub(crate) name: Text,
    pub(crate) kind: SpanKind,
    pub(crate) parent: Option<Parent>,
    pub(crate) start_unix_nano: Option<u64>,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) links: Vec<Link>,
}

/// The part of a parent that its child keeps.
#[derive(Clone, Copy)]
pub(crate) struct Parent {
    pub(crate) span_id: SpanId,
    pub(crate) is_remote: bool,
}

#[derive(Default)]
struct RecordedData {
    name: Text,
    kind: SpanKind,
    parent: Option<Parent>,
    start_unix_nano: u64,
    end_unix_nano: u64,
    attributes: Vec<KeyValue>,
    dropped_attributes_count: u32,
    /// Boxed: most spans have none of it.
    details: Option<Box<Details>>,
    announcement: Announcement,
}

#[derive(Default)]
struct Details {
    events: Vec<Event>,
    dropped_events_count: u32,
    links: Vec<Link>,
    dropped_links_count: u32,
    status: Status,
}

#[derive(Default)]
struct Announcement {
    /// Of the monotonic clock; `None` while the span was never announced.
    at_nano: Option<u64>,
    /// Whether something was recorded since.
    is_outdated: bool,
}

/// Attributes for which a recording keeps memory from one span to the next.
const MAX_KEPT_ATTRIBUTES: usize = 16;

impl Recording {
    /// Begins a recording, in the memory of an earlier one where there is some.
    pub(crate) fn start(
        context: &SpanContext,
        instrumentation: &'static Instrumentation,
        pipeline: &'static Pipeline,
        beginning: Beginning,
    ) -> Arc<Self> {
        // Only one that nobody refers to any more: a handle never sees another span.
        if let Some(mut spare) = pipeline.spares().take()
            && let Some(place) = Arc::get_mut(&mut spare)
        {
            place.instrumentation = instrumentation;
            place.pipeline = pipeline;
            place.begin(context, beginning);
            return spare;
        }
        let mut recording = Self {
            context: SpanContext::default(),
            instrumentation,
            pipeline,
            offset_unix_nano: 0,
            ended: AtomicBool::new(true),
            data: Mutex::default(),
        };
        recording.begin(context, beginning);
        Arc::new(recording)
    }

    /// Writes field by field: a whole recording, made elsewhere and moved here, costs more than
    /// the clock.
    fn begin(&mut self, context: &SpanContext, beginning: Beginning) {
        let limits = self.pipeline.limits();
        self.offset_unix_nano = clock::offset_unix_nano();
        let start_unix_nano = beginning
            .start_unix_nano
            .unwrap_or_else(|| self.now_unix_nano());
        self.context = context.clone();
        *self.ended.get_mut() = false;
        let data = self.data.get_mut();
        data.name = beginning.name;
        data.kind = beginning.kind;
        data.parent = beginning.parent;
        data.start_unix_nano = start_unix_nano;
        data.end_unix_nano = 0;
        data.attributes.clear();
        data.dropped_attributes_count = limits::set_each(
            &mut data.attributes,
            beginning.attributes,
            limits.attributes,
            limits.value_length,
        );
        data.details = None;
        data.announcement = Announcement::default();
        for link in beginning.links {
            data.add_link(link, limits);
        }
    }

    pub(crate) fn context(&self) -> &SpanContext {
        &self.context
    }

    pub(crate) fn instrumentation(&self) -> &'static Instrumentation {
        self.instrumentation
    }

    /// Whether the span is open and belongs to this process: a forked child inherits copies of its
    /// parent's spans, which only the parent may change and end.
    pub(crate) fn is_open(&self) -> bool {
        self.pipeline.is_of_this_process() && !self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn now_unix_nano(&self) -> u64 {
        clock::monotonic_nano() + self.offset_unix_nano
    }

    /// Changes an open span; on one that has ended the change is ignored and counted.
    fn change(&self, change: impl FnOnce(&mut RecordedData, &SpanLimits)) {
        if !self.pipeline.is_of_this_process() {
            return;
        }
        let mut data = self.data.lock();
        if self.ended.load(Ordering::Relaxed) {
            self.pipeline
                .counters()
                .late_changes
                .fetch_add(1, Ordering::Relaxed);
            return;
        }
        data.announcement.is_outdated = true;
        change(&mut data, self.pipeline.limits());
    }

    pub(crate) fn set_attribute(&self, attribute: KeyValue) {
        self.change(|data, limits| data.set_attribute(attribute, limits));
    }

    pub(crate) fn set_attributes(&self, attributes: Vec<KeyValue>) {
        self.change(|data, limits| {
            for attribute in attributes {
                data.set_attribute(attribute, limits);
            }
        });
    }

    pub(crate) fn add_event(
        &self,
        name: Text,
        time_unix_nano: Option<u64>,
        attributes: Vec<KeyValue>,
    ) {
        let time_unix_nano = time_unix_nano.unwrap_or_else(|| self.now_unix_nano());
        self.change(|data, limits| data.add_event(name, time_unix_nano, attributes, limits));
    }

    /// Adds an exception event, unless the span's last event already tells of the same exception:
    /// it passes several hands on its way out of a span.
    pub(crate) fn add_exception(&self, name: Text, attributes: Vec<KeyValue>) {
        let time_unix_nano = self.now_unix_nano();
        self.change(|data, limits| {
            let last = data
                .details
                .as_ref()
                .and_then(|details| details.events.last());
            let is_known = last.is_some_and(|last| {
                let same = attributes
                    .iter()
                    .zip(&last.attributes)
                    .take(2)
                    .all(|(a, b)| a == b);
                last.name == name && same
            });
            if !is_known {
                data.add_event(name, time_unix_nano, attributes, limits);
            }
        });
    }

    pub(crate) fn add_link(&self, link: Link) {
        self.change(|data, limits| data.add_link(link, limits));
    }

    /// Sets the status; success, once declared, is final (specification, "Set Status").
    pub(crate) fn set_status(&self, status: Status) {
        self.change(|data, _| {
            let details = data.details.get_or_insert_default();
            if details.status.code != lumitrace_model::StatusCode::Ok {
                details.status = status;
            }
        });
    }

    pub(crate) fn rename(&self, name: Text) {
        self.change(|data, _| data.name = name);
    }

    /// Ends the span and hands it to the queue; a span that has ended stays as it is.
    pub(crate) fn end(self: Arc<Self>, end_unix_nano: Option<u64>) {
        if !self.pipeline.is_of_this_process() {
            return;
        }
        let end_unix_nano = end_unix_nano.unwrap_or_else(|| self.now_unix_nano());
        let size_bytes = {
            let mut data = self.data.lock();
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            data.end_unix_nano = end_unix_nano;
            self.ended.store(true, Ordering::Release);
            data.size_bytes()
        };
        let pipeline = self.pipeline;
        pipeline.submit(self, size_bytes);
    }

    /// A copy of what is recorded so far; of a span of another process, nothing.
    pub(crate) fn snapshot(&self) -> Option<Span> {
        self.pipeline
            .is_of_this_process()
            .then(|| self.to_span(&self.data.lock()))
    }

    /// The finished span; leaves nothing behind.
    pub(crate) fn take(&self) -> Span {
        let mut data = self.data.lock();
        let attributes = std::mem::take(&mut data.attributes);
        let details = data.details.take().unwrap_or_default();
        Span {
            attributes,
            ..self.assemble(&data, *details)
        }
    }

    /// Keeps the memory of `attributes` for the next span, unless it is much.
    pub(crate) fn keep_memory(&mut self, mut attributes: Vec<KeyValue>) {
        attributes.clear();
        if attributes.capacity() <= MAX_KEPT_ATTRIBUTES {
            self.data.get_mut().attributes = attributes;
        }
    }

    /// The announcement of this open span, if one is due now.
    pub(crate) fn announce(&self, now_nano: u64, rule: &AnnouncementRule) -> Option<Span> {
        let mut data = self.data.lock();
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        let now_unix_nano = now_nano + self.offset_unix_nano;
        let open_nano = now_unix_nano.saturating_sub(data.start_unix_nano);
        if !rule.is_due(open_nano, now_nano, &data.announcement) {
            return None;
        }
        data.announcement = Announcement {
            at_nano: Some(now_nano),
            is_outdated: false,
        };
        let end_unix_nano = now_unix_nano.max(data.start_unix_nano);
        Some(Span {
            pending: true,
            end_unix_nano,
            ..self.to_span(&data)
        })
    }

    fn to_span(&self, data: &RecordedData) -> Span {
        let details = match &data.details {
            None => Details::default(),
            Some(details) => Details {
                events: details.events.clone(),
                links: details.links.clone(),
                status: details.status.clone(),
                ..**details
            },
        };
        Span {
            attributes: data.attributes.clone(),
            ..self.assemble(data, details)
        }
    }

    /// A span of everything but the attributes.
    fn assemble(&self, data: &RecordedData, details: Details) -> Span {
        let parent_is_remote = data.parent.is_some_and(|parent| parent.is_remote);
        Span {
            trace_id: self.context.trace_id(),
            span_id: self.context.span_id(),
            parent_span_id: data.parent.map(|parent| parent.span_id),
            trace_state: self.context.trace_state().to_owned().into(),
            flags: otlp_flags(self.context.trace_flags(), parent_is_remote),
            name: data.name.clone(),
            kind: data.kind,
            start_unix_nano: data.start_unix_nano,
            end_unix_nano: data.end_unix_nano,
            attributes: Vec::new(),
            dropped_attributes_count: data.dropped_attributes_count,
            events: details.events,
            dropped_events_count: details.dropped_events_count,
            links: details.links,
            dropped_links_count: details.dropped_links_count,
            status: details.status,
            pending: false,
        }
    }
}

impl RecordedData {
    fn set_attribute(&mut self, attribute: KeyValue, limits: &SpanLimits) {
        let attributes = &mut self.attributes;
        if !limits::set(
            attributes,
            attribute,
            limits.attributes,
            limits.value_length,
        ) {
            self.dropped_attributes_count += 1;
        }
    }

    fn add_event(
        &mut self,
        name: Text,
        time_unix_nano: u64,
        attributes: Vec<KeyValue>,
        limits: &SpanLimits,
    ) {
        let details = self.details.get_or_insert_default();
        if details.events.len() >= limits.events {
            details.dropped_events_count += 1;
            return;
        }
        let (attributes, dropped_attributes_count) =
            limits::set_all(attributes, limits.attributes_per_event, limits.value_length);
        details.events.push(Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        });
    }

    fn add_link(&mut self, link: Link, limits: &SpanLimits) {
        let details = self.details.get_or_insert_default();
        if details.links.len() >= limits.links {
            details.dropped_links_count += 1;
            return;
        }
        let (attributes, dropped_attributes_count) = limits::set_all(
            link.attributes,
            limits.attributes_per_link,
            limits.value_length,
        );
        details.links.push(Link {
            attributes,
            dropped_attributes_count,
            ..link
        });
    }

    fn size_bytes(&self) -> usize {
        let attributes = |list: &[KeyValue]| list.iter().map(limits::size_bytes).sum::<usize>();
        let details = self.details.as_ref().map_or(0, |details| {
            let events = details
                .events
                .iter()
                .map(|event| 64 + attributes(&event.attributes));
            let links = details
                .links
                .iter()
                .map(|link| 64 + attributes(&link.attributes));
            events.chain(links).sum::<usize>() + details.status.message.len()
        });
        std::mem::size_of::<Recording>() + attributes(&self.attributes) + details
    }
}

/// When open spans are announced. All times are nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnnouncementRule {
    /// Age at which a span is announced first, and the least time between two announcements.
    pub(crate) after_nano: u64,
    /// Time after which an unchanged span is announced again, as a sign of life.
    pub(crate) repeat_nano: u64,
}

impl AnnouncementRule {
    fn is_due(&self, open_nano: u64, now_nano: u64, last: &Announcement) -> bool {
        match last.at_nano.map(|at_nano| now_nano.saturating_sub(at_nano)) {
            None => open_nano >= self.after_nano,
            Some(since) if last.is_outdated => since >= self.after_nano,
            Some(since) => since >= self.repeat_nano,
        }
    }
}

/// OTLP's span flags: the W3C flags, and whether the parent is in another process (bit 8: known,
/// bit 9: it is).
fn otlp_flags(trace_flags: u8, parent_is_remote: bool) -> u32 {
    u32::from(trace_flags) | 0x100 | if parent_is_remote { 0x200 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_span_is_announced_when_old_when_changed_and_as_a_sign_of_life() {
        let rule = AnnouncementRule {
            after_nano: 2,
            repeat_nano: 10,
        };
        let last = |at_nano, is_outdated| Announcement {
            at_nano,
            is_outdated,
        };
        for (open, now, announcement, due) in [
            (1, 100, last(None, true), false),
            (2, 100, last(None, false), true),
            (9, 100, last(Some(99), true), false),
            (9, 100, last(Some(98), true), true),
            (9, 100, last(Some(98), false), false),
            (9, 100, last(Some(90), false), true),
        ] {
            assert_eq!(rule.is_due(open, now, &announcement), due, "{open} {now}");
        }
    }

    #[test]
    fn flags_tell_otlp_whether_the_parent_is_remote() {
        assert_eq!(otlp_flags(1, false), 0x101);
        assert_eq!(otlp_flags(1, true), 0x301);
    }
}
