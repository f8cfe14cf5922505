//! Single spans into requests, which share resources and scopes.

use std::sync::Arc;

use lumitrace_model::{ResourceSpans, ScopeSpans};
use lumitrace_store::SpanRecord;

/// The spans by resource and scope. Within a scope they keep their order.
pub(super) fn group(records: impl IntoIterator<Item = Arc<SpanRecord>>) -> Vec<ResourceSpans> {
    let mut groups: Vec<ResourceSpans> = Vec::new();
    for record in records {
        let SpanRecord {
            span,
            resource,
            resource_schema_url,
            scope,
            scope_schema_url,
            ..
        } = Arc::unwrap_or_clone(record);
        let is_its = |group: &ResourceSpans| {
            group.schema_url == *resource_schema_url && group.resource == *resource
        };
        // Neighbours are likely to be related.
        let index = match groups.iter().rposition(is_its) {
            Some(index) => index,
            None => {
                groups.push(ResourceSpans {
                    resource: Arc::unwrap_or_clone(resource),
                    schema_url: resource_schema_url.to_string().into(),
                    scope_spans: Vec::new(),
                });
                groups.len() - 1
            }
        };
        let scopes = &mut groups[index].scope_spans;
        let is_its =
            |group: &ScopeSpans| group.schema_url == *scope_schema_url && group.scope == *scope;
        match scopes.iter_mut().rfind(|group| is_its(group)) {
            Some(group) => group.spans.push(span),
            None => scopes.push(ScopeSpans {
                scope: Arc::unwrap_or_clone(scope),
                schema_url: scope_schema_url.to_string().into(),
                spans: vec![span],
            }),
        }
    }
    groups
}
