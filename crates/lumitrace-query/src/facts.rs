//! Facts about one span that every question needs: whether it is over, which service it belongs
//! to, and the label that tells it from its siblings. Each rule stands here once.

use lumitrace_model::{Resource, Span, names};

/// After this long without a new announcement, a span in progress counts as interrupted: its
/// process most likely died. The SDK announces every 10 seconds.
pub const INTERRUPTED_AFTER_NANO: u64 = 30_000_000_000;

/// How far a span, or a trace as a whole, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SpanState {
    /// It ended, and its final record arrived.
    #[default]
    Complete,
    /// It was announced, and the last announcement is fresh.
    Running,
    /// It was announced, but not for [`INTERRUPTED_AFTER_NANO`].
    Interrupted,
}

impl SpanState {
    /// The state of `span` at `now_unix_nano`.
    ///
    /// ```
    /// use lumitrace_model::Span;
    /// use lumitrace_query::SpanState;
    /// let open = Span { pending: true, end_unix_nano: 1_000, ..Span::default() };
    /// assert_eq!(SpanState::of(&open, 2_000), SpanState::Running);
    /// assert_eq!(SpanState::of(&open, 60_000_000_000), SpanState::Interrupted);
    /// ```
    pub fn of(span: &Span, now_unix_nano: u64) -> Self {
        Self::from_announcement(span.pending.then_some(span.end_unix_nano), now_unix_nano)
    }

    /// The state of a span that was last announced at `announced_unix_nano`, or is over if `None`.
    pub fn from_announcement(announced_unix_nano: Option<u64>, now_unix_nano: u64) -> Self {
        match announced_unix_nano {
            None => SpanState::Complete,
            Some(announced) if now_unix_nano.saturating_sub(announced) > INTERRUPTED_AFTER_NANO => {
                SpanState::Interrupted
            }
            Some(_) => SpanState::Running,
        }
    }

    /// The state of a whole with a part in each of these states: running while anything runs.
    pub fn and(self, other: Self) -> Self {
        use SpanState::{Complete, Interrupted, Running};
        match (self, other) {
            (Running, _) | (_, Running) => Running,
            (Interrupted, _) | (_, Interrupted) => Interrupted,
            (Complete, Complete) => Complete,
        }
    }

    /// The lower-case word for the state, as the API prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            SpanState::Complete => "complete",
            SpanState::Running => "running",
            SpanState::Interrupted => "interrupted",
        }
    }
}

/// The service that made `span`: its resource's, or, where that says nothing, the `service.name`
/// that some programs set on the span instead.
pub fn service_name<'a>(resource: &'a Resource, span: &'a Span) -> &'a str {
    let name = resource.service_name();
    if !name.starts_with(names::UNKNOWN_SERVICE) {
        return name;
    }
    span.attribute(names::SERVICE_NAME)
        .and_then(|value| value.as_str())
        .filter(|name| !name.is_empty())
        .unwrap_or(name)
}

/// Whether nothing caused `span`: it names no parent, or only itself.
pub fn is_root(span: &Span) -> bool {
    span.parent_span_id
        .is_none_or(|parent| parent == span.span_id)
}

/// The resource attribute `key` as text, if it is text and not empty.
pub fn resource_text<'a>(resource: &'a Resource, key: &str) -> Option<&'a str> {
    lumitrace_model::value::find(&resource.attributes, key)?
        .as_str()
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumitrace_model::KeyValue;

    #[test]
    fn a_span_in_progress_runs_until_its_announcements_stop() {
        let open = Span {
            pending: true,
            end_unix_nano: 5,
            ..Span::default()
        };
        assert_eq!(
            SpanState::of(&open, 5 + INTERRUPTED_AFTER_NANO),
            SpanState::Running
        );
        assert_eq!(
            SpanState::of(&open, 6 + INTERRUPTED_AFTER_NANO),
            SpanState::Interrupted
        );
        assert_eq!(
            SpanState::of(
                &Span {
                    pending: false,
                    ..open
                },
                u64::MAX
            ),
            SpanState::Complete
        );
    }

    #[test]
    fn a_service_named_only_on_the_span_is_found() {
        let attributes = vec![KeyValue::new(names::SERVICE_NAME, "trainer")];
        let span = Span {
            attributes,
            ..Span::default()
        };
        let unknown = |name: &'static str| Resource {
            attributes: vec![KeyValue::new(names::SERVICE_NAME, name)],
            ..Resource::default()
        };
        assert_eq!(service_name(&Resource::default(), &span), "trainer");
        assert_eq!(
            service_name(&unknown("unknown_service:python"), &span),
            "trainer"
        );
        assert_eq!(service_name(&unknown("web"), &span), "web");
        assert_eq!(
            service_name(&Resource::default(), &Span::default()),
            "unknown_service"
        );
    }
}
