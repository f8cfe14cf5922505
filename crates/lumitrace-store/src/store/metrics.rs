//! What the handle does with metrics.

use std::ops::ControlFlow;
use std::sync::Arc;

use lumitrace_model::MetricKind;

use super::Store;
use crate::engine::Engine;
use crate::metrics::{self, Metrics};
use crate::shelf::Shelf;
use crate::{
    Append, Damaged, LookupError, MetricBatch, MetricInfo, MetricSelection, MetricSelector,
    MetricSummary, QueryBudget, StoredPoint, StoredPoints, Subscription,
};

impl Store {
    /// Hands over a batch of metrics. The answer comes when its points are durable and searchable,
    /// or refused.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::empty()?;
    /// use lumitrace_store::MetricBatch;
    ///
    /// # let resource_metrics = example::metrics();
    /// let receipt = store.append_metrics(MetricBatch::from_resource_metrics(&resource_metrics)?).wait()?;
    /// assert_eq!(receipt.record_count, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append_metrics(&self, batch: MetricBatch) -> Append {
        match self.handle.metrics.get_or_begin() {
            Ok(metrics) => metrics.append(batch),
            Err(refusal) => Append::answered(Err(refusal)),
        }
    }

    /// The same of metric points; which of them are wanted says [`MetricSelector::matches`].
    pub fn subscribe_to_metrics(&self) -> Subscription<StoredPoints> {
        self.handle.metrics.subscribe()
    }

    /// Hands every point that `selector` wants to `visit`, until it breaks: in memory that does not grow
    /// with their number, and so not in the order of anything but, part by part, that of blocks. The
    /// answer is what is damaged and was left out.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use std::ops::ControlFlow;
    /// use lumitrace_store::MetricSelector;
    ///
    /// let mut points = 0;
    /// store.scan_points(&MetricSelector::default(), &mut |_point| {
    ///     points += 1;
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(points, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn scan_points(
        &self,
        selector: &MetricSelector,
        visit: &mut dyn FnMut(Arc<StoredPoint>) -> ControlFlow<()>,
    ) -> Result<Damaged, LookupError> {
        let unlimited = QueryBudget::unlimited();
        match self.handle.metrics.get() {
            None => Ok(Damaged::default()),
            Some(metrics) => {
                metrics::select::scan(&metrics.snapshot(), selector, &unlimited, visit)
            }
        }
    }

    /// The series that have points which `selector` wants, with these points by time; by metric
    /// name. A point that was received twice is there twice. What is damaged is left out.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::{MetricSelector, QueryBudget};
    ///
    /// let name = Some("gpu.utilization".to_owned());
    /// let selector = MetricSelector { name, ..MetricSelector::default() };
    /// let selection = store.metric_series(&selector, &QueryBudget::unlimited())?;
    /// assert_eq!(selection.series.len(), 1);
    /// assert_eq!(selection.series[0].points.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, or it would cost more than `budget` allows.
    pub fn metric_series(
        &self,
        selector: &MetricSelector,
        budget: &QueryBudget,
    ) -> Result<MetricSelection, LookupError> {
        match self.handle.metrics.get() {
            Some(metrics) => metrics::select::select(&metrics.snapshot(), selector, budget),
            None => Ok(MetricSelection::default()),
        }
    }

    /// The metrics of which points are stored, by name and kind. Reads nothing from disk.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// let metrics = store.metrics();
    /// assert_eq!((metrics[0].name.as_str(), metrics[0].point_count), ("gpu.utilization", 2));
    /// assert_eq!(metrics[0].services, ["trainer"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> Vec<MetricSummary> {
        let metrics = self.handle.metrics.get().map(Shelf::snapshot);
        metrics.map_or_else(Vec::new, |sources| metrics::catalog::list(&sources))
    }

    /// What the metric of this name and kind is, as one of its newest points says; none if no points
    /// of it are stored. What is damaged is noted in `damaged`.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_model::MetricKind;
    /// use lumitrace_store::{Damaged, QueryBudget};
    ///
    /// let (budget, mut damaged) = (QueryBudget::unlimited(), Damaged::default());
    /// let info = store.metric_info("gpu.utilization", MetricKind::Gauge, &budget, &mut damaged)?;
    /// assert_eq!(info.unwrap().unit, "1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, or it would cost more than `budget` allows.
    pub fn metric_info(
        &self,
        name: &str,
        kind: MetricKind,
        budget: &QueryBudget,
        damaged: &mut Damaged,
    ) -> Result<Option<Arc<MetricInfo>>, LookupError> {
        match self.handle.metrics.get() {
            Some(metrics) => {
                metrics::catalog::info(&metrics.snapshot(), name, kind, budget, damaged)
            }
            None => Ok(None),
        }
    }

    /// What the threads of the shelf of metrics share, if there is one.
    pub(crate) fn metrics_engine(&self) -> Option<&Engine<Metrics>> {
        Some(&self.handle.metrics.get()?.engine)
    }
}
