//! A trace's spans as a tree, in the order a waterfall shows them.

use std::collections::HashMap;
use std::sync::Arc;

use lumitrace_model::{SpanId, SpanKind, StatusCode, TraceId};
use lumitrace_store::SpanRecord;

use crate::facts::{SpanState, is_root, service_name};
use crate::training::RunId;
use crate::training::recognition::TrainingNames;

/// A trace as a waterfall: rows in pre-order, children by start and then by id.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceTree {
    /// The trace.
    pub trace_id: TraceId,
    /// Start of the earliest span, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// From the earliest start to the latest end, in nanoseconds.
    pub duration_nano: u64,
    /// How many of the spans failed; there are as many spans as rows.
    pub error_count: u64,
    /// How far it has come.
    pub state: SpanState,
    /// Whether no span is a root: it is still open, or was lost or sampled away.
    pub root_missing: bool,
    /// Names of services, which rows point into.
    pub services: Vec<String>,
    /// Names of spans, which rows point into.
    pub names: Vec<String>,
    /// The training run it belongs to.
    pub run_id: Option<RunId>,
    /// The spans in pre-order.
    pub rows: Vec<TreeRow>,
}

/// A span in a waterfall.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeRow {
    /// The span.
    pub span_id: SpanId,
    /// Row of its parent; always an earlier one. `None` for a root.
    pub parent: Option<u32>,
    /// How many ancestors it has.
    pub depth: u32,
    /// Whether it names a parent that is not in the trace, and is shown as a root instead.
    pub parent_missing: bool,
    /// Its name, as an index into [`TraceTree::names`].
    pub name: u32,
    /// Its service, as an index into [`TraceTree::services`].
    pub service: u32,
    /// Its role.
    pub kind: SpanKind,
    /// From the trace's start to its own, in nanoseconds.
    pub start_offset_nano: u64,
    /// How long it took, in nanoseconds; of a span in progress, until its last announcement.
    pub duration_nano: u64,
    /// How it ended.
    pub status: StatusCode,
    /// How far it has come.
    pub state: SpanState,
    /// How many events it has.
    pub event_count: u32,
    /// What tells it from its siblings, such as `(1/3)` or `(37)`.
    pub label: Option<String>,
}

/// Makes a tree of the spans of one trace; `None` if there are none.
///
/// Every span appears exactly once, whatever the parents say: a span whose parent is missing, or
/// is the span itself, becomes a root, and a ring of spans is cut before its earliest. The store
/// hands out one record of each span, and so must whoever calls this.
pub fn assemble(
    records: &[Arc<SpanRecord>],
    names: &TrainingNames,
    run_id: Option<RunId>,
    now_unix_nano: u64,
) -> Option<TraceTree> {
    let records = by_start(records);
    let first = records.first()?;
    let links = Links::of(&records);
    let start_unix_nano = first.span.start_unix_nano;
    let end_unix_nano = records
        .iter()
        .map(|record| record.span.end_unix_nano)
        .max()?;
    let mut tree = TraceTree {
        trace_id: first.span.trace_id,
        start_unix_nano,
        duration_nano: end_unix_nano.saturating_sub(start_unix_nano),
        error_count: 0,
        state: SpanState::Complete,
        root_missing: !records.iter().any(|record| is_root(&record.span)),
        services: Vec::new(),
        names: Vec::new(),
        run_id,
        rows: Vec::with_capacity(records.len()),
    };
    let (mut services, mut span_names) = (Interner::default(), Interner::default());
    for (index, parent, depth) in links.pre_order() {
        let record = records[index as usize];
        let span = &record.span;
        let state = SpanState::of(span, now_unix_nano);
        tree.error_count += u64::from(span.is_error());
        tree.state = tree.state.and(state);
        tree.rows.push(TreeRow {
            span_id: span.span_id,
            parent,
            depth,
            parent_missing: links.parent_missing[index as usize],
            name: span_names.index_of(&span.name),
            service: services.index_of(service_name(&record.resource, span)),
            kind: span.kind,
            start_offset_nano: span.start_unix_nano - start_unix_nano,
            duration_nano: span.duration_nano(),
            status: span.status.code,
            state,
            event_count: span.events.len().try_into().unwrap_or(u32::MAX),
            label: names.label(span),
        });
    }
    (tree.services, tree.names) = (services.texts(), span_names.texts());
    Some(tree)
}

