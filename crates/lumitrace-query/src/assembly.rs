//! A trace's spans as a tree, in the order a waterfall shows them.

use std::collections::HashMap;
use std::sync::Arc;

use lumitrace_model::{SpanId, SpanKind, StatusCode, TraceId};
use lumitrace_store::{Damaged, SpanRecord};

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
    /// Damage that was met in reading it: spans may be missing.
    pub damaged: Damaged,
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

/// What a waterfall needs of one span: a fraction of the span, so that a trace of a million fits.
#[derive(Debug)]
pub(crate) struct TreeNode {
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
    kind: SpanKind,
    status: StatusCode,
    is_root: bool,
    pending: bool,
    start_unix_nano: u64,
    end_unix_nano: u64,
    name: u32,
    /// The service that is shown.
    service: u32,
    /// The service that the resource names.
    resource_service: u32,
    event_count: u32,
    label: Option<Box<str>>,
}

impl TreeNode {
    /// How much memory it takes until the tree is finished, with its row, in bytes; about.
    pub(crate) fn memory_bytes(&self) -> usize {
        /// Parents, children, and entries of the maps by span id.
        const LINKS: usize = 64;
        let label = self.label.as_ref().map_or(0, |label| 2 * label.len());
        size_of::<Self>() + size_of::<TreeRow>() + LINKS + label
    }

    fn state(&self, now_unix_nano: u64) -> SpanState {
        let announced = self.pending.then_some(self.end_unix_nano);
        SpanState::from_announcement(announced, now_unix_nano)
    }

    fn duration_nano(&self) -> u64 {
        self.end_unix_nano.saturating_sub(self.start_unix_nano)
    }
}

/// Makes nodes of the spans of one trace, and a tree of the nodes.
pub(crate) struct Assembly<'a> {
    training_names: &'a TrainingNames,
    services: Interner,
    names: Interner,
    /// The earliest span that may tell the training run.
    stage: Option<Arc<SpanRecord>>,
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(training_names: &'a TrainingNames) -> Self {
        Self {
            training_names,
            services: Interner::default(),
            names: Interner::default(),
            stage: None,
        }
    }

    /// What the tree needs of a span, which needs its attributes and events.
    pub(crate) fn node(&mut self, record: SpanRecord) -> TreeNode {
        let span = &record.span;
        let node = TreeNode {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            kind: span.kind,
            status: span.status.code,
            is_root: is_root(span),
            pending: span.pending,
            start_unix_nano: span.start_unix_nano,
            end_unix_nano: span.end_unix_nano,
            name: self.names.index_of(&span.name),
            service: self.services.index_of(service_name(&record.resource, span)),
            resource_service: self.services.index_of(record.service_name()),
            event_count: span.events.len().try_into().unwrap_or(u32::MAX),
            label: self.training_names.label(span).map(String::into_boxed_str),
        };
        let is_earlier =
            |stage: &Arc<SpanRecord>| span.start_unix_nano < stage.span.start_unix_nano;
        if self.training_names.is_stage(span) && self.stage.as_ref().is_none_or(is_earlier) {
            self.stage = Some(Arc::new(record));
        }
        node
    }

    /// A span that may tell the training run which the trace belongs to.
    pub(crate) fn stage(&self) -> Option<&Arc<SpanRecord>> {
        self.stage.as_ref()
    }

    /// Makes a tree of the nodes of one trace; `None` if there are none.
    ///
    /// Every span appears exactly once, whatever the parents say: a span whose parent is missing,
    /// or is the span itself, becomes a root, and a ring of spans is cut before its earliest. The
    /// store hands out one record of each span, and so must whoever calls this.
    pub(crate) fn tree(
        self,
        mut nodes: Vec<TreeNode>,
        run_id: Option<RunId>,
        now_unix_nano: u64,
    ) -> Option<TraceTree> {
        nodes.sort_unstable_by_key(|node| (node.start_unix_nano, node.span_id, node.kind.code()));
        let links = Links::of(&nodes);
        let first = nodes.first()?;
        let start_unix_nano = first.start_unix_nano;
        let end_unix_nano = nodes.iter().map(|node| node.end_unix_nano).max()?;
        let mut tree = TraceTree {
            trace_id: first.trace_id,
            start_unix_nano,
            duration_nano: end_unix_nano.saturating_sub(start_unix_nano),
            error_count: 0,
            state: SpanState::Complete,
            root_missing: !nodes.iter().any(|node| node.is_root),
            services: Vec::new(),
            names: Vec::new(),
            run_id,
            rows: Vec::with_capacity(nodes.len()),
            damaged: Damaged::default(),
        };
        let mut services = Shown::new(self.services.texts());
        let mut names = Shown::new(self.names.texts());
        for (index, parent, depth) in links.pre_order() {
            let node = &mut nodes[index as usize];
            let state = node.state(now_unix_nano);
            tree.error_count += u64::from(node.status == StatusCode::Error);
            tree.state = tree.state.and(state);
            tree.rows.push(TreeRow {
                span_id: node.span_id,
                parent,
                depth,
                parent_missing: links.parent_missing[index as usize],
                name: names.index_of(node.name),
                service: services.index_of(node.service),
                kind: node.kind,
                start_offset_nano: node.start_unix_nano - start_unix_nano,
                duration_nano: node.duration_nano(),
                status: node.status,
                state,
                event_count: node.event_count,
                label: node.label.take().map(String::from),
            });
        }
        (tree.services, tree.names) = (services.shown, names.shown);
        Some(tree)
    }
}

