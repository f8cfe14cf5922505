//! Choosing points by metric, time and labels, and the series that they make up.

use std::ops::{ControlFlow, Range, RangeInclusive};
use std::sync::Arc;

use hashbrown::HashMap;
use lumitrace_model::KeyValue;

use super::Metrics;
use super::batch::{MetricInfo, StoredPoint};
use super::columns::TIME;
use super::row::{PointFacts, sort_key};
use super::rows::PointRows;
use super::series::series_key;
use super::stored::PointRef;
use crate::block::Block;
use crate::block::data::BlockData;
use crate::engine::Sources;
use crate::scan::predicate::{has_attribute, views_have_attribute};
use crate::scan::pruning::{Condition, candidate_rows};
use crate::stored::Origin;
use crate::{Damaged, LookupError, QueryBudget};

/// Which points are wanted. All conditions must hold; the default wants every one.
///
/// ```
/// use lumitrace_store::MetricSelector;
/// let of_the_first_gpu = MetricSelector {
///     name: Some("gpu.utilization".to_owned()),
///     attributes: vec![("gpu.index".to_owned(), "0".to_owned())],
///     ..MetricSelector::default()
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricSelector {
    /// Earliest time, inclusive, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// Latest time, inclusive, in nanoseconds since the Unix epoch.
    pub end_unix_nano: u64,
    /// The metric's name.
    pub name: Option<String>,
    /// The service's name.
    pub service: Option<String>,
    /// For each pair, an attribute of the point or of its resource has this key, and a value that
    /// this text spells as a search box spells it.
    pub attributes: Vec<(String, String)>,
}

impl Default for MetricSelector {
    fn default() -> Self {
        Self {
            start_unix_nano: 0,
            end_unix_nano: u64::MAX,
            name: None,
            service: None,
            attributes: Vec::new(),
        }
    }
}

impl MetricSelector {
    fn times(&self) -> RangeInclusive<u64> {
        self.start_unix_nano..=self.end_unix_nano
    }

    /// Whether `point` is wanted.
    pub fn matches(&self, point: &StoredPoint) -> bool {
        self.wants(&point.into(), |key, text| {
            has_attribute(point.point.attributes(), key, text)
        })
    }

    /// Like [`matches`](Self::matches), for a point that was not made whole.
    pub fn matches_stored(&self, point: PointRef<'_>) -> bool {
        self.wants(&point.into(), |key, text| {
            views_have_attribute(point.attributes().iter(), key, text)
        })
    }

    fn wants(
        &self,
        facts: &PointFacts<'_>,
        has_own_attribute: impl Fn(&str, &str) -> bool,
    ) -> bool {
        let is_from = |service: &String| service == facts.origin.service_name();
        self.times().contains(&facts.time_unix_nano)
            && self.name.as_ref().is_none_or(|it| *it == facts.metric.name)
            && self.service.as_ref().is_none_or(is_from)
            && self.attributes.iter().all(|(key, text)| {
                has_own_attribute(key, text)
                    || has_attribute(&facts.origin.resource.attributes, key, text)
            })
    }
}

/// A series: the points of one resource, scope, metric name and attributes.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::filled()?;
/// use lumitrace_store::{MetricSelector, QueryBudget};
///
/// let selector = MetricSelector::default();
/// for series in store.metric_series(&selector, &QueryBudget::unlimited())?.series {
///     assert_eq!((series.metric.name.as_ref(), series.points.len()), ("gpu.utilization", 2));
///     assert_eq!(series.origin.service_name(), "trainer");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSeries {
    /// What is measured, as its last point says.
    pub metric: Arc<MetricInfo>,
    /// Who measures it.
    pub origin: Arc<Origin>,
    /// The attributes of its points.
    pub attributes: Vec<KeyValue>,
    /// The points, by time.
    pub points: Vec<Arc<StoredPoint>>,
}

/// Series that were selected, and what could not be read of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricSelection {
    /// The series, by metric name.
    pub series: Vec<MetricSeries>,
    /// Damage that was met: points may have been left out for it.
    pub damaged: Damaged,
}

