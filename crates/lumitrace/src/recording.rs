//! What is recorded of one span while it is open.

use std::sync::LazyLock;

use lumitrace_model::{
    Event, KeyValue, Link, Scope, Span, SpanId, SpanKind, Status, StatusCode, Text,
};
use lumitrace_wire::otlp::protobuf::SpanFields;

use crate::tracer::Instrumentation;
use crate::{SpanContext, SpanLimits, clock, limits};

/// Attributes for which a place keeps memory from one span to the next.
const MAX_KEPT_ATTRIBUTES: usize = 16;

/// One recorded span, or the place for one.
#[derive(Default)]
pub(crate) struct Recording {
    pub(crate) span: SpanRecord,
    pub(crate) attributes: Vec<KeyValue>,
    /// Turns the monotonic clock into this span's time; kept, so that its duration is right even
    /// when the system's clock is set meanwhile.
    offset_unix_nano: u64,
    announcement: Announcement,
}

/// What is recorded of a span, but for its attributes. It moves as a whole when the span ends.
#[derive(Debug, Default)]
pub(crate) struct SpanRecord {
    pub(crate) context: SpanContext,
    /// There is one as soon as a span was recorded.
    pub(crate) instrumentation: Option<&'static Instrumentation>,
    pub(crate) name: Text,
    pub(crate) parent: Option<Parent>,
    pub(crate) kind: SpanKind,
    pub(crate) start_unix_nano: u64,
    /// Zero while it is open.
    pub(crate) end_unix_nano: u64,
    pub(crate) dropped_attributes_count: u32,
    /// Known when it has ended, like the next one.
    pub(crate) attribute_count: u32,
    /// What it is counted with while it waits.
    pub(crate) size_bytes: u32,
    /// Boxed: most spans have none of it.
    pub(crate) details: Option<Box<Details>>,
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parent {
    pub(crate) span_id: SpanId,
    pub(crate) is_remote: bool,
}

/// What most spans have none of.
#[derive(Debug, Default, Clone)]
pub(crate) struct Details {
    pub(crate) events: Vec<Event>,
    pub(crate) dropped_events_count: u32,
    pub(crate) links: Vec<Link>,
    pub(crate) dropped_links_count: u32,
    pub(crate) status: Status,
}

#[derive(Default)]
struct Announcement {
    /// Of the monotonic clock; `None` while the span was never announced.
    at_nano: Option<u64>,
    /// Whether something was recorded since.
    is_outdated: bool,
}

impl Recording {
    /// Begins a span. Writes field by field: a whole recording, made elsewhere and moved here, costs
    /// more than the clock.
    pub(crate) fn begin(
        &mut self,
        context: &SpanContext,
        instrumentation: &'static Instrumentation,
        beginning: &mut Beginning,
        limits: &SpanLimits,
    ) {
        self.offset_unix_nano = clock::offset_unix_nano();
        self.announcement = Announcement::default();
        let now_unix_nano = || clock::monotonic_nano() + self.offset_unix_nano;
        let span = &mut self.span;
        span.start_unix_nano = beginning.start_unix_nano.unwrap_or_else(now_unix_nano);
        span.context.clone_from(context);
        span.instrumentation = Some(instrumentation);
        span.name = std::mem::take(&mut beginning.name);
        span.kind = beginning.kind;
        span.parent = beginning.parent;
        span.dropped_attributes_count = 0;
        // Asked for first: taking them out of an empty list costs as much as all above.
        if !beginning.attributes.is_empty() {
            for attribute in std::mem::take(&mut beginning.attributes) {
                self.set_attribute(attribute, limits);
            }
        }
        if !beginning.links.is_empty() {
            for link in std::mem::take(&mut beginning.links) {
                self.add_link(link, limits);
            }
        }
    }

    /// Frees what is recorded. The memory of a few attributes stays for the next span.
    pub(crate) fn clear(&mut self) {
        self.attributes.clear();
        self.keep_little_memory();
        self.span = SpanRecord::default();
    }

    /// Frees the memory of attributes, which there are none of, if it is much.
    pub(crate) fn keep_little_memory(&mut self) {
        if self.attributes.capacity() > MAX_KEPT_ATTRIBUTES {
            self.attributes = Vec::new();
        }
    }