/// The records by start and then by id.
fn by_start(records: &[Arc<SpanRecord>]) -> Vec<&SpanRecord> {
    // Records lie all over memory, and there may be a million of them: what is sorted is small
    // and close together.
    let place = |record: &SpanRecord| {
        let span = &record.span;
        (span.start_unix_nano, span.span_id, span.kind.code())
    };
    let mut places: Vec<_> = records
        .iter()
        .zip(0_u32..)
        .map(|(record, index)| (place(record), index))
        .collect();
    places.sort_unstable();
    places
        .into_iter()
        .map(|(_, index)| &*records[index as usize])
        .collect()
}

/// Parents and children as indices into the records.
struct Links {
    /// The parent of each record.
    parents: Vec<Option<u32>>,
    /// Which records name a parent that is not there.
    parent_missing: Vec<bool>,
    /// Children of all records one after the other, each one's in the order of the records.
    children: Vec<u32>,
    /// Where in `children` those of each record begin, and one more: where the last end.
    first_child: Vec<u32>,
}

impl Links {
    fn of(records: &[&SpanRecord]) -> Self {
        let by_id = ById::of(records);
        let mut parents = Vec::with_capacity(records.len());
        let mut parent_missing = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            let parent = by_id.parent_of(records, index as u32);
            parent_missing.push(parent.is_none() && !is_root(&record.span));
            parents.push(parent);
        }
        cut_rings(&mut parents);
        let (children, first_child) = children_of(&parents);
        Self {
            parents,
            parent_missing,
            children,
            first_child,
        }
    }

    /// Every record once, parents before their children, with its parent's row and its depth. Uses
    /// a stack of its own: a chain may be longer than the thread's stack is deep.
    fn pre_order(&self) -> impl Iterator<Item = (u32, Option<u32>, u32)> + '_ {
        let roots = (0..self.parents.len() as u32).rev();
        let mut stack: Vec<(u32, Option<u32>, u32)> = roots
            .filter(|&index| self.parents[index as usize].is_none())
            .map(|index| (index, None, 0))
            .collect();
        let mut row = 0;
        std::iter::from_fn(move || {
            let (index, parent_row, depth) = stack.pop()?;
            let [first, end] = [0, 1].map(|next| self.first_child[index as usize + next] as usize);
            let children = self.children[first..end].iter().rev();
            stack.extend(children.map(|&child| (child, Some(row), depth + 1)));
            row += 1;
            Some((index, parent_row, depth))
        })
    }
}

/// Finds records by span id. Several may share one: Zipkin gives a client and its server the same.
struct ById {
    first: HashMap<SpanId, u32>,
    next_with_same_id: HashMap<u32, u32>,
}

impl ById {
    fn of(records: &[&SpanRecord]) -> Self {
        let mut first = HashMap::with_capacity(records.len());
        let mut next_with_same_id = HashMap::new();
        for (index, record) in records.iter().enumerate().rev() {
            if let Some(next) = first.insert(record.span.span_id, index as u32) {
                next_with_same_id.insert(index as u32, next);
            }
        }
        Self {
            first,
            next_with_same_id,
        }
    }

    fn all(&self, id: SpanId) -> impl Iterator<Item = u32> + '_ {
        let first = self.first.get(&id).copied();
        std::iter::successors(first, |index| self.next_with_same_id.get(index).copied())
    }

    /// The parent of a record: the client that shares its id if it is that client's server, else
    /// whoever has the id it names. Of two that share that id, the one of its own service has
    /// called it; failing that the server, which does the work.
    fn parent_of(&self, records: &[&SpanRecord], child: u32) -> Option<u32> {
        let record = records[child as usize];
        if record.span.kind == SpanKind::Server {
            let mut twins = self.all(record.span.span_id);
            if let Some(client) =
                twins.find(|&twin| records[twin as usize].span.kind == SpanKind::Client)
            {
                return Some(client);
            }
        }
        let service = record.service_name();
        self.all(record.span.parent_span_id?)
            .filter(|&candidate| candidate != child)
            .max_by_key(|&candidate| {
                let candidate = records[candidate as usize];
                let is_server = candidate.span.kind == SpanKind::Server;
                (candidate.service_name() == service, is_server)
            })
    }
}