/// The points that `selector` wants, by series, these by metric name.
pub(crate) fn select(
    sources: &Sources<Metrics>,
    selector: &MetricSelector,
    budget: &QueryBudget,
) -> Result<MetricSelection, LookupError> {
    let (mut points, mut refused) = (Vec::new(), None);
    let damaged = scan(sources, selector, budget, &mut |point| {
        if let Err(exhausted) = budget.hold(point.memory_bytes()) {
            refused = Some(exhausted);
            return ControlFlow::Break(());
        }
        points.push(point);
        ControlFlow::Continue(())
    })?;
    if let Some(exhausted) = refused {
        return Err(exhausted.into());
    }
    points.sort_by_cached_key(|point| sort_key(point));
    let series = series_of(points);
    Ok(MetricSelection { series, damaged })
}

/// Hands every point that `selector` wants to `visit`, source by source, each in the order of blocks,
/// until it breaks. What is damaged is left out, as the answer says.
pub(crate) fn scan(
    sources: &Sources<Metrics>,
    selector: &MetricSelector,
    budget: &QueryBudget,
    visit: &mut dyn FnMut(Arc<StoredPoint>) -> ControlFlow<()>,
) -> Result<Damaged, LookupError> {
    let (mut damaged, damage_log) = (Damaged::default(), &sources.damage_log);
    for memtable in sources.memtables() {
        let found = memtable.points(selector.name.as_deref());
        budget.look_at(found.len() as u64)?;
        let wanted = found.iter().filter(|it| selector.matches_stored(*it));
        let mut points = wanted.map(|point| Arc::new(point.to_stored()));
        if points.try_for_each(&mut *visit).is_break() {
            return Ok(damaged);
        }
    }
    for block in &sources.damaged {
        if block.overlaps(&selector.times()) {
            damage_log.leave_out_block(block, &mut damaged);
        }
    }
    for block in &sources.blocks {
        budget.check()?;
        match scan_block(block, selector, budget, visit) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(damaged),
            Err(error) => damage_log.leave_out_of_lookup(error, &mut damaged)?,
        }
    }
    Ok(damaged)
}

fn scan_block(
    block: &Block,
    selector: &MetricSelector,
    budget: &QueryBudget,
    visit: &mut dyn FnMut(Arc<StoredPoint>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, LookupError> {
    let times = selector.times();
    let names: Vec<String> = selector.name.iter().cloned().collect();
    let service = selector.service.as_deref();
    let mut ranges = block.time_ranges().iter();
    if !ranges.any(|range| range.overlaps(&times))
        || !block.summaries().may_hold(service, &names, false, times)
    {
        return Ok(ControlFlow::Continue(()));
    }
    let mut conditions = vec![Condition::Numbers(
        TIME,
        selector.start_unix_nano,
        selector.end_unix_nano,
    )];
    conditions.extend(service.map(Condition::Service));
    if !names.is_empty() {
        conditions.push(Condition::Names(&names));
    }
    let rows = candidates(&block.open_data()?, &conditions);
    if rows.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    let mut rows = PointRows::read(block, &rows)?;
    while let Some(batch) = rows.next()? {
        budget.look_at(batch.len() as u64)?;
        for point in batch {
            if selector.matches(&point) && visit(Arc::new(point)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The rows of a block that may meet these conditions.
pub(super) fn candidates(data: &BlockData<'_>, conditions: &[Condition<'_>]) -> Vec<Range<usize>> {
    let mut rows = Vec::new();
    for (group, bounds) in data.row_group_starts().windows(2).enumerate() {
        let all = 0..bounds[1] - bounds[0];
        let found = candidate_rows(data.metadata(), group, all, conditions);
        let found = found.into_iter();
        rows.extend(found.map(|rows| bounds[0] + rows.start..bounds[0] + rows.end));
    }
    rows
}

/// The series of these points, which are in the order of blocks.
fn series_of(points: Vec<Arc<StoredPoint>>) -> Vec<MetricSeries> {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut series: Vec<MetricSeries> = Vec::new();
    for point in points {
        let attributes = point.point.attributes();
        let key = series_key(&point.origin, &point.metric.name, attributes);
        let place = *places.entry(key).or_insert(series.len());
        match series.get_mut(place) {
            Some(known) => {
                known.metric = Arc::clone(&point.metric);
                known.points.push(point);
            }
            None => series.push(MetricSeries {
                metric: Arc::clone(&point.metric),
                origin: Arc::clone(&point.origin),
                attributes: attributes.to_vec(),
                points: vec![point],
            }),
        }
    }
    series
}