    pub(crate) fn now_unix_nano(&self) -> u64 {
        clock::monotonic_nano() + self.offset_unix_nano
    }

    /// Notes that something was recorded since the last announcement.
    #[inline]
    pub(crate) fn is_changed(&mut self) {
        self.announcement.is_outdated = true;
    }

    /// Adds an exception event, unless the span's last event already tells of the same exception:
    /// it passes several hands on its way out of a span.
    pub(crate) fn add_exception(
        &mut self,
        name: Text,
        attributes: Vec<KeyValue>,
        limits: &SpanLimits,
    ) {
        let details = self.span.details.as_ref();
        let last = details.and_then(|details| details.events.last());
        let is_known = last.is_some_and(|last| {
            let mut pairs = attributes.iter().zip(&last.attributes).take(2);
            last.name == name && pairs.all(|(new, known)| new == known)
        });
        if !is_known {
            self.add_event(name, None, attributes, limits);
        }
    }

    /// Sets the status; success, once declared, is final (specification, "Set Status").
    pub(crate) fn set_status(&mut self, status: Status) {
        let details = self.span.details.get_or_insert_default();
        if details.status.code != StatusCode::Ok {
            details.status = status;
        }
    }

    /// Whether an announcement of this open span is due at `now_nano` of the monotonic clock.
    pub(crate) fn is_due(&self, now_nano: u64, rule: &AnnouncementRule) -> bool {
        if !self.span.context.is_sampled() {
            return false;
        }
        let now_unix_nano = now_nano + self.offset_unix_nano;
        let open_nano = now_unix_nano.saturating_sub(self.span.start_unix_nano);
        rule.is_due(open_nano, now_nano, &self.announcement)
    }

    /// The announcement of this open span.
    pub(crate) fn announce(&mut self, now_nano: u64) -> (&'static Scope, Span) {
        let scope = self.span.scope();
        let now_unix_nano = now_nano + self.offset_unix_nano;
        self.announcement = Announcement {
            at_nano: Some(now_nano),
            is_outdated: false,
        };
        let span = Span {
            pending: true,
            end_unix_nano: now_unix_nano.max(self.span.start_unix_nano),
            ..self.to_span()
        };
        (scope, span)
    }

    /// A copy of what is recorded so far.
    pub(crate) fn to_span(&self) -> Span {
        self.span.to_span(&self.attributes)
    }

    #[inline]
    pub(crate) fn set_attribute(&mut self, attribute: KeyValue, limits: &SpanLimits) {
        let attributes = &mut self.attributes;
        let has_room = attributes.len() < limits.attributes.min(attributes.capacity());
        let is_new = || attributes.iter().all(|known| known.key != attribute.key);
        if has_room && limits.value_length.is_none() && is_new() {
            attributes.push(attribute);
        } else {
            self.set_attribute_out_of_the_ordinary(attribute, limits);
        }
    }

    #[cold]
    fn set_attribute_out_of_the_ordinary(&mut self, attribute: KeyValue, limits: &SpanLimits) {
        if !limits::set(&mut self.attributes, attribute, limits.attributes, limits) {
            self.span.dropped_attributes_count += 1;
        }
    }

    /// Adds an event, which happens now unless a time is given.
    pub(crate) fn add_event(
        &mut self,
        name: Text,
        time_unix_nano: Option<u64>,
        attributes: Vec<KeyValue>,
        limits: &SpanLimits,
    ) {
        let time_unix_nano = time_unix_nano.unwrap_or_else(|| self.now_unix_nano());
        let details = self.span.details.get_or_insert_default();
        let is_full = details.events.len() >= limits.events;
        details.dropped_events_count += u32::from(is_full);
        if is_full && !limits::drop_oldest(&mut details.events, limits.overflow) {
            return;
        }
        let (attributes, dropped_attributes_count) =
            limits::set_all(attributes, limits.attributes_per_event, limits);
        details.events.push(Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        });
    }

