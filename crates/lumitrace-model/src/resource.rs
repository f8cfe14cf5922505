//! Who made the telemetry: the resource and the instrumentation scope; and spans grouped under them
//! as OTLP sends them.

use crate::{KeyValue, Span, Text, names, value};

/// The entity that produced telemetry: a process of a service on a host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    /// Facts such as `service.name`.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
}

impl Resource {
    /// The service's name, or `unknown_service` as the OpenTelemetry specification calls it.
    pub fn service_name(&self) -> &str {
        value::find(&self.attributes, names::SERVICE_NAME)
            .and_then(|name| name.as_str())
            .filter(|name| !name.is_empty())
            .unwrap_or(names::UNKNOWN_SERVICE)
    }
}

/// The library or module that recorded telemetry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// Its name, such as `train.core.agent_train`.
    pub name: Text,
    /// Its version, or empty.
    pub version: Text,
    /// Facts about it.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
}

/// Spans of one scope.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScopeSpans {
    /// Who recorded them.
    pub scope: Scope,
    /// Schema of the scope and its spans, or empty.
    pub schema_url: Text,
    /// The spans.
    pub spans: Vec<Span>,
}

/// Spans of one resource, by scope.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceSpans {
    /// Who produced them.
    pub resource: Resource,
    /// Schema of the resource, or empty.
    pub schema_url: Text,
    /// Its spans.
    pub scope_spans: Vec<ScopeSpans>,
}
