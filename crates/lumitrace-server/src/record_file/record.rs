//! A record of any signal as a store has it, and records into requests, which share resources and
//! scopes.

use std::sync::Arc;

use lumitrace_model::{
    Metric, MetricData, MetricKind, Resource, ResourceLogs, ResourceMetrics, ResourceSpans, Scope,
    ScopeLogs, ScopeMetrics, ScopeSpans,
};
use lumitrace_store::{LogEntry, MetricInfo, Origin, Point, SpanRecord, StoredPoint};

use super::Batch;

/// A span, a log record or a point, with all that belongs to it.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    Span(Arc<SpanRecord>),
    Log(Arc<LogEntry>),
    Point(Arc<StoredPoint>),
}

impl Record {
    /// How much memory it takes by itself, in bytes; about.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Span(record) => record.memory_bytes(),
            Self::Log(entry) => entry.memory_bytes(),
            Self::Point(point) => point.memory_bytes(),
        }
    }
}

/// The records by signal, each by resource and scope. Within a scope they keep their order.
pub(crate) fn group(records: impl IntoIterator<Item = Record>) -> Vec<Batch> {
    let (mut spans, mut logs, mut points) = (Vec::new(), Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Span(record) => spans.push(record),
            Record::Log(entry) => logs.push(entry),
            Record::Point(point) => points.push(point),
        }
    }
    let mut batches = Vec::new();
    if !spans.is_empty() {
        batches.push(Batch::Spans(group_spans(spans)));
    }
    if !logs.is_empty() {
        batches.push(Batch::Logs(group_logs(logs)));
    }
    if !points.is_empty() {
        batches.push(Batch::Metrics(group_points(points)));
    }
    batches
}

fn group_spans(records: Vec<Arc<SpanRecord>>) -> Vec<ResourceSpans> {
    let records = records.into_iter().map(|record| {
        let record = Arc::unwrap_or_clone(record);
        let origin = Origin {
            resource: record.resource,
            resource_schema_url: record.resource_schema_url,
            scope: record.scope,
            scope_schema_url: record.scope_schema_url,
        };
        (Arc::new(origin), record.span)
    });
    let groups = by_origin(records).into_iter().map(|group| ResourceSpans {
        resource: Resource::clone(&group.origin.resource),
        schema_url: group.origin.resource_schema_url.to_string().into(),
        scope_spans: of_scopes(group.scopes, |scope, schema_url, spans| ScopeSpans {
            scope,
            schema_url: schema_url.into(),
            spans,
        }),
    });
    groups.collect()
}

fn group_logs(entries: Vec<Arc<LogEntry>>) -> Vec<ResourceLogs> {
    let entries = entries.into_iter().map(|entry| {
        let entry = Arc::unwrap_or_clone(entry);
        (entry.origin, entry.log)
    });
    let groups = by_origin(entries).into_iter().map(|group| ResourceLogs {
        resource: Resource::clone(&group.origin.resource),
        schema_url: group.origin.resource_schema_url.to_string().into(),
        scope_logs: of_scopes(group.scopes, |scope, schema_url, log_records| ScopeLogs {
            scope,
            schema_url: schema_url.into(),
            log_records,
        }),
    });
    groups.collect()
}

fn group_points(points: Vec<Arc<StoredPoint>>) -> Vec<ResourceMetrics> {
    let points = points.into_iter().map(|point| {
        let point = Arc::unwrap_or_clone(point);
        (Arc::clone(&point.origin), point)
    });
    let groups = by_origin(points).into_iter().map(|group| ResourceMetrics {
        resource: Resource::clone(&group.origin.resource),
        schema_url: group.origin.resource_schema_url.to_string().into(),
        scope_metrics: of_scopes(group.scopes, |scope, schema_url, points| ScopeMetrics {
            scope,
            schema_url: schema_url.into(),
            metrics: metrics_of(points),
        }),
    });
    groups.collect()
}