/// Cuts every ring of parents by making its first record a root; the order of the records decides
/// which is first.
fn cut_rings(parents: &mut [Option<u32>]) {
    const UNSEEN: u32 = 0;
    let mut walk_of = vec![UNSEEN; parents.len()];
    for start in 0..parents.len() {
        let walk = start as u32 + 1;
        let mut at = start;
        while walk_of[at] == UNSEEN {
            walk_of[at] = walk;
            let Some(parent) = parents[at] else { break };
            at = parent as usize;
        }
        let came_back = walk_of[at] == walk && parents[at].is_some();
        if !came_back {
            continue;
        }
        let ring = std::iter::successors(Some(at), |&index| {
            parents[index]
                .map(|parent| parent as usize)
                .filter(|&parent| parent != at)
        });
        if let Some(first) = ring.min() {
            parents[first] = None;
        }
    }
}

/// Children of every record one after the other, and where those of each begin.
fn children_of(parents: &[Option<u32>]) -> (Vec<u32>, Vec<u32>) {
    let mut first_child = vec![0_u32; parents.len() + 1];
    for &parent in parents.iter().flatten() {
        first_child[parent as usize + 1] += 1;
    }
    for index in 1..first_child.len() {
        first_child[index] += first_child[index - 1];
    }
    let mut next = first_child.clone();
    let mut children = vec![0; parents.iter().flatten().count()];
    for (index, &parent) in parents.iter().enumerate() {
        if let Some(parent) = parent {
            let place = &mut next[parent as usize];
            children[*place as usize] = index as u32;
            *place += 1;
        }
    }
    (children, first_child)
}

/// Gives equal texts equal numbers, in order of appearance.
#[derive(Default)]
struct Interner {
    numbers: HashMap<String, u32>,
}