    pub(crate) fn add_link(&mut self, link: Link, limits: &SpanLimits) {
        let details = self.span.details.get_or_insert_default();
        let is_full = details.links.len() >= limits.links;
        details.dropped_links_count += u32::from(is_full);
        if is_full && !limits::drop_oldest(&mut details.links, limits.overflow) {
            return;
        }
        let (attributes, dropped_attributes_count) =
            limits::set_all(link.attributes, limits.attributes_per_link, limits);
        details.links.push(Link {
            attributes,
            dropped_attributes_count,
            ..link
        });
    }

    /// Takes over what was recorded elsewhere, as it is; its beginning is here already.
    pub(crate) fn take_over(&mut self, span: Span) {
        self.attributes = span.attributes;
        self.span.dropped_attributes_count = span.dropped_attributes_count;
        self.span.details = Some(Box::new(Details {
            events: span.events,
            dropped_events_count: span.dropped_events_count,
            links: span.links,
            dropped_links_count: span.dropped_links_count,
            status: span.status,
        }));
    }

    /// About how much memory it takes while it waits, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let attributes = |list: &[KeyValue]| list.iter().map(limits::size_bytes).sum::<usize>();
        let details = self.span.details.as_ref().map_or(0, |details| {
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

impl SpanRecord {
    /// Who recorded it.
    pub(crate) fn scope(&self) -> &'static Scope {
        static NOBODY: LazyLock<Scope> = LazyLock::new(Scope::default);
        self.instrumentation
            .map_or_else(|| &*NOBODY, |instrumentation| &instrumentation.scope)
    }

    /// It and its attributes, to be encoded.
    pub(crate) fn fields<'a>(&'a self, attributes: &'a [KeyValue]) -> SpanFields<'a> {
        static NONE: Details = Details::new();
        let details = self.details.as_deref().unwrap_or(&NONE);
        SpanFields {
            trace_id: self.context.trace_id(),
            span_id: self.context.span_id(),
            parent_span_id: self.parent.map(|parent| parent.span_id),
            trace_state: self.context.trace_state(),
            flags: otlp_flags(&self.context, self.parent),
            name: &self.name,
            kind: self.kind,
            start_unix_nano: self.start_unix_nano,
            end_unix_nano: self.end_unix_nano,
            attributes,
            dropped_attributes_count: self.dropped_attributes_count,
            events: &details.events,
            dropped_events_count: details.dropped_events_count,
            links: &details.links,
            dropped_links_count: details.dropped_links_count,
            status: &details.status,
            pending: false,
        }
    }

    /// A copy of it and its attributes.
    pub(crate) fn to_span(&self, attributes: &[KeyValue]) -> Span {
        let fields = self.fields(attributes);
        Span {
            trace_id: fields.trace_id,
            span_id: fields.span_id,
            parent_span_id: fields.parent_span_id,
            trace_state: fields.trace_state.to_owned().into(),
            flags: fields.flags,
            name: self.name.clone(),
            kind: fields.kind,
            start_unix_nano: fields.start_unix_nano,
            end_unix_nano: fields.end_unix_nano,
            attributes: attributes.to_vec(),
            dropped_attributes_count: fields.dropped_attributes_count,
            events: fields.events.to_vec(),
            dropped_events_count: fields.dropped_events_count,
            links: fields.links.to_vec(),
            dropped_links_count: fields.dropped_links_count,
            status: fields.status.clone(),
            pending: false,
        }
    }
}

impl Details {
    const fn new() -> Self {
        Self {
            events: Vec::new(),
            dropped_events_count: 0,
            links: Vec::new(),
            dropped_links_count: 0,
            status: Status {
                code: StatusCode::Unset,
                message: Text::Borrowed(""),
            },
        }
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
pub(crate) fn otlp_flags(context: &SpanContext, parent: Option<Parent>) -> u32 {
    let parent_is_remote = parent.is_some_and(|parent| parent.is_remote);
    u32::from(context.trace_flags()) | 0x100 | if parent_is_remote { 0x200 } else { 0 }
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
        let context = SpanContext::new(Default::default(), SpanId::INVALID, 1);
        let parent = |is_remote| Parent {
            span_id: SpanId::INVALID,
            is_remote,
        };
        assert_eq!(otlp_flags(&context, None), 0x101);
        assert_eq!(otlp_flags(&context, Some(parent(false))), 0x101);
        assert_eq!(otlp_flags(&context, Some(parent(true))), 0x301);
    }
}