/// What a resource produced.
struct ResourceGroup<T> {
    origin: Arc<Origin>,
    scopes: Vec<ScopeGroup<T>>,
}

/// What of it a scope produced.
struct ScopeGroup<T> {
    origin: Arc<Origin>,
    records: Vec<T>,
}

fn by_origin<T>(records: impl Iterator<Item = (Arc<Origin>, T)>) -> Vec<ResourceGroup<T>> {
    let mut groups: Vec<ResourceGroup<T>> = Vec::new();
    for (origin, record) in records {
        // Neighbours are likely to be related.
        let same_resource = |group: &ResourceGroup<T>| {
            group.origin.resource_schema_url == origin.resource_schema_url
                && group.origin.resource == origin.resource
        };
        let index = groups.iter().rposition(same_resource);
        let index = index.unwrap_or_else(|| {
            groups.push(ResourceGroup {
                origin: Arc::clone(&origin),
                scopes: Vec::new(),
            });
            groups.len() - 1
        });
        let scopes = &mut groups[index].scopes;
        let same_scope = |group: &&mut ScopeGroup<T>| {
            group.origin.scope_schema_url == origin.scope_schema_url
                && group.origin.scope == origin.scope
        };
        match scopes.iter_mut().rfind(same_scope) {
            Some(group) => group.records.push(record),
            None => scopes.push(ScopeGroup {
                origin,
                records: vec![record],
            }),
        }
    }
    groups
}

fn of_scopes<T, G>(
    scopes: Vec<ScopeGroup<T>>,
    make: impl Fn(Scope, String, Vec<T>) -> G,
) -> Vec<G> {
    let scopes = scopes.into_iter().map(|group| {
        let origin = group.origin;
        let schema_url = origin.scope_schema_url.to_string();
        make(Scope::clone(&origin.scope), schema_url, group.records)
    });
    scopes.collect()
}

/// The metrics of these points, of which neighbours of one metric share it.
fn metrics_of(points: Vec<StoredPoint>) -> Vec<Metric> {
    let mut metrics: Vec<(Arc<MetricInfo>, Vec<Point>)> = Vec::new();
    for StoredPoint { metric, point, .. } in points {
        match metrics.last_mut() {
            Some((last, points)) if *last == metric => points.push(point),
            _ => metrics.push((metric, vec![point])),
        }
    }
    let metrics = metrics.into_iter().map(|(info, points)| Metric {
        name: info.name.clone(),
        description: info.description.clone(),
        unit: info.unit.clone(),
        metadata: info.metadata.clone(),
        data: Some(data_of(&info, points)),
    });
    metrics.collect()
}

fn data_of(info: &MetricInfo, points: Vec<Point>) -> MetricData {
    let temporality = info.temporality;
    match info.kind {
        MetricKind::Gauge => MetricData::Gauge {
            points: numbers(points),
        },
        MetricKind::Sum => MetricData::Sum {
            temporality,
            is_monotonic: info.is_monotonic,
            points: numbers(points),
        },
        MetricKind::Histogram => MetricData::Histogram {
            temporality,
            points: only(points, |point| match point {
                Point::Histogram(point) => Some(point),
                _ => None,
            }),
        },
        MetricKind::ExponentialHistogram => MetricData::ExponentialHistogram {
            temporality,
            points: only(points, |point| match point {
                Point::ExponentialHistogram(point) => Some(point),
                _ => None,
            }),
        },
        MetricKind::Summary => MetricData::Summary {
            points: only(points, |point| match point {
                Point::Summary(point) => Some(point),
                _ => None,
            }),
        },
    }
}

fn numbers(points: Vec<Point>) -> Vec<lumitrace_model::NumberPoint> {
    only(points, |point| match point {
        Point::Number(point) => Some(point),
        _ => None,
    })
}

/// A metric's points are all of its kind.
fn only<T>(points: Vec<Point>, is_it: impl Fn(Point) -> Option<T>) -> Vec<T> {
    points.into_iter().filter_map(is_it).collect()
}