impl Interner {
    fn index_of(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn texts(self) -> Vec<String> {
        let mut texts: Vec<(u32, String)> = self
            .numbers
            .into_iter()
            .map(|(text, number)| (number, text))
            .collect();
        texts.sort_unstable();
        texts.into_iter().map(|(_, text)| text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SECOND, SpanBuilder, T0, span};
    use proptest::prelude::*;

    fn tree(spans: impl IntoIterator<Item = SpanBuilder>) -> TraceTree {
        let records: Vec<_> = spans.into_iter().map(SpanBuilder::record).collect();
        assemble(&records, &TrainingNames::default(), None, T0 + 60 * SECOND).unwrap()
    }

    fn check(spans: impl IntoIterator<Item = SpanBuilder>, expected: &[&str]) {
        let tree = tree(spans);
        let lines = tree.rows.iter().map(|row| {
            let indent = "  ".repeat(row.depth as usize);
            let name = &tree.names[row.name as usize];
            let label = row
                .label
                .as_ref()
                .map(|label| format!(" {label}"))
                .unwrap_or_default();
            let missing = if row.parent_missing {
                " parent missing"
            } else {
                ""
            };
            let state = match row.state {
                SpanState::Complete => "",
                state => &format!(" {}", state.as_str()),
            };
            format!("{indent}{name}{label}{missing}{state}")
        });
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn children_stand_under_their_parent_by_start_and_then_id() {
        check(
            [
                span("late", 2).parent(1).at(2.0, 3.0),
                span("same_b", 5).parent(1).at(1.0, 2.0),
                span("same_a", 4).parent(1).at(1.0, 2.0),
                span("leaf", 9).parent(4).at(1.5, 2.0),
                span("root", 1).at(0.0, 4.0),
            ],
            &["root", "  same_a", "    leaf", "  same_b", "  late"],
        );
    }

    #[test]
    fn a_training_run_reads_like_the_guide_draws_it() {
        let epoch = |id, number| {
            span("training_epoch", id)
                .parent(1)
                .with("epoch", number)
                .with("total_epochs", 3)
        };
        check(
            [
                span("train", 1).at(0.0, 50.0).pending(),
                epoch(2, 1).at(1.0, 20.0),
                span("batch_processing", 3)
                    .parent(2)
                    .at(1.0, 2.0)
                    .with("batch_index", 37),
                span("validation", 4)
                    .parent(2)
                    .at(19.0, 20.0)
                    .with("epoch", 1),
                epoch(5, 2).at(20.0, 20.5).pending(),
            ],
            &[
                "train running",
                "  training_epoch (1/3)",
                "    batch_processing (37)",
                "    validation (1)",
                "  training_epoch (2/3) interrupted",
            ],
        );
    }

    #[test]
    fn spans_whose_parent_is_missing_become_roots_and_say_so() {
        check(
            [
                span("orphan", 2).parent(99),
                span("child", 3).parent(2).at(0.5, 1.0),
            ],
            &["orphan parent missing", "  child"],
        );
        assert!(tree([span("orphan", 2).parent(99)]).root_missing);
        assert!(!tree([span("orphan", 2).parent(99), span("root", 1)]).root_missing);
    }

    #[test]
    fn rings_and_spans_that_are_their_own_parent_do_no_harm() {
        check([span("self", 1).parent(1)], &["self"]);
        check(
            [
                span("b", 2).parent(1).at(1.0, 2.0),
                span("c", 3).parent(2).at(2.0, 3.0),
                span("a", 1).parent(3).at(0.0, 3.0),
                span("tail", 4).parent(3).at(2.5, 3.0),
            ],
            &["a", "  b", "    c", "      tail"],
        );
    }

    #[test]
    fn a_server_that_shares_its_clients_id_stands_under_it() {
        let shared = |name: &str, kind| span(name, 2).parent(1).kind(kind);
        check(
            [
                span("page", 1).service("web").at(0.0, 4.0),
                shared("call", SpanKind::Client).service("web").at(1.0, 3.0),
                shared("handle", SpanKind::Server)
                    .service("shop")
                    .at(1.5, 2.5),
                span("query", 3).parent(2).service("shop").at(1.6, 1.9),
                span("retry", 4).parent(2).service("web").at(2.6, 2.9),
            ],
            &["page", "  call", "    handle", "      query", "    retry"],
        );
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_spans_is_no_problem() {
        let chain = (1..=100_000_u64).map(|id| match id {
            1 => span("link", 1),
            id => span("link", id).parent(id - 1),
        });
        assert_eq!(tree(chain).rows.last().unwrap().depth, 99_999);
    }

    proptest! {
        #[test]
        fn every_span_appears_once_under_an_earlier_row(
            spans in prop::collection::vec((1_u64..12, prop::option::of(1_u64..14), 0_u8..4, 0_u8..3), 1..40)
        ) {
            let kinds = [SpanKind::Internal, SpanKind::Client, SpanKind::Server];
            let mut known = std::collections::HashSet::new();
            let spans = spans.iter().filter(|&&(id, _, _, kind)| known.insert((id, kind)));
            let spans: Vec<_> = spans.map(|&(id, parent, start, kind)| {
                let built = span("s", id).at(f64::from(start), 9.0).kind(kinds[usize::from(kind)]);
                match parent { Some(parent) => built.parent(parent), None => built }
            }).collect();
            let mut expected: Vec<_> = spans.iter().cloned().map(|span| {
                let span = span.record().span.clone();
                (span.span_id, span.kind.code())
            }).collect();
            expected.sort_unstable();
            let tree = tree(spans.clone());
            let mut found: Vec<_> =
                tree.rows.iter().map(|row| (row.span_id, row.kind.code())).collect();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
            for (index, row) in tree.rows.iter().enumerate() {
                match row.parent {
                    None => prop_assert_eq!(row.depth, 0),
                    Some(parent) => {
                        prop_assert!((parent as usize) < index);
                        prop_assert_eq!(row.depth, tree.rows[parent as usize].depth + 1);
                        prop_assert!(!row.parent_missing);
                    }
                }
                if row.parent_missing {
                    prop_assert_eq!(row.parent, None);
                }
            }
        }
    }
}