/// Parents and children as indices into the nodes.
struct Links {
    /// The parent of each node.
    parents: Vec<Option<u32>>,
    /// Which nodes name a parent that is not there.
    parent_missing: Vec<bool>,
    /// Children of all records one after the other, each one's in the order of the nodes.
    children: Vec<u32>,
    /// Where in `children` those of each node begin, and one more: where the last end.
    first_child: Vec<u32>,
}

impl Links {
    fn of(nodes: &[TreeNode]) -> Self {
        let by_id = ById::of(nodes);
        let mut parents = Vec::with_capacity(nodes.len());
        let mut parent_missing = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let parent = by_id.parent_of(nodes, index as u32);
            parent_missing.push(parent.is_none() && !node.is_root);
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

    /// Every node once, parents before their children, with its parent's row and its depth. Uses
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

/// Finds nodes by span id. Several may share one: Zipkin gives a client and its server the same.
struct ById {
    first: HashMap<SpanId, u32>,
    next_with_same_id: HashMap<u32, u32>,
}

impl ById {
    fn of(nodes: &[TreeNode]) -> Self {
        let mut first = HashMap::with_capacity(nodes.len());
        let mut next_with_same_id = HashMap::new();
        for (index, node) in nodes.iter().enumerate().rev() {
            if let Some(next) = first.insert(node.span_id, index as u32) {
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

    /// The parent of a node: the client that shares its id if it is that client's server, else
    /// whoever has the id it names. Of two that share that id, the one of its own service has
    /// called it; failing that the server, which does the work.
    fn parent_of(&self, nodes: &[TreeNode], child: u32) -> Option<u32> {
        let node = &nodes[child as usize];
        if node.kind == SpanKind::Server {
            let mut twins = self.all(node.span_id);
            if let Some(client) = twins.find(|&twin| nodes[twin as usize].kind == SpanKind::Client)
            {
                return Some(client);
            }
        }
        self.all(node.parent_span_id?)
            .filter(|&candidate| candidate != child)
            .max_by_key(|&candidate| {
                let candidate = &nodes[candidate as usize];
                let is_own = candidate.resource_service == node.resource_service;
                (is_own, candidate.kind == SpanKind::Server)
            })
    }
}

/// Cuts every ring of parents by making its first node a root; the order of the nodes decides which
/// is first.
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

/// Children of every node one after the other, and where those of each begin.
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

/// The texts that rows point into, in order of appearance there.
struct Shown {
    all: Vec<String>,
    places: Vec<Option<u32>>,
    shown: Vec<String>,
}

impl Shown {
    fn new(all: Vec<String>) -> Self {
        Self {
            places: vec![None; all.len()],
            all,
            shown: Vec::new(),
        }
    }

    fn index_of(&mut self, number: u32) -> u32 {
        let place = &mut self.places[number as usize];
        *place.get_or_insert_with(|| {
            self.shown
                .push(std::mem::take(&mut self.all[number as usize]));
            self.shown.len() as u32 - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SECOND, SpanBuilder, T0, span};
    use proptest::prelude::*;

    fn tree(spans: impl IntoIterator<Item = SpanBuilder>) -> TraceTree {
        let names = TrainingNames::default();
        let mut assembly = Assembly::new(&names);
        let records = spans.into_iter().map(SpanBuilder::record);
        let nodes = records.map(|record| assembly.node(Arc::unwrap_or_clone(record)));
        let nodes = nodes.collect();
        assembly.tree(nodes, None, T0 + 60 * SECOND).unwrap()
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
