//! What a digest is made of.

use std::sync::Arc;

use lumitrace_model::value::find;
use lumitrace_model::{Resource, TraceId, Value, names};
use lumitrace_store::SpanRecord;
use serde::{Deserialize, Serialize};

use crate::facts::{resource_text, service_name};

/// The value with the latest time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Latest<T>(pub(super) Option<(u64, T)>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Copy> Latest<T> {
    pub(super) fn offer(&mut self, time: u64, value: Option<T>) {
        if let Some(value) = value
            && self.0.is_none_or(|(latest, _)| time >= latest)
        {
            self.0 = Some((time, value));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        if let Some((time, value)) = other.0 {
            self.offer(time, Some(value));
        }
    }

    pub(super) fn value(&self) -> Option<T> {
        self.0.map(|(_, value)| value)
    }
}

/// The traces with the latest times, newest last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct NewestTraces(pub(super) Vec<(u64, TraceId)>);

impl NewestTraces {
    pub(super) fn offer(&mut self, time: u64, trace_id: TraceId, limit: usize) {
        if let Some(place) = self.0.iter().rposition(|&(_, known)| known == trace_id) {
            if self.0[place].0 >= time {
                return;
            }
            self.0.remove(place);
        }
        let place = self.0.partition_point(|&(known, _)| known <= time);
        self.0.insert(place, (time, trace_id));
        if self.0.len() > limit {
            self.0.remove(0);
        }
    }
}

/// A span that nothing caused and that is no training span itself, such as the whole program.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Root {
    pub(super) end_unix_nano: u64,
    pub(super) pending: bool,
    pub(super) failed: bool,
}

/// A span that is open as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenSpan {
    pub(super) start_unix_nano: u64,
    /// When it was last announced.
    pub(super) announced_unix_nano: u64,
}

/// The process of the earliest span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) start_unix_nano: u64,
    pub(super) service_name: String,
    pub(super) environment: Option<String>,
    pub(super) host: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) pid: Option<i64>,
    /// None where it comes from a block: there the span itself is to be read.
    #[serde(skip)]
    pub(super) resource: Option<Arc<Resource>>,
}

impl Origin {
    pub(super) fn of(record: &SpanRecord) -> Self {
        let resource = &record.resource;
        let text = |key: &str| Some(resource_text(resource, key)?.to_owned());
        Self {
            start_unix_nano: record.span.start_unix_nano,
            service_name: service_name(resource, &record.span).to_owned(),
            environment: text(names::DEPLOYMENT_ENVIRONMENT_NAME)
                .or_else(|| text(names::DEPLOYMENT_ENVIRONMENT)),
            host: text(names::HOST_NAME),
            instance: text(names::SERVICE_INSTANCE_ID),
            pid: find(&resource.attributes, names::PROCESS_PID).and_then(Value::as_i64),
            resource: Some(Arc::clone(resource)),
        }
    }
}
